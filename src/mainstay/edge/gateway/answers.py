"""What the gateway answers in an origin's stead."""

import json
from collections.abc import Iterable

from mainstay.edge.gateway.fields import retry_after
from mainstay.edge.gateway.limits.gcra import SECOND
from mainstay.edge.gateway.policy import Deny
from mainstay.edge.http.exchange import Header

_TITLES = {
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    429: "Too Many Requests", 503: "Service Unavailable",
}  # fmt: skip


def refusal(
    status: int, why: str, detail: str, headers: Iterable[Header] = (), *, close: bool = False
) -> Deny:
    """Refuse, as a problem of RFC 9457."""
    body = json.dumps({"title": _TITLES[status], "status": status, "detail": detail}).encode()
    fixed = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")]
    return Deny(status, [*fixed, *headers], body, why, close=close)


def unavailable(why: str, detail: str, wait: float) -> Deny:
    """It is not the client's fault, and it is worth coming back after `wait` seconds."""
    return refusal(503, why, detail, [retry_after(int(wait * SECOND))])
