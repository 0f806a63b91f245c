"""Headers as they lie in the log, and as the journal has them: as JSON, which is written when they are imported."""

import json
from json.encoder import encode_basestring_ascii as quoted

from mainstay.edge.http.exchange import Header

MASKED = "********"
PRIVATE = frozenset({b"authorization", b"proxy-authorization", b"cookie"})
"""Headers that would let their reader in: their values are never kept."""
STEADY = frozenset(
    {b"accept", b"accept-encoding", b"connection", b"content-length", b"content-type", b"host", b"user-agent"}
)
"""Headers whose values are the same for many requests; those of signatures never come again."""
MOST_KNOWN, LONGEST_KNOWN = 4096, 100
_MASKED = MASKED.encode()


def joined(headers: list[Header]) -> bytes:
    """Write headers as lines; the values of private ones are masked. No header holds a line feed."""
    pieces: list[bytes] = []
    for name, value in headers:
        pieces.append(name)
        pieces.append(b":")
        pieces.append(_MASKED if name in PRIVATE else value)
        pieces.append(b"\n")
    return b"".join(pieces)


def pairs(lines: bytes) -> list[Header]:
    """Read what `joined` has written."""
    found: list[Header] = []
    for line in lines.split(b"\n"):
        if line:
            name, _, value = line.partition(b":")
            found.append((name, value))
    return found


def lines_of(text: str) -> bytes:
    """Give as lines what is written as JSON."""
    return joined([(name.encode("latin-1"), value.encode("latin-1")) for name, value in json.loads(text)])


def agent(headers: list[Header]) -> str | None:
    """Give the program that sent a request, as it calls itself."""
    values = [value.decode("latin-1") for name, value in headers if name == b"user-agent"]
    return ", ".join(values).strip(" \t") or None


def written(headers: list[Header]) -> str:
    """Write headers as JSON."""
    pieces = [_known.get(pair) or _learned(pair) for pair in headers]
    return f"[{','.join(pieces)}]"


def kept(lines: bytes) -> tuple[str, str | None]:
    """Give what the journal keeps of headers that were written as lines: them as JSON, and the sender's program."""
    headers = pairs(lines)
    return written(headers), agent(headers)


def _learned(pair: Header) -> str:
    """Write one header. What comes with every request is kept for the next."""
    name, value = pair
    piece = f"[{quoted(name.decode('latin-1'))},{quoted(value.decode('latin-1'))}]"
    if name in STEADY and len(value) <= LONGEST_KNOWN:
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        _known[pair] = piece
    return piece


_known: dict[Header, str] = {}
