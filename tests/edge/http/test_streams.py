"""Requests one behind the other, bent somewhere: what reaches a handler is what h11 sees, up to where we stop.

MAINSTAY_FUZZ says how many cases (a twentieth of it), MAINSTAY_SEED which.
"""

from __future__ import annotations

import os
import random

import h11

from tests.edge.fuzz import BYTES, EVIL
from tests.edge.wire import feed

COUNT = max(200, int(os.environ.get("MAINSTAY_FUZZ", "5000")) // 20)
SEED = int(os.environ.get("MAINSTAY_SEED", "1"))
REQUESTS = [
    b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD /%d HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n",
    b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\nGET /in HTTP/1.1\r\nHost: a\r\n\r\n1",
    b"PUT /%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"PUT /%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n",
    b"GET /%d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET /%d HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
]


def stream(chance: random.Random) -> bytes:
    """Up to five requests, and up to two wounds."""
    raw = b"".join(chance.choice(REQUESTS) % number for number in range(chance.randrange(1, 6)))
    for _ in range(chance.choice((0, 1, 1, 2))):
        at = chance.randrange(len(raw))
        put = chance.choice((b"", chance.choice(EVIL), chance.choice(EVIL), chance.choice(BYTES)))
        raw = raw[:at] + put + raw[at + chance.randrange(3) :]
    return raw


def by_h11(raw: bytes) -> list[bytes]:
    """The requests that h11 sees, as the ledger writes them; it is not asked whether the connection goes on."""
    seen: list[bytes] = []
    try:
        while raw:
            wire = h11.Connection(h11.SERVER)
            wire.receive_data(raw.removeprefix(b"\r\n"))  # RFC 9112 2.2
            request, body = wire.next_event(), b""
            if not isinstance(request, h11.Request):
                break
            while isinstance(event := wire.next_event(), h11.Data):
                body += event.data
            if not isinstance(event, h11.EndOfMessage):
                break
            seen.append(b" ".join(filter(None, (request.method, request.target, body))))
            raw = wire.trailing_data[0]
    except h11.RemoteProtocolError:
        pass
    return seen


async def test_no_request_is_seen_that_h11_does_not_see() -> None:
    chance = random.Random(SEED)
    seen = refused = 0
    for _ in range(COUNT):
        raw = stream(chance)
        cut = chance.randrange(len(raw) + 1)
        ledger, wire = await feed([raw[:cut], raw[cut:]])
        theirs = by_h11(raw)
        assert ledger.seen == theirs[: len(ledger.seen)], raw
        seen += len(ledger.seen)
        refused += b" 400 " in wire.sent
    assert seen > COUNT
    assert refused > COUNT / 20
