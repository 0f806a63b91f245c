"""Under which path an origin gets what is asked for."""

from mainstay.edge.gateway.settings import RouteSettings


class CannotRewrite(ValueError):
    """A path that fits a route in another spelling than the route's own."""


class Rewrite:
    """What `rewrite` of a route does."""

    def __init__(self, route: RouteSettings) -> None:
        self._front = route.path.rstrip("/").encode()
        self._instead = None if route.rewrite is None else route.rewrite.rstrip("/").encode()

    def target(self, sent: bytes) -> bytes:
        """Give the path and query for the origin; raises `CannotRewrite`."""
        if self._instead is None:
            return sent
        front = self._front
        rest = sent[len(front) :]
        if not sent.startswith(front) or rest[:1] not in (b"/", b"?", b""):
            raise CannotRewrite
        if rest[:1] == b"/":  # `//host` is another server to some who read it
            rest = b"/" + rest.lstrip(b"/")
        return self._instead + rest if self._instead or rest[:1] == b"/" else b"/" + rest
