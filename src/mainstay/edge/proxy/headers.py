"""What an origin is told of a request, and what a client is told of an answer. Pure functions over bytes."""

from collections.abc import Collection, Sequence

from mainstay.edge.gateway.hygiene import HOP_BY_HOP, ONLY_OURS, OURS
from mainstay.edge.http.exchange import Head, Header

NAME = b"mainstay"
MOST_HOPS = 8
"""A request that came through so many of us goes in circles."""

FRAMING = frozenset({b"content-length", b"transfer-encoding", b"host", b"expect", b"via"})
"""What the forwarded request says by itself, never with the client's words."""

CANNOT_BE_NAMED = frozenset({b"content-type", b"authorization", b"cookie", b"origin"})
"""What `Connection` cannot take away: a client must not choose what a rule further on gets to see."""

ANSWER_DROPS = HOP_BY_HOP | {b"content-length"}

_MOST_REMEMBERED = 2048
_passes: dict[bytes, bool] = {}


def passes(name: bytes) -> bool:
    """Say whether a client's header may go on to an origin, by its name alone (in lower case)."""
    known = _passes.get(name)
    if known is None:
        known = not (name in ONLY_OURS or name in FRAMING or name.startswith(OURS) or b"_" in name)
        if len(_passes) >= _MOST_REMEMBERED:
            _passes.clear()  # names are the clients' choice: what is remembered of them is bounded
        _passes[name] = known
    return known


def named_by(connection: Sequence[bytes]) -> frozenset[bytes]:
    """Give what `Connection` headers name, in lower case."""
    words = (word.strip().lower() for value in connection for word in value.split(b","))
    return frozenset(words)


def client_headers(head: Head, drop: Collection[bytes] = ()) -> list[bytes]:
    """Give the lines (without their ends) of the client's headers that an origin may see."""
    remember = _passes.get
    dropped: Collection[bytes] = drop
    connection = head.get(b"connection")
    if connection is not None and connection.lower() not in (b"keep-alive", b"close"):
        dropped = (named_by(head.all(b"connection")) - CANNOT_BE_NAMED) | frozenset(drop)
    if dropped:
        return [n + b": " + v for n, v in head.headers if passes(n) and n not in dropped]
    return [n + b": " + v for n, v in head.headers if (known := remember(n)) or (known is None and passes(n))]


def hops(head: Head) -> int:
    """Say how many of us a request has come through."""
    return sum(value.lower().count(b" " + NAME) for value in head.all(b"via"))


def framing(head: Head) -> bytes:
    """Give the line that says how the body is framed on the way to the origin; empty without a body."""
    if head.length is None:
        return b"transfer-encoding: chunked\r\n"
    if head.length or head.method in (b"POST", b"PUT", b"PATCH"):
        return b"content-length: %d\r\n" % head.length
    return b""


def via(head: Head) -> bytes:
    """Give the value of `Via` for the origin: those who carried it before, and us."""
    before = head.all(b"via")
    return b", ".join([*before, head.version + b" " + NAME]) if before else head.version + b" " + NAME


def answer_headers(headers: list[Header], ours: Collection[bytes]) -> list[Header]:
    """Give an origin's headers without those between two neighbours, the framing, and names that we set ourselves."""
    drop = ANSWER_DROPS
    for name, value in headers:
        if name == b"connection" and (named := named_by([value]) - drop):
            return [pair for pair in headers if pair[0] not in drop | named and pair[0] not in ours]
    if ours:
        return [pair for pair in headers if pair[0] not in drop and pair[0] not in ours]
    return [pair for pair in headers if pair[0] not in drop]
