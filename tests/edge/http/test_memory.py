"""What is remembered of bytes that come again, and how much of it at most."""

from __future__ import annotations

import pytest

from mainstay.edge.http import head
from mainstay.edge.http.head import Blocks, read_head
from mainstay.edge.http.limits import HeadLimits
from mainstay.edge.http.memory import LONGEST, MARKS, Memory

LIMITS = HeadLimits()


def test_what_comes_twice_is_remembered_and_what_comes_once_is_not() -> None:
    memory: Memory[str] = Memory()
    for _ in range(2):
        assert memory.get(b"a") is None
        memory.met(b"a", "A", 1)
    assert memory.get(b"a") == "A"
    memory.met(b"b", "B", 1)
    assert memory.get(b"b") is None
    assert len(memory) == 1


def test_a_crowd_of_unlike_ones_drives_nobody_out() -> None:
    memory: Memory[int] = Memory(room=1000)
    for _ in range(2):
        memory.met(b"a", 1, 100)
    for number in range(3 * MARKS):
        memory.met(b"%d" % number, number, 100)
    assert memory.get(b"a") == 1
    assert len(memory) == 1


def test_what_was_not_asked_for_lately_goes_first_and_there_is_never_too_much() -> None:
    memory: Memory[int] = Memory(room=1000)
    for number in range(100):
        for _ in range(2):
            memory.met(b"%d" % number, number, 100)
        assert len(memory) <= 10
        assert memory.get(b"0") == 0
    assert memory.get(b"1") is None
    assert memory.get(b"99") == 99


def test_what_is_long_is_not_remembered() -> None:
    memory: Memory[int] = Memory()
    for _ in range(3):
        memory.met(b"a" * (LONGEST + 1), 1, 1)
    assert len(memory) == 0


def test_the_same_lines_are_one_block_until_the_limits_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "_methods_read", set())
    blocks = Blocks()

    def read(line: bytes, limits: HeadLimits = LIMITS) -> object:
        return read_head(line + b"\r\nHost: a\r\nContent-Length: 7\r\n\r\n", limits, blocks).block

    read(b"GET /a HTTP/1.1")
    kept = read(b"GET /a HTTP/1.1")
    assert read(b"POST /b HTTP/1.1") is not kept  # httptools has not read a POST yet
    assert read(b"POST /b HTTP/1.1") is kept
    assert read(b"POST /b HTTP/1.0") is not kept
    assert read(b"GET /c HTTP/1.1") is kept
    assert read(b"GET /c HTTP/1.1", HeadLimits(body=10)) is not kept
    assert blocks.hits == 2


def test_lines_that_ask_for_another_protocol_are_read_anew_each_time() -> None:
    blocks = Blocks()
    lines = b" / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    for _ in range(3):
        assert read_head(b"POST" + lines, LIMITS, blocks).upgrade is None
        assert read_head(b"GET" + lines, LIMITS, blocks).upgrade == b"websocket"
    assert blocks.hits == 0
