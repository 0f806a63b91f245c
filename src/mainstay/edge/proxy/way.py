"""How the requests of one route are written for its origins."""

from mainstay.edge.gateway.policy import Admit
from mainstay.edge.gateway.settings import RouteSettings
from mainstay.edge.http.exchange import Exchange, Header
from mainstay.edge.proxy.headers import client_headers, framing, via

UPGRADE = b"connection: Upgrade\r\nupgrade: websocket\r\n"


class CannotRewrite(ValueError):
    """A path that fits a route in another spelling than the route's own."""


class Way:
    """What is the same for every request of a route, made once."""

    def __init__(self, route: RouteSettings) -> None:
        self._front = route.path.rstrip("/").encode()
        self._instead = None if route.rewrite is None else route.rewrite.rstrip("/").encode()
        self._host = None if route.host in ("client", "origin") else route.host.encode()
        self._keeps_host = route.host == "client"

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

    def head(self, exchange: Exchange, admit: Admit, target: bytes, authority: bytes) -> bytes:
        """Give the whole head of the request for the origin at `authority`.

        Framing, `Host`, `Connection` and `X-Forwarded-*` are our own words; of the client's headers go on those that
        cannot be mistaken for ours.
        """
        head = exchange.head
        host = (head.host or authority) if self._keeps_host else self._host or authority
        lines = client_headers(head, admit.drop)
        lines += [name + b": " + value for name, value in admit.headers_to_origin]
        lines.append(
            b"x-forwarded-for: %b\r\nx-forwarded-proto: %b\r\nx-forwarded-host: %b\r\nvia: %b\r\n%b%b"
            % (
                exchange.peer.encode(),
                b"https" if exchange.secure else b"http",
                head.host or host,
                via(head),
                framing(head),
                UPGRADE if head.upgrade else b"expect: 100-continue\r\n" if head.expect else b"",
            )
        )
        return b"%b %b HTTP/1.1\r\nhost: %b\r\n%b\r\n" % (head.method, target, host, b"\r\n".join(lines))


def answers_id(headers: list[Header]) -> bytes:
    """Give the request's id among what is told to the client; empty when there is none."""
    for name, value in headers:
        if name == b"x-request-id":
            return value
    return b""
