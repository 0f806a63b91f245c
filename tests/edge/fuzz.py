"""Requests that are almost right, judged by three readers that share no code: our gate, the grammar, and h11.

python -m tests.edge.fuzz [COUNT] [SEED]
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Iterator

import h11

from mainstay.edge.http.exchange import Head
from mainstay.edge.http.head import Blocks, Refused, read_head
from mainstay.edge.http.limits import HeadLimits
from tests.edge.grammar import Meaning, meaning

LIMITS = HeadLimits(head=600, headers=12, uri=80, body=1000)
LINES = [
    b"GET / HTTP/1.1",
    b"POST /a/b?c=d HTTP/1.1",
    b"HEAD /x HTTP/1.0",
    b"PUT /%2e%2e/;x HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"GET http://a/ HTTP/1.1",
    b"CONNECT a:1 HTTP/1.1",
    b"PRI * HTTP/2.0",
    b"QUERY /q?a?b HTTP/1.1",
    b"get / HTTP/1.1",
    b"GET /" + b"a" * 79 + b" HTTP/1.1",
    b"GET /" + b"a" * 80 + b" HTTP/1.1",
    b"M-SEARCH / HTTP/1.1",
]
FIELDS = [
    b"Host: a",
    b"Host: a.example:80",
    b"Host: [::1]:8080",
    b"Host: a, b",
    b"Host:",
    b"host: b",
    b"HOST : a",
    b"Host: a@b",
    b"Content-Length: 5",
    b"Content-Length: 0",
    b"Content-Length: 05",
    b"Content-Length: +5",
    b"content-length: 5, 5",
    b"Content-Length: 1000",
    b"Content-Length: 1001",
    b"Content-Length: 99999999999999999999",
    b"Content-Length:",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: Chunked",
    b"transfer-encoding: gzip, chunked",
    b"Transfer-Encoding:",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunked, chunked",
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: Upgrade, close",
    b"Connection: ,",
    b"Connection: upgrade",
    b"Upgrade: websocket",
    b"Upgrade: h2c",
    b"Expect: 100-continue",
    b"Expect: 100-Continue",
    b"Expect: other",
    b"X: y",
    b"X:y",
    b"X:  y  ",
    b"X: \t",
    b"X_Y: z",
    b"X: caf\xe9",
    b"!#$%&'*+-.^_`|~: 1",
    b"X: " + b"a" * 200,
    b": y",
    b"X y: z",
    b"X",
    b" X: y",
    b"\tX: y",
    b"Proxy-Connection: close",
    b"Trailer: X",
    b"TE: trailers",
    b"Keep-Alive: 5",
    b"X-User-ID: 1",
]
BYTES = [bytes([each]) for each in range(256)]
EVIL = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b"\x0b",
    b"\x0c",
    b"\x7f",
    b"\x80",
    b"\xff",
    b",",
    b";",
    b"\r\n ",
    b"\n\n",
    b"\r\r\n",
    b"\r\n\r\n",
    b"chunked",
    b"5",
    b"/",
    b"#",
    b"?",
    b"\\",
    b'"',
    b"Host: a\r\n",
    b"HTTP/1.1",
    b"\x85",
    b"\xa0",
]


def cases(count: int, seed: int) -> Iterator[bytes]:
    """Heads that are whole: they end at their first empty line, as the server finds it."""
    chance = random.Random(seed)
    for _ in range(count):
        raw = _right(chance) if chance.random() < 0.6 else _any(chance)
        for _ in range(chance.choice((0, 0, 1, 1, 1, 2, 3))):
            raw = bent(raw, chance)
        end = raw.find(b"\r\n\r\n", 2 if raw[:2] == b"\r\n" else 0)
        yield raw[: end + 4] if end >= 0 else raw + b"\r\n\r\n"


def _right(chance: random.Random) -> bytes:
    """A head that is right but for what may contradict itself."""
    fields = [b"Host: a", *chance.sample(FIELDS[8:44], chance.randrange(4))]
    chance.shuffle(fields)
    return b"\r\n".join([chance.choice(LINES[:4]), *fields]) + b"\r\n\r\n"


def _any(chance: random.Random) -> bytes:
    fields = [chance.choice(FIELDS) for _ in range(chance.randrange(14))]
    if chance.random() < 0.7:
        fields.append(b"Host: a")
    return b"\r\n".join([chance.choice(LINES), *fields]) + b"\r\n\r\n"


def bent(raw: bytes, chance: random.Random) -> bytes:
    at, until = sorted((chance.randrange(len(raw)), chance.randrange(len(raw))))
    until = min(until, at + chance.choice((1, 1, 2, 8)))
    put = chance.choice(EVIL) if chance.random() < 0.6 else chance.choice(BYTES)
    match chance.randrange(5):
        case 0:
            return raw[:at] + put + raw[at:]
        case 1:
            return raw[:at] + raw[until:]
        case 2:
            return raw[:at] + put + raw[at + 1 :]
        case 3:
            return raw[:until] + raw[at:]
        case _:
            return raw[:at] + raw[at : at + 1].swapcase() + raw[at + 1 :]


def judge(raw: bytes, blocks: Blocks) -> tuple[str, str]:
    """What came of a case, and what is wrong with that (nothing, if all is well)."""
    first = read(raw, None)
    if read(raw, remembering(raw, blocks)) != first:
        return "wrong", "it is read in another way when its header lines are remembered"
    ours = None if first[0] is None else read_head(raw, LIMITS)
    wanted = meaning(raw, head=LIMITS.head, headers=LIMITS.headers, uri=LIMITS.uri, body=LIMITS.body)
    if len(raw) > LIMITS.head:
        ours = None  # the connection refuses it before the gate
    if ours is None:
        return "refused", "the grammar lets it pass" if wanted is not None else ""
    if wanted is None:
        return "passed", "the grammar refuses it"
    return "passed", _differs(ours, wanted) or _differs_from_h11(ours, raw)


def read(raw: bytes, blocks: Blocks | None) -> tuple[object, ...]:
    """All that a head says; None and why not, when it is refused."""
    try:
        head = read_head(raw, LIMITS, blocks)
    except Refused as refused:
        return None, refused.status, refused.why
    return tuple(getattr(head, name) for name in SAID)


SAID = (
    "method", "target", "path", "query", "version", "host", "headers", "length", "keep_alive", "expect", "upgrade",
)  # fmt: skip
OTHERS = (b"GET / HTTP/1.1", b"POST /x?y HTTP/1.1", b"QUERY /q HTTP/1.1", b"HEAD / HTTP/1.0")


def remembering(raw: bytes, blocks: Blocks) -> Blocks:
    """Have the header lines of a head read behind other request lines, so often that they are remembered."""
    lines = raw.removeprefix(b"\r\n").partition(b"\r\n")[2]
    for line in OTHERS:
        for _ in range(2):
            read(line + b"\r\n" + lines, blocks)
    return blocks


def _differs(ours: Head, wanted: Meaning) -> str:
    found = Meaning(ours.method, ours.target, ours.version, tuple(ours.headers), ours.length, ours.keep_alive)
    return "" if found == wanted else f"the grammar reads {wanted}, we {found}"


def _differs_from_h11(ours: Head, raw: bytes) -> str:
    wire = h11.Connection(h11.SERVER, max_incomplete_event_size=10_000)
    # h11 takes no empty line before a request; RFC 9112 2.2 says that one is passed over.
    wire.receive_data(raw.removeprefix(b"\r\n"))
    try:
        event = wire.next_event()
    except h11.RemoteProtocolError as fault:
        return f"h11 refuses it: {fault}"
    if not isinstance(event, h11.Request):
        return f"h11 does not see a request but {event}"
    theirs = [(name, value) for name, value in event.headers if name != b"transfer-encoding"]
    mine = [(name, value) for name, value in ours.headers if name != b"transfer-encoding"]
    if (event.method, event.target, event.http_version, theirs) != (
        ours.method,
        ours.target,
        ours.version,
        mine,
    ):
        return f"h11 reads {event}"
    return _frames_differ(ours, wire)


def _frames_differ(ours: Head, wire: h11.Connection) -> str:
    """Whether h11 expects another body: it is given the one that we expect, and must be content with it."""
    if ours.length is None:
        wire.receive_data(b"5\r\nhello\r\n0\r\n\r\n")
    elif ours.length:
        wire.receive_data(b"x" * ours.length)
    size = 0
    while not isinstance(event := wire.next_event(), h11.EndOfMessage):
        if not isinstance(event, h11.Data):
            return f"h11 still waits for a body after {size} bytes"
        size += len(event.data)
    return "" if size == (5 if ours.length is None else ours.length) else f"h11 reads a body of {size} bytes"


def run(count: int, seed: int) -> tuple[Counter[str], list[tuple[bytes, str]]]:
    """Judge so many cases; the counts, and the first cases that the readers see differently."""
    counts: Counter[str] = Counter()
    wrong: list[tuple[bytes, str]] = []
    blocks = Blocks()
    for raw in cases(count, seed):
        verdict, fault = judge(raw, blocks)
        counts[verdict] += 1
        if fault:
            counts["wrong"] += 1
            wrong = [*wrong, (raw, fault)][:20]
    counts["remembered"] = blocks.hits
    return counts, wrong


if __name__ == "__main__":
    found, faults = run(int((sys.argv + ["10000"])[1]), int((sys.argv + ["", "1"])[2]))
    for case, why in faults:
        print(repr(case), "->", why)
    print(dict(found))
    sys.exit(bool(faults))
