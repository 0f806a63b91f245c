"""The options of a route that say where its requests go, and how they are carried."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema

from mainstay.core.paths import ConfigPath
from mainstay.core.plugin import Settings
from mainstay.core.units import Duration

_URL = re.compile(
    r"(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?::([0-9]{1,5}))?/?"
)
_TARGET = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*")


def check_origin(text: str) -> str:
    """Give the address without a slash at its end; raises `ValueError` when it is not one of a server."""
    found = _URL.fullmatch(text)
    if not found or not 0 < int(found[3] or 1) < 65536:
        raise ValueError(
            f"{text!r} is not the address of an origin; write it like http://127.0.0.1:8000, without a path"
        )
    return text.rstrip("/")


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _distinct(urls: list[str]) -> list[str]:
    if len(set(urls)) != len(urls):
        raise ValueError("an origin is named twice")
    return urls


def _check_target(text: str) -> str:
    if not _TARGET.fullmatch(text) or "//" in text or any(part in (".", "..") for part in text.split("/")):
        raise ValueError(f"{text!r} is not a path; write it like / or /v2")
    return text


OriginUrl = Annotated[str, AfterValidator(check_origin)]
OriginUrls = Annotated[
    list[OriginUrl],
    BeforeValidator(_one_or_more),
    AfterValidator(_distinct),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "description": "the address of a server"},
                {"type": "array", "items": {"type": "string"}, "description": "addresses of servers"},
            ],
            "examples": ["http://127.0.0.1:8000"],
        }
    ),
]
"""One address, or a list of them."""
Target = Annotated[str, AfterValidator(_check_target)]
HostName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:\[\]-]{1,255}$")]


class HealthSettings(Settings):
    """A question that is asked of every origin again and again; an origin that fails it gets no requests."""

    path: Target = "/healthz"
    """What is asked for, with GET; an answer from 200 to 399 is good."""
    every: Annotated[Duration, Field(ge=0.1)] = 5.0
    """How often."""
    timeout: Annotated[Duration, Field(gt=0)] = 2.0
    """How long an answer may take."""
    fails: Annotated[int, Field(ge=1, le=100)] = 2
    """So many bad answers in a row take an origin out; one good answer takes it in again."""
    host: HostName | None = None
    """The `Host` that is sent; the origin's own when left out."""


class CarrySettings(Settings):
    """How requests are carried to the origins of a route: time-outs and bounds."""

    connect: Annotated[Duration, Field(gt=0)] = 3.0
    """How long connecting may take; then another origin is tried, else the answer is 504."""
    answer: Annotated[Duration, Field(gt=0)] = 60.0
    """How long the head of an answer may take after the request was sent, else 504."""
    idle: Annotated[Duration, Field(gt=0)] = 60.0
    """How long an origin may be silent in the middle of an answer, or take nothing of a request's body."""
    tunnel_idle: Annotated[Duration, Field(gt=0)] = 600.0
    """How long a WebSocket may be silent on both sides before it is cut."""
    tunnels: Annotated[int, Field(ge=0, le=1_000_000)] = 10_000
    """How many WebSockets may be open at the same time in one process; further ones are answered 503."""
    connections: Annotated[int, Field(ge=1, le=65_535)] = 1024
    """How many requests an origin gets at the same time from one process; when all are full the answer is 503."""
    keep: Annotated[int, Field(ge=0, le=65_535)] = 64
    """How many unused connections to an origin are kept open."""
    keep_for: Annotated[Duration, Field(ge=0)] = 4.0
    """How long an unused connection is kept; less than the origin keeps it. A shorter time in the origin's own
    `Keep-Alive` header rules."""
    eject_after: Annotated[int, Field(ge=1, le=1000)] = 3
    """So many failures in a row (no connection, no answer in time, connection lost) take an origin out for one second,
    then for twice as long each time, a minute at most. The last origin that is left is never taken out."""
    drain: Annotated[Duration, Field(ge=0)] = 30.0
    """How long requests may go on at an origin that was taken away; then they are cut."""
    ca: ConfigPath | None = None
    """Certificates (PEM) that an `https` origin must be signed by; the system's when left out."""


class OriginSettings(Settings):
    """Where the requests of a route go."""

    origin: OriginUrls = []
    """Where its requests go: `http://127.0.0.1:8000`, or a list; the one with the fewest requests is taken."""
    protocol: Literal["http1", "http2"] = "http1"
    """What its origins speak: `http2` is for gRPC, by prior knowledge or with TLS. It takes `engine: envoy`, or another
    Envoy that asks."""
    rewrite: Target | None = None
    """What stands in the place of `path` at the origin: `/` takes the path away, `/v2` puts another one there."""
    host: HostName = "client"
    """The `Host` that the origin sees: the client's (`client`), the origin's own address (`origin`), or this name."""
    health: HealthSettings | None = None
    """A question that is asked of every origin; without it an origin is judged by its answers alone."""
    carry: CarrySettings = Field(default_factory=CarrySettings)
    """Time-outs and bounds."""
