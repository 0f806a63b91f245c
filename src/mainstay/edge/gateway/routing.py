"""Which route a request is for. A path is compared as an origin will read it, and refused when that may vary."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

from mainstay.edge.gateway.limits import Rule
from mainstay.edge.gateway.settings import CorsSettings, RouteSettings

_HOSTS: Final = 1024
_ODD: Final = re.compile(rb"%|//|/\.|\\|;")
_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")
_SLASHES: Final = re.compile(rb"/{2,}")


def plain(path: bytes, *, encoded_slashes: bool = False) -> bytes | None:
    """Give the path as an origin reads it: unescaped, single slashes, without `;parameters`.

    None when origins would not agree: dot segments, escaped slashes, backslashes, control characters, bad escapes.
    """
    if not _ODD.search(path):
        return path
    if _ESCAPE.search(path) or b"\\" in path:
        return None
    read = unquote_to_bytes(path)
    if not encoded_slashes and (read.count(b"/") != path.count(b"/") or b"\\" in read):
        return None
    parts = [part.partition(b";")[0] for part in read.replace(b"\\", b"/").split(b"/")]
    if _CONTROL.search(read) or b"." in parts or b".." in parts:
        return None
    return _SLASHES.sub(b"/", b"/".join(parts))


def literal(path: bytes) -> bytes:
    """Give the path as an origin reads it that keeps double slashes and `;parameters`."""
    return unquote_to_bytes(path)


@dataclass(slots=True)
class Cors:
    """Which pages of other sites may use a route, ready to be answered with."""

    everybody: bool
    origins: frozenset[bytes]
    preflight: list[tuple[bytes, bytes]]
    answer: list[tuple[bytes, bytes]]

    def lets(self, origin: bytes) -> bool:
        """Whether a site's pages may use it."""
        return self.everybody or origin in self.origins

    def headers(self, origin: bytes | None) -> list[tuple[bytes, bytes]]:
        """Give what an answer to a page of `origin` says."""
        if origin is None or not self.lets(origin):
            return [] if self.everybody else [(b"vary", b"Origin")]
        if self.everybody:
            return [(b"access-control-allow-origin", b"*"), *self.answer]
        return [(b"access-control-allow-origin", origin), (b"vary", b"Origin"), *self.answer]


_EXPOSED: Final = (
    "RateLimit", "RateLimit-Policy", "Retry-After", "X-RateLimit-Limit", "X-RateLimit-Remaining",
    "X-RateLimit-Reset", "X-Request-ID",
)  # fmt: skip


def cors_of(settings: CorsSettings) -> Cors:
    """Make ready what is answered."""
    credentials = [(b"access-control-allow-credentials", b"true")] if settings.credentials else []
    exposed = ", ".join([*settings.expose, *_EXPOSED]).encode()
    preflight = [
        (b"access-control-allow-methods", ", ".join(settings.methods).encode()),
        (b"access-control-allow-headers", ", ".join(settings.headers).encode()),
        (b"access-control-max-age", b"%d" % settings.max_age),
    ]
    return Cors(
        "*" in settings.origins,
        frozenset(origin.encode() for origin in settings.origins),
        preflight,
        [(b"access-control-expose-headers", exposed), *credentials],
    )


@dataclass(slots=True)
class Route:
    """A route, ready to be compared with requests."""

    settings: RouteSettings
    auth: str
    prefix: bytes
    methods: frozenset[bytes]
    plans: frozenset[str]
    rule: Rule | None
    cors: Cors | None
    inner: bytes = field(init=False)
    """The prefix with a slash behind it."""

    def __post_init__(self) -> None:
        self.inner = self.prefix if self.prefix.endswith(b"/") else self.prefix + b"/"

    def beside(self, other: "Route") -> bool:
        """Whether another route is for the same place, so that only methods tell them apart."""
        return self.inner == other.inner and self.settings.hosts == other.settings.hosts


def route_of(settings: RouteSettings, usual_auth: str) -> Route:
    """Make a route ready."""
    methods = {method.encode() for method in settings.methods}
    if b"GET" in methods:
        methods.add(b"HEAD")
    return Route(
        settings,
        settings.auth or usual_auth,
        settings.path.encode(),
        frozenset(methods),
        frozenset(settings.plans),
        Rule.of(settings.label, settings.limit),
        cors_of(settings.cors) if isinstance(settings.cors, CorsSettings) else None,
    )


@dataclass(slots=True)
class NoRoute:
    """Nothing is there, or nothing for this method: then `allowed` says for which there is."""

    allowed: frozenset[bytes] = frozenset()


class Router:
    """Finds routes: first those that name the host, then those of `*.host`, then the others; the longest path first."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes
        self._by_host: dict[bytes, list[Route]] = {}

    def find(
        self, method: bytes, host: bytes, path: bytes, preflight_for: bytes | None = None
    ) -> Route | NoRoute:
        """Give the route of a request whose path is `plain`. A preflight is for the method that it asks about."""
        asked = method if preflight_for is None else preflight_for
        routes = self._by_host.get(host)
        if routes is None:
            routes = self._of(host)
        first: Route | None = None
        others: set[bytes] = set()
        for route in routes:
            if not (path.startswith(route.inner) or path == route.prefix):
                continue
            if first is not None and not first.beside(route):
                break  # a method that the longest path does not take is not one for a shorter path's rules
            if not route.methods or asked in route.methods:
                return route
            first = first or route
            others |= route.methods
        return NoRoute(frozenset(others))

    def _of(self, host: bytes) -> list[Route]:
        name = bare_host(host)
        ranked = [(rank, route) for route in self._routes if (rank := _rank(route, name)) is not None]
        ranked.sort(key=lambda pair: (pair[0], -len(pair[1].inner), -len(pair[1].prefix)))
        if len(self._by_host) >= _HOSTS:
            self._by_host.clear()
        found = self._by_host[host] = [route for _, route in ranked]
        return found


def bare_host(host: bytes) -> str:
    """Give a host's name in lower case, without its port and a dot at its end."""
    text = host.decode("latin-1").lower()
    if text.startswith("["):
        return text.partition("]")[0] + "]"
    return text.partition(":")[0].rstrip(".")


def _rank(route: Route, name: str) -> int | None:
    """Give how well a route's hosts fit, the best one first; None when they do not."""
    hosts = route.settings.hosts
    if not hosts:
        return 1000
    if name in hosts:
        return 0
    fitting = [host for host in hosts if host.startswith("*.") and name.endswith(host[1:])]
    return 999 - max(map(len, fitting)) if fitting else None
