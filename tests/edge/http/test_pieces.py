"""However the bytes of a vector are cut into pieces on their way, the same comes of them."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from mainstay.edge.http.turn import CONTINUE
from tests.edge.http.test_vectors import ALL, Vector
from tests.edge.wire import feed


def pieces(data: bytes, chance: random.Random) -> Iterator[bytes]:
    while data:
        size = chance.choice((1, 2, 3, 10, 50))
        yield data[:size]
        data = data[size:]


@pytest.mark.parametrize("vector", ALL, ids=lambda vector: vector.name)
async def test_pieces(vector: Vector) -> None:
    ledger, whole = await feed([vector.send])
    assert ledger.seen == vector.seen
    ways = [[vector.send[at : at + 1] for at in range(len(vector.send))]] if len(vector.send) < 500 else []
    ways += [list(pieces(vector.send, random.Random(seed))) for seed in range(2)]
    for way in ways:
        again, wire = await feed(way)
        assert again.seen == vector.seen
        # Who sends head and body apart may have been told to go on in between.
        assert wire.sent.removeprefix(CONTINUE) == whole.sent
        assert wire.closed == whole.closed == (not vector.open)


async def test_lines_that_come_again_are_found_in_pieces_and_pipelines_alike() -> None:
    lines = b" HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX-A:  b \r\n\r\n"
    stream = b"".join(b"PUT /%d%b%03d" % (number, lines, number) for number in range(5))
    wanted = [b"PUT /%d %03d" % (number, number) for number in range(5)]
    for size in (*range(1, len(lines) + 9), len(stream)):
        ledger, _ = await feed(stream[at : at + size] for at in range(0, len(stream), size))
        assert ledger.seen == wanted
        blocks = {id(exchange.head.block) for exchange in ledger.begun}
        assert len(blocks) == 2  # the first is read once, the second too, and kept


async def test_a_broken_request_behind_lines_that_are_remembered_is_refused() -> None:
    lines = b" HTTP/1.1\r\nHost: a\r\n\r\n"
    for broken in (b"GET /\x01", b"GET /#", b"G@T /", b"GET a", b"GET  /", b"BREW /"):
        stream = b"GET /" + lines
        ledger, wire = await feed([stream, stream, stream, broken + lines, stream])
        assert ledger.seen == [b"GET /"] * 3
        assert wire.sent.count(b"HTTP/1.1 ") == 4
        assert wire.closed
