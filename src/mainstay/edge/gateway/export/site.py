"""What is exported, made ready for templates: who is asked, who is given what, and which names these have."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from mainstay.core.errors import ConfigError
from mainstay.core.listen import split
from mainstay.edge.gateway.settings import CorsSettings, GatewaySettings, RouteSettings
from mainstay.edge.http.settings import EdgeSettings

_PLAIN_PATH = re.compile(r"[A-Za-z0-9._~/@+:=,-]+")
_ANY = ("", "0.0.0.0", "::")  # noqa: S104  # what is compared with, not listened on
SYSTEM_CA = "/etc/ssl/certs/ca-certificates.crt"
"""Where Debian and its like keep the authorities that everybody trusts."""


@dataclass(frozen=True)
class Server:
    """A server that is connected to."""

    host: str
    port: int
    tls: bool
    authority: str
    """Host and port as a URL has them."""

    @property
    def address(self) -> str:
        """Host and port, always both; IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_name(self) -> bool:
        """Whether the host has to be looked up."""
        return not re.fullmatch(r"[0-9.]+|.*:.*", self.host)

    @property
    def loopback(self) -> bool:
        """Whether it is this machine."""
        return self.host in ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Way:
    """How the requests of one or more routes are carried on."""

    mark: str
    labels: tuple[str, ...]
    route: RouteSettings
    servers: tuple[Server, ...]

    @property
    def cors(self) -> bool:
        """Whether it is the gateway's to say which pages may read an answer."""
        return isinstance(self.route.cors, CorsSettings)

    @property
    def tls(self) -> bool:
        """Whether its origins speak TLS."""
        return self.servers[0].tls

    @property
    def ca(self) -> str:
        """File of the authorities that its origins must be signed by."""
        return safe_path(self.route.carry.ca or SYSTEM_CA)

    @property
    def host(self) -> str | None:
        """The one `Host` that its origins see; None when it is the client's, or that of each origin."""
        if self.route.host == "origin":
            return self.servers[0].authority if len(self.servers) == 1 else None
        return None if self.route.host == "client" else self.route.host

    @property
    def named_by_host(self) -> bool:
        """Whether its origins can be called by their own `Host`, where that is how each gets it."""
        return self.route.host == "origin" and not any("[" in server.authority for server in self.servers)


@dataclass(frozen=True)
class Site:
    """Everything that a template is given."""

    edge: EdgeSettings
    gateway: GatewaySettings | None
    webhooks: bool
    listen: str
    """Where the other proxy is to listen, HOST:PORT."""
    hooks: str
    """Beginning of the paths of webhooks, with a slash at both ends."""
    supervised: bool = False
    """Whether the other proxy is a part of mainstay and stands where clients come, with nobody beside it."""
    ways: tuple[Way, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ways", _ways(self.gateway.routes) if self.gateway else ())
        if not self.gateway and not self.webhooks:
            raise ConfigError(
                "there are neither webhooks nor a gateway in this configuration",
                hint="add `gateway:` or `webhooks:`",
            )
        if self.gateway and self.gateway.decide is None and not self.supervised:
            raise ConfigError(
                "the gateway does not let other proxies ask",
                hint="add `decide: {}` under `gateway:`",
            )

    def check(self) -> None:
        """Look at all that is read later. Raises `ConfigError`."""
        _ = self.asked, self.certificate, self.key, self.client_ca, [way.ca for way in self.ways]

    @property
    def asked(self) -> Server:
        """Where the gateway is asked."""
        return _own("decide", self.edge)

    @property
    def receiver(self) -> Server:
        """The receiver of webhooks."""
        return _own("webhooks", self.edge)

    @property
    def place(self) -> tuple[str, int]:
        """Host and port to listen on; the host is empty for every address."""
        host, port = split(self.listen)
        return ("" if host in _ANY else host), port

    @property
    def certificate(self) -> str | None:
        """PEM file of the certificate."""
        return safe_path(self.edge.tls.certificate) if self.edge.tls else None

    @property
    def key(self) -> str | None:
        """PEM file of its key."""
        return safe_path(self.edge.tls.key) if self.edge.tls else None

    @property
    def client_ca(self) -> str | None:
        """PEM file of the authorities of clients' certificates."""
        return safe_path(self.edge.tls.client_ca) if self.edge.tls and self.edge.tls.client_ca else None

    @property
    def certificates(self) -> bool:
        """Whether a client's certificate may say who it is."""
        asked = self.gateway is not None and self.gateway.auth.certificates is not None
        return asked and self.client_ca is not None

    @property
    def key_beside(self) -> str:
        """Where HAProxy looks for the key."""
        return f"{self.certificate}.key"

    @property
    def fronts(self) -> list[str]:
        """Proxies before the other proxy, whose word on the client's address is believed.

        This very machine is not one of them where the other proxy is beside them.
        """
        nets = [str(ip_network(each, strict=False)) for each in self.edge.trusted_proxies]
        if self.supervised:
            return nets
        return [net for net in nets if net not in ("127.0.0.1/32", "::1/128")]

    @property
    def dropped(self) -> list[str]:
        """Credentials that origins must not see."""
        if self.gateway is None or self.gateway.auth.forward:
            return []
        keys = self.gateway.auth.keys
        return ["Authorization", *([keys.header] if keys else [])]

    @property
    def shown(self) -> list[str]:
        """The headers of a client that the policy looks at."""
        keys = self.gateway.auth.keys if self.gateway else None
        return ["Authorization", "Origin", "Access-Control-Request-Method", *([keys.header] if keys else [])]

    @property
    def longest_silence(self) -> float:
        """Seconds that any request or tunnel may be silent, whichever way it goes."""
        carried = [way.route.carry for way in self.ways]
        longest = [max(carry.answer, carry.idle, carry.tunnel_idle) for carry in carried]
        return max(self.edge.body_timeout, *longest) if longest else self.edge.body_timeout

    @property
    def head_room(self) -> int:
        """Bytes that a head may have, so that the question about it, which is longer, is not too long."""
        return self.edge.max_head - min(4096, self.edge.max_head // 4)


@dataclass(frozen=True)
class Exported:
    """What was written, and what could not be."""

    files: dict[str, str]
    """By name; the first one is the configuration itself."""
    notes: Sequence[str]
    """What the proxy cannot do of what the configuration asks for, a sentence each."""


def safe_path(path: object) -> str:
    """Give a path as it is; raises `ConfigError` for characters that some configuration would read as its own."""
    text = str(path)
    if not _PLAIN_PATH.fullmatch(text):
        raise ConfigError(
            f"the path {text!r} has characters that other proxies read as something else",
            hint="keep the file where its path has only letters, digits and . _ ~ / @ + : = , -",
        )
    return text


def covers(networks: Iterable[str], host: str) -> bool:
    """Whether an address is in one of the networks; a name is in none."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return any(address in ip_network(network, strict=False) for network in networks)


def _ways(routes: Iterable[RouteSettings]) -> tuple[Way, ...]:
    found: dict[str, list[RouteSettings]] = {}
    for route in routes:
        if not route.origin:
            raise ConfigError(
                f"the route {route.label} does not say where its requests go",
                hint="give every route an `origin`, which the other proxy is to carry them to",
            )
        if len({url.partition(":")[0] for url in route.origin}) > 1:
            raise ConfigError(
                f"the route {route.label} has origins with and without TLS",
                hint="no other proxy can mix http and https in one route; give all of them the same",
            )
        found.setdefault(route.way, []).append(route)
    return tuple(
        Way(mark, tuple(route.label for route in alike), alike[0], tuple(map(_server, alike[0].origin)))
        for mark, alike in found.items()
    )


def _server(url: str) -> Server:
    parts = urlsplit(url)
    tls = parts.scheme == "https"
    return Server(parts.hostname or "", parts.port or (443 if tls else 80), tls, parts.netloc)


def _own(listener: str, edge: EdgeSettings) -> Server:
    host, port = split(edge.address(listener))
    if port == 0:
        raise ConfigError(f"edge.{listener} is a free port", hint=f"name a port: edge: {{{listener}: ...}}")
    host = "127.0.0.1" if host in _ANY else host
    return Server(host, port, edge.secures(listener), f"{host}:{port}")
