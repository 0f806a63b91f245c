"""What everybody is told who does not get what he asked for: a problem of RFC 9457, in one shape from everywhere.

`title` and `status` are those of HTTP, `error` is a word for programs, `detail` says it to people, and `request_id` is
the request's name in the access log, where it has one.
"""

import json
from functools import lru_cache
from http import HTTPStatus

from mainstay.edge.http.exchange import Exchange, Header

HEADERS: tuple[Header, ...] = (
    (b"content-type", b"application/problem+json"),
    (b"cache-control", b"no-store"),
)


@lru_cache(256)
def problem(status: int, error: str, detail: str) -> bytes:
    """Give the body. There are few of them, whatever a flood brings, so they are remembered."""
    said = {"title": HTTPStatus(status).phrase, "status": status, "error": error, "detail": detail}
    return json.dumps(said).encode() + b"\n"


def named(said: bytes, request_id: bytes) -> bytes:
    """Put a request's name, which is fit for JSON as it stands, into a body; an empty body stays empty."""
    return said[:-2] + b', "request_id": "%b"}\n' % request_id if said and request_id else said


def refuse(exchange: Exchange, status: int, error: str, detail: str) -> None:
    """Answer with a problem and nothing else."""
    exchange.respond(status, HEADERS, problem(status, error, detail))
