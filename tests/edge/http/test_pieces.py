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
