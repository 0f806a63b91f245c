"""The forward-auth endpoint: another proxy asks here about each request, and carries it by itself.

Every proxy asks in its own dialect: where it puts method and path, and how it wants to be refused. All of them are
given every identity header each time, empty when nobody is known, because some copy only what they are given and would
let a client's own forgery through.

An admission says in `X-Gate-Route` how the request is to be carried (`RouteSettings.way`) and, where the route puts
another path in the place of its own, in `X-Gate-Target` what the origin is to be asked for. So a proxy need not find
the route a second time, and cannot find another one.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address, ip_network
from ssl import PEM_cert_to_DER_cert
from urllib.parse import unquote

from mainstay.edge.gateway import answers
from mainstay.edge.gateway.policy import Admit, Ask, Decides, Deny, Pending, Verdict
from mainstay.edge.gateway.rewriting import CannotRewrite, Rewrite
from mainstay.edge.gateway.settings import DecideSettings, RouteSettings
from mainstay.edge.gateway.signature import NAME as SIGNATURE
from mainstay.edge.http.exchange import Exchange, Head, Header
from mainstay.edge.http.problem import named, refuse
from mainstay.ports.clock import Clock

IDENTITY = (b"x-user-id", b"x-user-plan", b"x-request-id", SIGNATURE)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one kind of proxy asks and is answered."""

    method: bytes
    """The header with the client's method."""
    target: bytes
    """The header with the client's path and query."""
    host: bytes = b"x-forwarded-host"
    mapped: bool = False
    """Whether every refusal but 401 and 403 is answered as 403, with its own status in `X-Gate-Status`."""
    certificate: bytes = b""
    """The header with the client's certificate, which the proxy has verified, as Envoy writes it; none otherwise."""
    goes_on: bool = False
    """Whether any 2xx means that the request goes on, so that the answer to a preflight has to be 200. `X-Gate-Status`
    is 204 then, for a proxy that can give the client that; else the origin answers it."""


DIALECTS: Mapping[str, Dialect] = {
    # auth_request takes any status but 2xx, 401 and 403 for a fault of ours and answers 500.
    "nginx": Dialect(b"x-original-method", b"x-original-uri", b"x-original-host", mapped=True),
    "caddy": Dialect(b"x-forwarded-method", b"x-forwarded-uri", goes_on=True),
    "traefik": Dialect(b"x-forwarded-method", b"x-forwarded-uri", goes_on=True),
    # Asks with the request's own method and path, behind the path of this endpoint.
    "envoy": Dialect(b"", b"", certificate=b"x-forwarded-client-cert"),
    "haproxy": Dialect(b"x-original-method", b"x-original-uri", b"x-original-host"),
}


PREFIX = b"/decide/"
CERTIFICATE = re.compile(rb'(?:^|[;,])Cert="([^"]+)"')


Counted = Callable[[str, str], None]
"""Called with the route and why it is refused (`""` when it is not), once for each question."""


def _uncounted(route: str, why: str) -> None:
    pass


class Decider:
    """Answers `/decide/DIALECT`, on a listener where nothing else is.

    Clients must never reach it: whoever asks says who the client is.
    """

    def __init__(
        self,
        settings: DecideSettings,
        policy: Decides,
        clock: Clock,
        ids: Callable[[], bytes],
        counted: Counted = _uncounted,
    ) -> None:
        self._peers = [ip_network(peer, strict=False) for peer in settings.peers]
        self._trusted: dict[str, bool] = {}
        self._policy = policy
        self._rewrites: dict[str, Rewrite] = {}
        self._clock = clock
        self._ids = ids
        self._counted = counted

    def accept(self, exchange: Exchange) -> None:
        """Answer a question. It is believed only from the configured proxies, whoever else asks is answered 403."""
        if not self._believes(exchange.via):
            refuse(exchange, 403, "not_a_proxy", "this address may not ask")
            return
        name, _, rest = exchange.head.path.removeprefix(PREFIX).partition(b"/")
        known = exchange.head.path.startswith(PREFIX)
        dialect = DIALECTS.get(name.decode("latin-1")) if known else None
        ask = None if dialect is None else self._ask(exchange, dialect, b"/" + rest)
        if dialect is None or ask is None:
            refuse(exchange, 400, "not_a_question", "this is not a question of a known proxy")
            return
        found = self._policy.decide(ask, self._clock.monotonic(), self._clock.now())
        if isinstance(found, Pending):
            found.verdict.add_done_callback(partial(self._late, exchange, ask, dialect))
        else:
            self._answer(exchange, ask, dialect, found)

    def _believes(self, address: str) -> bool:
        found = self._trusted.get(address)
        if found is None:
            if len(self._trusted) > 1000:
                self._trusted.clear()
            found = self._trusted[address] = self._is_peer(address)
        return found

    def _is_peer(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        mapped = getattr(parsed, "ipv4_mapped", None)
        return any((mapped or parsed) in network for network in self._peers)

    def _ask(self, exchange: Exchange, dialect: Dialect, rest: bytes) -> Ask | None:
        """Give the client's request as the proxy tells it; None when it does not tell enough."""
        head = exchange.head
        told = {name: value for name, value in head.headers if name.startswith(b"x-")}
        method = told.get(dialect.method) if dialect.method else head.method
        target = told.get(dialect.target) if dialect.target else rest
        if not method or not target or not target.startswith(b"/"):
            return None
        peer = exchange.peer
        if peer == exchange.via and (chain := head.all(b"x-forwarded-for")):
            peer = chain[-1].rpartition(b",")[2].strip().decode("latin-1")
        return Ask(
            method.upper(),
            told.get(dialect.host) or head.host,
            target.partition(b"?")[0],
            head.headers,
            peer,
            exchange.secure or told.get(b"x-forwarded-proto") == b"https",
            _certificate(told.get(dialect.certificate, b"")),
            self._ids(),
        )

    def _late(
        self, exchange: Exchange, ask: Ask, dialect: Dialect, verdict: "asyncio.Future[Verdict]"
    ) -> None:
        if not exchange.gone and not verdict.cancelled():
            self._answer(exchange, ask, dialect, verdict.result())

    def _answer(self, exchange: Exchange, ask: Ask, dialect: Dialect, verdict: Verdict) -> None:
        if isinstance(verdict, Admit):
            try:
                exchange.respond(200, self._identity(exchange, ask, dialect, verdict))
                self._counted(verdict.route.label, "")
                return
            except CannotRewrite:
                verdict = _other_spelling(ask)
        self._counted("", verdict.why)
        status = (b"x-gate-status", b"%d" % verdict.status)
        headers = [*verdict.headers, *_EMPTY, status]
        if dialect.mapped and verdict.status not in (401, 403):
            exchange.respond(403, headers, verdict.body)
        elif dialect.goes_on and verdict.status == 204:
            exchange.respond(200, headers)
        else:
            exchange.respond(verdict.status, headers, verdict.body)

    def _identity(self, exchange: Exchange, ask: Ask, dialect: Dialect, admitted: Admit) -> list[Header]:
        """Give what an admission says; raises `CannotRewrite`."""
        onward = dict(admitted.headers_to_origin)
        rewritten = self._rewrite(admitted.route).target(_target(exchange.head, dialect, ask))
        signed = self._policy.signature(ask.method, rewritten, admitted, self._clock.now())
        if signed is not None:
            onward[signed[0]] = signed[1]
        rest = [header for header in admitted.response_headers if header[0] not in IDENTITY]
        instead = rewritten if admitted.route.rewrite is not None else b""
        return [
            *((name, onward.get(name, b"")) for name in IDENTITY),
            (b"x-gate-route", admitted.route.way.encode()),
            (b"x-gate-target", instead),
            *rest,
        ]

    def _rewrite(self, route: RouteSettings) -> Rewrite:
        found = self._rewrites.get(route.way)
        if found is None:
            if len(self._rewrites) > 1000:  # policies change under us
                self._rewrites.clear()
            found = self._rewrites[route.way] = Rewrite(route)
        return found


def _other_spelling(ask: Ask) -> Deny:
    """Refuse a path that fits its route only when it is unescaped: nobody knows how to put another one in its place."""
    refused = answers.refusal(400, "path_spelling", "the path of this route must be spelt as it is")
    if ask.request_id:
        refused.headers.append((b"x-request-id", ask.request_id))
        refused.body = named(refused.body, ask.request_id)
    return refused


def _certificate(told: bytes) -> bytes | None:
    """Give the certificate (DER) of `Hash=...;Cert="PEM, with percent signs"`."""
    found = CERTIFICATE.search(told)
    if found is None:
        return None
    try:
        return PEM_cert_to_DER_cert(unquote(found[1].decode("latin-1")))
    except ValueError:
        return None


def _target(head: Head, dialect: Dialect, ask: Ask) -> bytes:
    """Give path and query as the proxy was asked for them."""
    if dialect.target:
        return dict(head.headers).get(dialect.target, ask.path)
    return ask.path + (b"?" + head.query if head.query else b"")


_EMPTY: list[Header] = [(name, b"") for name in IDENTITY if name != b"x-request-id"]
