"""The head of an origin's answer, and which heads may be remembered instead of read again."""

from math import inf
from typing import Final

from mainstay.edge.http.exchange import Header
from mainstay.edge.http.head import TEXT
from mainstay.edge.http.memory import LONGEST, Memory

ROOM: Final = 1024 * 1024
"""Bytes that the heads of one origin's answers may take."""
DEPENDENT = frozenset({b"transfer-encoding", b"upgrade"})
"""Headers of answers that are read each time: their bodies need the parser."""
NO_BODY = frozenset({204, 304})
"""Answers without a body, whatever their heads say."""


class AnswerHead:
    """What a head says. It may serve many answers, so nobody changes it but by working out what follows from it."""

    __slots__ = ("fields", "headers", "length", "lines", "plain", "status")

    def __init__(
        self, status: int, headers: list[Header], fields: dict[bytes, bytes], length: int | None
    ) -> None:
        self.status = status
        self.headers = headers
        self.fields = fields
        """The headers by name; of a repeated one the last."""
        self.length = length
        """Bytes of the body; None when that is not known."""
        self.lines: bytes | None = None
        """The lines that go on to a client, once somebody has worked them out."""
        self.plain = False
        """Whether these are right when nothing of ours replaces any of them."""


Heads = Memory[AnswerHead]


def worth_keeping(raw: bytes, head: AnswerHead) -> bool:
    """Whether the same bytes mean the same again: `raw` is a whole final head of HTTP/1.1 whose body's length is known.

    `head` is what the parser has made of it, where the connection goes on and the request was no HEAD.
    """
    return (
        head.length is not None
        and head.status >= 200
        and head.status not in NO_BODY
        and raw.startswith(b"HTTP/1.1 %d " % head.status)
        and DEPENDENT.isdisjoint(head.fields)
        # A line more than there are headers is something that the parser read its own way.
        and raw.translate(None, TEXT) == b"\r\n" * (len(head.headers) + 2)
    )


def remember(heads: Heads, raw: bytes, head: AnswerHead) -> None:
    """Take note of a head that had to be read."""
    if len(raw) <= LONGEST and worth_keeping(raw, head):
        heads.met(raw, head, 1024 + 4 * len(raw) + 256 * len(head.headers))


def seconds_of(value: bytes) -> float:
    """Give the `timeout` of a `Keep-Alive` header, less a second for the way; no limit when it says nothing."""
    for part in value.lower().split(b","):
        name, _, number = part.strip().partition(b"=")
        if name == b"timeout" and number.isdigit() and len(number) < 8:
            return max(0.0, int(number) - 1.0)
    return inf


def size_of(headers: list[Header]) -> int:
    """Give the bytes of these headers as lines."""
    return sum(len(name) + len(value) + 4 for name, value in headers)
