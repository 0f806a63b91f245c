"""What a client's headers are cleaned of before an origin sees them."""

import re
from collections.abc import Collection, Iterable
from typing import Final

from mainstay.edge.http.exchange import Header

HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    }
)
"""Headers that are between two neighbours only (RFC 9110, 7.6.1)."""

OURS: Final = (b"x-user-", b"x-forwarded-")
"""Names that begin so are only ever set by us: what a client sends under them is a forgery."""

ONLY_OURS: Final = HOP_BY_HOP | {
    b"forwarded",
    b"x-real-ip",
    b"x-request-id",
    b"x-mainstay-signature",
    b"x-original-url",
    b"x-original-uri",
    b"x-original-method",
    b"x-rewrite-url",
}
"""Names that are dropped whole; the last ones make some frameworks take another path than the one that was judged."""

OVERRIDES: Final = frozenset({b"x-http-method-override", b"x-http-method", b"x-method-override"})
"""Names that make some frameworks take another method than the one that a route with `methods` was chosen by."""

_VALUE: Final = re.compile(rb"[\x21-\x7e]{1,256}")


def clean(headers: Iterable[Header], drop: Collection[bytes] = ()) -> list[Header]:
    """Give the client's headers without what it may not say to an origin.

    Removed are: hop-by-hop headers and those that `Connection` names, names with `_` (WSGI and CGI read them as `-`),
    `X-User-*`, `X-Forwarded-*`, `Forwarded`, the request id, the signature, and `drop`. `Content-Length`
    and `Host` stay.
    """
    named = _named(headers := list(headers))
    return [
        (name, value)
        for name, value in headers
        if name not in ONLY_OURS
        and not name.startswith(OURS)
        and b"_" not in name
        and name not in drop
        and name not in named
    ]


KEPT: Final = frozenset({b"content-length", b"host", b"content-type", b"authorization", b"cookie", b"origin"})
"""What `Connection` cannot take away: a client must not choose what a rule further on gets to see."""


def _named(headers: list[Header]) -> frozenset[bytes]:
    """Give what the `Connection` headers name, in lower case."""
    found = [value for name, value in headers if name == b"connection"]
    if not found or found == [b"keep-alive"]:
        return frozenset()
    words = (word.strip().lower() for value in found for word in value.split(b","))
    return frozenset(words) - KEPT


def safe(value: str) -> bytes | None:
    """Give a value fit for a header, or None when it is not: 1 to 256 visible ASCII characters, no space."""
    try:
        raw = value.encode("ascii")
    except UnicodeEncodeError:
        return None
    return raw if _VALUE.fullmatch(raw) else None
