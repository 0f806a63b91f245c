"""The options under `edge:`."""

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from mainstay.core.listen import Listen, split
from mainstay.core.paths import ConfigPath
from mainstay.core.plugin import Settings
from mainstay.core.units import Duration, Size
from mainstay.edge.http.limits import HeadLimits, Limits

LISTENERS = ("webhooks", "gateway", "decide")
LOOPBACK = ("127.0.0.1", "::1", "localhost")
LOG = Path("edge/access.log")
"""Where the access log is kept when nothing else is said, below `state_dir`."""


def _check_network(text: str) -> str:
    try:
        ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            f"{text!r} is not an address or a network; write it like 10.0.0.7 or 10.0.0.0/8"
        ) from None
    return text


def _meet(one: tuple[str, int], other: tuple[str, int]) -> bool:
    """Whether two addresses are the same, or one is everybody's with the same port."""
    everybody = ("", "0.0.0.0", "::")  # noqa: S104 - said, not bound
    same_host = one[0] == other[0] or one[0] in everybody or other[0] in everybody
    return same_host and one[1] == other[1] != 0


def _longer_than_nothing(seconds: float) -> float:
    if not 0.01 <= seconds <= 86400:
        raise ValueError("this takes at least 10ms and at most a day")
    return seconds


Patience = Annotated[Duration, AfterValidator(_longer_than_nothing)]
Network = Annotated[str, AfterValidator(_check_network)]


class TlsSettings(Settings):
    """Certificates. Changed files are used for new connections within seconds; a broken one leaves the old in force."""

    certificate: ConfigPath
    """PEM file of the certificate and those between it and the root, in this order."""
    key: ConfigPath
    """PEM file of its private key, without a password."""
    client_ca: ConfigPath | None = None
    """PEM file of the authorities of clients' certificates; a client may show one, and a wrong one is refused."""


class EdgeSettings(Settings):
    """Where the edge listens, and what it bears with."""

    webhooks: Annotated[Listen, Field(examples=["127.0.0.1:8421"])] = "127.0.0.1:8421"
    """Where webhooks are taken."""
    gateway: Annotated[Listen, Field(examples=["127.0.0.1:8422"])] = "127.0.0.1:8422"
    """Where the gateway listens."""
    decide: Annotated[Listen, Field(examples=["127.0.0.1:8423"])] = "127.0.0.1:8423"
    """Where other proxies ask the gateway, with `gateway.decide`: never where clients come. Plain HTTP on this very
    machine, by `tls` elsewhere."""
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    """How many processes share the work; each takes one core at most."""
    head_timeout: Patience = 10.0
    """How long a request's head may take from its first byte to its last; also a TLS handshake."""
    body_timeout: Patience = 30.0
    """How long a client may send less than 8 KiB of a body, or take less than 8 KiB of an answer that waits for it."""
    idle_timeout: Patience = 75.0
    """How long a connection may stay open between two requests."""
    drain_timeout: Patience = 20.0
    """How long requests under way may take to finish when the edge ends."""
    max_head: Annotated[Size, Field(ge=1024, le=2**20)] = 32 * 1024
    """Longest head of a request."""
    max_headers: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Most headers of a request."""
    max_uri: Annotated[Size, Field(ge=64, le=2**20)] = 8 * 1024
    """Longest path and query of a request."""
    max_body: Size = 10 * 1024 * 1024
    """Longest body of a webhook."""
    max_upload: Size = 1024 * 1024 * 1024
    """Longest body of a request to the gateway, which passes it on as it comes."""
    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] = 20_000
    """Most connections per process and address; who comes then gets 503."""
    pipeline: Annotated[int, Field(ge=1, le=1000)] = 16
    """How many requests that one client sent ahead are answered before all others have their turn."""
    trusted_proxies: list[Network] = ["127.0.0.1", "::1"]
    """Addresses and networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed."""
    webhooks_log: Annotated[Size, Field(ge=64 * 2**20)] = 2**30
    """How many bytes of webhooks may wait on this machine's disk until the journal takes them; what comes then gets
    503."""
    tls: TlsSettings | None = None
    """Certificates; without them plain HTTP is spoken, for behind a proxy."""
    access_log: bool | ConfigPath = True
    """File of one JSON line a request; `true` is edge/access.log in `state_dir`, `false` writes none."""
    access_log_size: Annotated[Size, Field(ge=4096)] = 64 * 1024 * 1024
    """Size at which the access log is renamed to FILE.1, in place of the one before, and begun anew."""

    @model_validator(mode="after")
    def _fits_together(self) -> Any:
        if self.processes > 1 and 0 in (split(self.address(name))[1] for name in LISTENERS):
            raise ValueError("several processes cannot share port 0; name a port")
        if self.meet("webhooks", "gateway"):
            raise ValueError("webhooks and gateway cannot listen on one address; give each its own port")
        if self.max_uri >= self.max_head:
            raise ValueError("max_uri must be smaller than max_head, which holds it")
        return self

    def address(self, listener: str) -> str:
        """Say where one of `LISTENERS` listens."""
        return {"webhooks": self.webhooks, "gateway": self.gateway, "decide": self.decide}[listener]

    def meet(self, one: str, other: str) -> bool:
        """Whether two of `LISTENERS` would be in each other's way."""
        return _meet(split(self.address(one)), split(self.address(other)))

    def secures(self, listener: str) -> bool:
        """Whether a listener speaks TLS. Questions on this very machine need none: nobody is in between."""
        if listener == "decide" and split(self.decide)[0] in LOOPBACK:
            return False
        return self.tls is not None

    def limits(self, body: int) -> Limits:
        """Give the limits of a listener that takes bodies of so many bytes."""
        return Limits(
            head=HeadLimits(self.max_head, self.max_headers, self.max_uri, body),
            head_timeout=self.head_timeout,
            body_timeout=self.body_timeout,
            idle_timeout=self.idle_timeout,
            connections=self.max_connections,
            pipeline=self.pipeline,
        )

    def log_file(self, state_dir: Path) -> Path | None:
        """Give the path of the access log."""
        if isinstance(self.access_log, Path):
            return self.access_log
        return state_dir / LOG if self.access_log else None
