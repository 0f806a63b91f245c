"""An answer whose head is remembered is read as one whose head is not: the same bytes, the same of everything.

MAINSTAY_FUZZ says how many cases, MAINSTAY_SEED which.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import pytest

from mainstay.edge.http.exchange import Header
from mainstay.edge.http.memory import Memory
from mainstay.edge.proxy import answerhead, headers
from mainstay.edge.proxy.answerhead import AnswerHead, Heads
from mainstay.edge.proxy.ticker import Ticker
from mainstay.edge.proxy.upstream import Upstream
from mainstay.ports.clock import FakeClock
from tests.edge.fuzz import bent
from tests.edge.origins import Call, raw_origin
from tests.edge.proxy.parts import Open, read_answer, route, running

COUNT = int(os.environ.get("MAINSTAY_FUZZ", "3000"))
SEED = int(os.environ.get("MAINSTAY_SEED", "1"))
LINES = [
    b"HTTP/1.1 200 OK",
    b"HTTP/1.1 404 Not Found",
    b"HTTP/1.1 200",
    b"HTTP/1.0 200 OK",
    b"HTTP/1.1 204 No Content",
    b"HTTP/1.1 304 Not Modified",
    b"HTTP/1.1 101 Switching Protocols",
    b"HTTP/1.1 999 Odd",
]
FIELDS = [
    b"Content-Length: 5",
    b"Content-Length: 5",
    b"Content-Length: 0",
    b"Content-Length: 05",
    b"Content-Length: 7",
    b"content-length: 5, 5",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip",
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: X",
    b"Keep-Alive: timeout=5",
    b"Upgrade: h2c",
    b"Set-Cookie: a=b",
    b"X:  y ",
    b" folded",
    b"X: caf\xe9",
    b"X y: z",
    b"Trailer: X",
]
BODIES = [
    b"hello",
    b"hello",
    b"hello",
    b"",
    b"hel",
    b"hello!!",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
]
INTERIM = [
    b"",
    b"",
    b"",
    b"",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early\r\nX:  y \r\n\r\n",
    b"\r\n",
]


class Origin:
    """Owns a connection, and is its transport."""

    def __init__(self, heads: Heads) -> None:
        self.ticker = Ticker(FakeClock())
        self.heads = heads
        self.end = ""
        self.socket = socket.socket()

    def free(self, upstream: Upstream) -> None:
        self.end = self.end or "kept"

    def gone(self, upstream: Upstream) -> None:
        pass

    def get_extra_info(self, name: str) -> Any:
        return self.socket

    def is_closing(self) -> bool:
        return self.end == "cut"

    def abort(self) -> None:
        self.end = "cut"

    def write(self, data: bytes) -> None:
        pass


class Client:
    """Notes all that it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.body = b""

    def interim(self, status: int) -> None:
        self.told.append(status)

    def answer(self, head: AnswerHead, body: bytes, complete: bool) -> None:
        lines: object = "bad"
        with suppress(ValueError):
            lines = headers.told(head, [(b"x-ours", b"1")], cors=False)
        self.told += [head.status, head.headers, head.fields, head.length, lines]
        self.body += body
        if complete:
            self.complete()

    def more(self, piece: bytes) -> None:
        self.body += piece

    def complete(self) -> None:
        self.told.append("complete")

    def broke(self, why: str, heard: bool) -> None:
        self.told += [why, heard]

    def switched(self, headers: list[Header], rest: bytes) -> None:
        self.told += [headers, rest]

    def slow(self, is_slow: bool) -> None:
        pass


async def heard(heads: Heads, pieces: Sequence[bytes], method: bytes = b"GET") -> tuple[Any, ...]:
    """All that comes of an answer that arrives in these pieces, with the end of the connection behind it."""
    origin, client = Origin(heads), Client()
    upstream = Upstream(origin)
    upstream.connection_made(origin)  # type: ignore[arg-type]
    upstream.ask(client, b"", bodyless=method == b"HEAD", upgrading=False, whole=True)
    for piece in pieces:
        if origin.end == "cut":
            break
        upstream.data_received(piece)
    end, limit = origin.end, upstream.idle_limit
    upstream.connection_lost(None)
    origin.socket.close()
    await asyncio.sleep(0)
    return (*client.told, client.body, end, limit)


def answers(count: int, seed: int) -> Iterator[bytes]:
    """Answers that are right, and almost right."""
    chance = random.Random(seed)
    for _ in range(count):
        fields = chance.sample(FIELDS, chance.choice((1, 1, 2, 2, 3, 4)))
        raw = chance.choice(INTERIM) + b"\r\n".join(
            [chance.choice((LINES[0], chance.choice(LINES))), *fields]
        )
        raw += b"\r\n\r\n" + chance.choice(BODIES)
        for _ in range(chance.choice((0, 0, 0, 1, 1, 2))):
            raw = bent(raw, chance)
        yield raw


def ways(raw: bytes, chance: random.Random) -> Iterator[list[bytes]]:
    yield [raw]
    end = raw.find(b"\r\n\r\n") + 4
    yield [raw[:end], raw[end:]] if raw[end:] else [raw[:end]]
    at = chance.randrange(len(raw) + 1)
    yield [piece for piece in (raw[:at], raw[at:]) if piece]


async def compare(count: int, seed: int) -> Counter[str]:
    """Hear every answer with its head remembered and not, in one piece and in several."""
    chance, counts = random.Random(seed), Counter[str]()
    shared: Heads = Memory()
    for raw in answers(count, seed):
        for pieces in ways(raw, chance):
            for method in (b"GET", b"HEAD"):
                first = await heard(Memory(), pieces, method)
                again = [await heard(shared, pieces, method) for _ in range(3)]
                end = pieces[0].find(b"\r\n\r\n") + 4
                counts["remembered"] += shared.get(pieces[0][:end]) is not None
                counts["wrong"] += again != [first] * 3
                counts["whole" if "complete" in first else "broken"] += 1
    return counts


async def test_an_answer_is_heard_alike_whether_its_head_is_remembered_or_not() -> None:
    counts = await compare(COUNT // 10, SEED)
    assert counts["wrong"] == 0
    assert counts["remembered"] > COUNT / 100
    assert counts["whole"] > COUNT / 20
    assert counts["broken"] > COUNT / 20


async def test_to_remember_too_much_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answerhead, "NO_BODY", frozenset())
    assert (await compare(500, 1))["wrong"]


async def test_the_same_answer_again_and_again_reaches_clients_whole_and_with_what_is_ours() -> None:
    async def behave(call: Call) -> None:
        while True:
            await call.head()
            await call.send(
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\nConnection: keep-alive\r\n\r\nhel"
            )
            await call.send(b"lo")

    async with raw_origin(behave) as origin:
        policy = Open([route(origin.url)], to_client=[(b"x-left", b"1")])
        async with running(*policy.routes, policy=policy) as gateway:
            reader, writer = await gateway.connect()
            for number in range(5):
                policy.to_client = [(b"x-left" if number < 4 else b"x-a", b"%d" % number)]
                writer.write(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
                head, body = await read_answer(reader)
                assert body == b"hello"
                assert (head.count(b"X-A: b\r\n") + head.count(b"x-a: b\r\n")) == (number < 4)
                assert (b"x-left: %d\r\n" % number in head) == (number < 4)
                assert (b"x-a: 4\r\n" in head) == (number == 4)
            writer.close()
        assert len(origin.calls) == 1
