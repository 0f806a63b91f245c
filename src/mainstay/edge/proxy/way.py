"""How the requests of one route are written for its origins."""

from collections.abc import Mapping
from typing import Final

from mainstay.edge.gateway.policy import Admit
from mainstay.edge.gateway.rewriting import Rewrite
from mainstay.edge.gateway.settings import CorsSettings, RouteSettings
from mainstay.edge.http.accesslog import said
from mainstay.edge.http.exchange import Head
from mainstay.edge.http.turn import Turn
from mainstay.edge.proxy.headers import NAME, framing, onward

UPGRADE: Final = b"connection: Upgrade\r\nupgrade: websocket\r\n"
_VIAS: Final = {version: b"via: %b %b\r\n" % (version, NAME) for version in (b"1.0", b"1.1")}
_MOST_REMEMBERED: Final = 4096


class Way:
    """What is the same for every request of a route, made once."""

    def __init__(self, route: RouteSettings) -> None:
        self.target = Rewrite(route).target
        self._host = None if route.host in ("client", "origin") else route.host.encode()
        self._keeps_host = route.host == "client"
        self._told: dict[tuple[str, bytes, bool], bytes] = {}
        self.label = route.label
        self.noted = said("route", route.label)
        self.cors = isinstance(route.cors, CorsSettings)
        """Whether it is ours to say which pages may read an answer."""

    def head(
        self, exchange: Turn, fields: Mapping[bytes, bytes], admit: Admit, target: bytes, authority: bytes
    ) -> bytes:
        """Give the whole head of the request for the origin at `authority`.

        Framing, `Host`, `Connection`, `Via` and `X-Forwarded-*` are our own words; of the client's headers go on those
        that cannot be mistaken for ours.
        """
        head = exchange.head
        host = (head.host or authority) if self._keeps_host else self._host or authority
        lines = onward(head, admit.drop)
        pieces = [head.method, b" ", target, b" HTTP/1.1\r\nhost: ", host, b"\r\n", lines]
        for name, value in admit.headers_to_origin:
            pieces += (name, b": ", value, b"\r\n")
        told = self._told.get((exchange.peer, head.host, exchange.secure)) or self._tell(exchange)
        pieces += (told, _via(head) if b"via" in fields else _VIAS[head.version])
        if head.length != 0 or head.method != b"GET":
            pieces += (framing(head), b"expect: 100-continue\r\n" if head.expect else b"")
        pieces += (UPGRADE if head.upgrade else b"", b"\r\n")
        return b"".join(pieces)

    def _tell(self, exchange: Turn) -> bytes:
        """Give the lines about the client, which are the same for many of its requests."""
        head = exchange.head
        if len(self._told) >= _MOST_REMEMBERED:
            self._told.clear()
        told = b"x-forwarded-for: %b\r\nx-forwarded-proto: %b\r\nx-forwarded-host: %b\r\n" % (
            exchange.peer.encode(),
            b"https" if exchange.secure else b"http",
            head.host,
        )
        self._told[exchange.peer, head.host, exchange.secure] = told
        return told


def _via(head: Head) -> bytes:
    """Give `Via` with those who carried the request before."""
    return b"via: " + b", ".join([*head.all(b"via"), head.version + b" " + NAME]) + b"\r\n"
