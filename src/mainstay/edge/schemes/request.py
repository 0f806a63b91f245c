"""A request as it is given to a scheme, on the bytes that came."""

import json
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from typing import Any

from pydantic_core import from_json

LONGEST_ID = 256
LARGEST_DOCUMENT = 1024 * 1024
"""Bytes of a body that is parsed for its id and type; reading more would hold up the other requests."""
_UNREAD = object()


class Headers:
    """A request's headers; names in any case, values as ISO 8859-1 like on the wire."""

    __slots__ = ("_joined", "pairs")

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Take the pairs of `edge.http.exchange.Head.headers`: names are in lower case."""
        self.pairs = pairs if isinstance(pairs, list) else list(pairs)
        self._joined: dict[bytes, bytes] = {}

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> "Headers":
        """Make them of text."""
        return cls((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs)

    def _join(self) -> None:
        joined = self._joined
        for key, value in self.pairs:
            joined[key] = value if key not in joined else b"%b, %b" % (joined[key], value)

    def all(self, name: str) -> list[str]:
        """Give every value of a header, in order."""
        wanted = _wire(name)
        return [value.decode("latin-1") for key, value in self.pairs if key == wanted]

    def get(self, name: str) -> str | None:
        """Give a header's value; a repeated one is joined with commas (RFC 9110, 5.3), an empty one is none."""
        if not self._joined:
            self._join()
        found = self._joined.get(_wire(name))
        return found.decode("latin-1").strip(" \t") or None if found else None


@lru_cache(1024)
def _wire(name: str) -> bytes:
    """Write a header's name as it comes: always the same few are asked for."""
    return name.lower().encode("latin-1", "replace")


class Delivery:
    """One request as it arrived, whole."""

    __slots__ = ("_document", "body", "headers", "method", "path", "peer", "query", "url")

    def __init__(
        self, method: str, path: str, query: str, headers: Headers, body: bytes, peer: str, url: str
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        """What stands behind the `?`, as it was sent."""
        self.headers = headers
        self.body = body
        self.peer = peer
        """The sender's IP address, as trusted proxies say it."""
        self.url = url
        """The address that the sender called, with its query: some schemes sign it."""
        self._document: Any = _UNREAD

    def document(self) -> Any:
        """Give the body's JSON, read once; None when it is none, or too large to be looked into here."""
        if self._document is _UNREAD:
            self._document = parse(self.body) if len(self.body) <= LARGEST_DOCUMENT else None
        return self._document

    def inside(self, *path: str) -> Any:
        """Give what stands in the body's JSON at a path of keys, else None."""
        found = self.document()
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return found


def parse(body: bytes) -> Any:
    """Read JSON; None when it is none."""
    with suppress(ValueError):
        return from_json(body)
    try:
        return json.loads(body)  # it takes five times as long, and reads lone surrogates and UTF-16
    except (ValueError, RecursionError):
        return None


def word(value: Any) -> str | None:
    """Make an id or a type of what a sender wrote; None when it is nothing to keep (too long, not printable)."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) < 10**40 else None
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_ID:
        return None
    return value.strip(" ") or None if value.isprintable() else None
