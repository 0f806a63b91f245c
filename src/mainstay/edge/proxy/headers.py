"""What an origin is told of a request, and what a client is told of an answer. Pure functions over bytes."""

from collections.abc import Mapping, Sequence
from typing import Final

from mainstay.edge.gateway.hygiene import HOP_BY_HOP, ONLY_OURS, OURS
from mainstay.edge.http.exchange import Head, Header
from mainstay.edge.http.turn import lines_of
from mainstay.edge.proxy.answerhead import AnswerHead

NAME: Final = b"mainstay"
MOST_HOPS: Final = 8
"""A request that came through so many of us goes in circles."""

FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"host", b"expect", b"via"})
"""What the forwarded request says by itself, never with the client's words."""

CANNOT_BE_NAMED: Final = frozenset({b"content-type", b"authorization", b"cookie", b"origin"})
"""What `Connection` cannot take away: a client must not choose what a rule further on gets to see."""

PLAIN: Final = frozenset({b"keep-alive", b"close", b"Keep-Alive", b"Close", b"Upgrade", b"upgrade"})
"""Values of `Connection` that name no header which would go through."""

ANSWER_DROPS: Final = HOP_BY_HOP | {b"content-length"}
ANSWER_ODD: Final = ANSWER_DROPS - {b"content-length", b"connection", b"keep-alive", b"transfer-encoding"}
"""What an answer seldom has; its framing `lines_of` leaves out by itself."""

_MOST_REMEMBERED: Final = 2048
_LONGEST_REMEMBERED: Final = 64
_passes: dict[bytes, bool] = {}


def passes(name: bytes) -> bool:
    """Say whether a client's header may go on to an origin, by its name alone (in lower case)."""
    known = _passes.get(name)
    if known is None:
        known = not (name in ONLY_OURS or name in FRAMING or name.startswith(OURS) or b"_" in name)
        if len(name) > _LONGEST_REMEMBERED:
            return known  # names are the clients' choice: what is remembered of them is bounded
        if len(_passes) >= _MOST_REMEMBERED:
            _passes.clear()
        _passes[name] = known
    return known


def named_by(connection: Sequence[bytes]) -> frozenset[bytes]:
    """Give what `Connection` headers name, in lower case."""
    words = (word.strip().lower() for value in connection for word in value.split(b","))
    return frozenset(words)


def onward(head: Head, drop: frozenset[bytes]) -> bytes:
    """Give the lines of the client's headers that an origin may see; for the same lines they are worked out once."""
    block = head.block
    if block.onward is None or block.onward_without is not drop:
        block.onward, block.onward_without = _onward(head, drop), drop
    return block.onward


def _onward(head: Head, drop: frozenset[bytes]) -> bytes:
    dropped = drop
    if b"connection" in head.block.fields:
        values = head.all(b"connection")
        if len(values) > 1 or values[0] not in PLAIN:
            dropped = (named_by(values) - CANNOT_BE_NAMED) | drop
    pieces: list[bytes] = []
    for name, value in head.headers:
        if passes(name) and not (dropped and name in dropped):
            pieces += (name, b": ", value, b"\r\n")
    return b"".join(pieces)


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


def answer_headers(
    headers: list[Header], fields: Mapping[bytes, bytes], ours: list[Header], *, cors: bool
) -> list[Header]:
    """Give what a client is told: the origin's headers but those between two neighbours, and ours.

    Ours replace the origin's of the same name, but `Vary`, which both may say. With `cors` it is ours alone to say
    which pages may read an answer. `fields` are the origin's headers by name.
    """
    drop = ANSWER_DROPS | frozenset(name for name, _ in ours if name != b"vary")
    if b"connection" in fields:
        drop |= named_by([value for name, value in headers if name == b"connection"])
    return [
        pair
        for pair in headers
        if pair[0] not in drop and not (cors and pair[0].startswith(b"access-control-"))
    ] + ours


def _replaces(ours: list[Header], fields: Mapping[bytes, bytes]) -> bool:
    for name, _ in ours:  # noqa: SIM110 - compiled it is quicker
        if name in fields:
            return True
    return False


def told(head: AnswerHead, ours: list[Header], *, cors: bool) -> bytes:
    """Give the lines of `answer_headers`; those of the origin are worked out once for each head.

    Raises `ValueError` when a header holds a control character.
    """
    fields = head.fields
    if head.lines is None:
        head.lines = lines_of(head.headers)
        named = [value for name, value in head.headers if name == b"connection"]
        head.plain = PLAIN.issuperset(named) and ANSWER_ODD.isdisjoint(fields)
    if cors or not head.plain or _replaces(ours, fields):
        return lines_of(answer_headers(head.headers, fields, ours, cors=cors))
    return head.lines + lines_of(ours)
