"""The gate against the grammar and h11; a body in chunks against h11; and that the comparison sees what is wrong.

MAINSTAY_FUZZ says how many cases, MAINSTAY_SEED which.
"""

from __future__ import annotations

import os
import random
import re

import h11
import httptools
import pytest

from mainstay.edge.http import head
from mainstay.edge.http.chunks import Chunks
from mainstay.edge.http.head import Refused
from tests.edge import fuzz
from tests.edge.fuzz import BYTES

COUNT = int(os.environ.get("MAINSTAY_FUZZ", "5000"))
SEED = int(os.environ.get("MAINSTAY_SEED", "1"))


def test_three_readers_read_every_head_alike() -> None:
    counts, wrong = fuzz.run(COUNT, SEED)
    assert wrong == []
    assert counts["passed"] > COUNT / 10
    assert counts["refused"] > COUNT / 10
    assert counts["remembered"] > COUNT


def test_to_remember_lines_whose_meaning_depends_on_more_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(head, "DEPENDENT", head.DEPENDENT - {b"expect"})
    assert fuzz.run(3000, 1)[1]


SABOTAGE = [
    ("MEANINGFUL", head.MEANINGFUL - {b"content-length"}),
    ("MEANINGFUL", head.MEANINGFUL - {b"transfer-encoding"}),
    ("MEANINGFUL", head.MEANINGFUL - {b"host"}),
    ("MEANINGFUL", head.MEANINGFUL - {b"connection"}),
    ("HOST", re.compile(rb"[^ ]*")),
    ("METHODS", head.METHODS | {b"M-SEARCH"}),
    ("BLANK", ()),
    ("TEXT", bytes(range(255))),
]


@pytest.mark.parametrize(("name", "value"), SABOTAGE, ids=range(len(SABOTAGE)))
def test_a_gate_with_a_hole_is_found_out(name: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, name, value)
    monkeypatch.setattr(head, "_known_hosts", set())
    assert fuzz.run(3000, 1)[1]


def chunked(chance: random.Random) -> bytes:
    """A body in chunks, bent or not, and the beginning of a next request."""
    parts = []
    for _ in range(chance.randrange(4)):
        data = chance.choice((b"a", b"\r\n", b"0\r\n\r\n", b"hello" * 5))
        extension = chance.choice((b"", b"", b";a=b", b';a="\t"'))
        parts.append(b"%x%b\r\n%b\r\n" % (len(data), extension, data))
    parts.append(chance.choice((b"0\r\n", b"000\r\n", b"0;x\r\n")))
    parts.append(chance.choice((b"", b"", b"X: y\r\n", b"A: 1\r\nB: 2\r\n")) + b"\r\nGET /next")
    raw = b"".join(parts)
    for _ in range(chance.choice((0, 1, 1, 2))):
        at = chance.randrange(len(raw))
        put = chance.choice(
            (b"\r", b"\n", b" ", b"0", b"f", b";", b"", b"\r\n", b"-", b"x", chance.choice(BYTES))
        )
        raw = raw[:at] + put + raw[at + chance.randrange(2) :]
    return raw


def ours(raw: bytes, chance: random.Random) -> tuple[bytes, bytes | None] | None:
    """Body and rest as we read them, in pieces of any size; None when we refuse."""
    chunks, body = Chunks(500), b""
    at = 0
    try:
        while at < len(raw):
            piece = raw[at : at + chance.choice((1, 2, 7, 1000))]
            at += len(piece)
            pieces, rest = chunks.feed(piece)
            body += b"".join(pieces)
            if rest is not None:
                return body, rest + raw[at:]
    except Refused:
        return None
    return body, None


def theirs(raw: bytes) -> tuple[bytes, bytes | None] | None:
    """The same by h11."""
    wire = h11.Connection(h11.SERVER)
    wire.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + raw)
    body = b""
    try:
        while True:
            event = wire.next_event()
            if isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return body, wire.trailing_data[0]
            elif event is h11.NEED_DATA:
                return body, None
    except h11.RemoteProtocolError:
        return None


def test_what_we_take_for_a_body_in_chunks_h11_takes_for_the_same() -> None:
    chance = random.Random(SEED)
    taken = 0
    for _ in range(COUNT):
        raw = chunked(chance)
        found = ours(raw, chance)
        if found is not None and found[1] is not None:
            taken += 1
            assert theirs(raw) == found, raw
    assert taken > COUNT / 5


@pytest.mark.parametrize("target", [b"/%b", b"/a%bb", b"/?%b", b"/?a%bb"])
def test_our_expression_for_targets_lets_nothing_pass_that_httptools_would_not(target: bytes) -> None:
    passed = 0
    for each in BYTES:
        raw = b"GET " + target.replace(b"%b", each) + b" HTTP/1.1\r\nHost: a\r\n\r\n"
        if head.LINE.match(raw):
            passed += 1
            httptools.HttpRequestParser(None).feed_data(raw)
    assert passed > 80
