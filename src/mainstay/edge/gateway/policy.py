"""One question and its decision: the contract between the gateway's policy and whoever carries the request.

The built-in proxy, the forward-auth endpoint and exported configurations all ask here, so that they give one verdict.
"""

import asyncio
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Protocol

from mainstay.edge.gateway.settings import RouteSettings
from mainstay.edge.http.exchange import Header


class Ask:
    """What is known of a request when its head has been read. No dataclass: there is one for each request."""

    __slots__ = (
        "certificate", "fields", "headers", "host", "method", "path", "peer", "request_id", "secure",
    )  # fmt: skip

    def __init__(
        self,
        method: bytes,
        host: bytes,
        path: bytes,
        headers: list[Header],
        peer: str,
        secure: bool = False,
        certificate: bytes | None = None,
        request_id: bytes = b"",
        fields: dict[bytes, bytes] | None = None,
    ) -> None:
        self.method = method
        """In upper case."""
        self.host = host
        """As it was sent, with its port if it has one."""
        self.path = path
        """As it was sent, without the query; it begins with a slash."""
        self.headers = headers
        """Names in lower case, as they came."""
        self.peer = peer
        """The client's address: that of the connection, or what a trusted proxy says of it."""
        self.secure = secure
        """Whether the client came by TLS."""
        self.certificate = certificate
        """The client's certificate in DER, when it showed one that was verified."""
        self.request_id = request_id
        """What this request is called in logs; goes to the origin and back to the client. The caller makes it."""
        self.fields = dict(headers) if fields is None else fields
        """The headers by name, the last one of each."""


class Admit:
    """Let it through."""

    __slots__ = (
        "drop", "headers_to_origin", "noted", "plan", "response_headers", "route", "subject",
    )  # fmt: skip

    def __init__(
        self,
        route: RouteSettings,
        headers_to_origin: list[Header],
        response_headers: list[Header],
        subject: str | None,
        plan: str | None,
        drop: frozenset[bytes] = frozenset(),
        noted: str = "",
    ) -> None:
        self.route = route
        self.headers_to_origin = headers_to_origin
        """What is added for the origin: identity and request id. Clean the client's own with `hygiene.clean(..., drop)`
        first. `Host`, framing, `Connection`, `X-Forwarded-*` and, by `Decides.signature`, the signature are the
        carrier's. It may be shared between requests: copy, do not change."""
        self.response_headers = response_headers
        """What is added to the origin's answer; they replace the origin's own of the same name."""
        self.subject = subject
        """Who asks; None when the route asks nobody who they are."""
        self.plan = plan
        self.drop = drop
        """Further headers of the client that the origin must not see: credentials, where that is configured."""
        self.noted = noted
        """What the access log says of whoever asks."""


@dataclass(slots=True)
class Deny:
    """Answer in the origin's stead: a refusal, or the answer to a preflight (204)."""

    status: int
    headers: list[Header]
    body: bytes
    why: str
    """A word for logs and metrics: `bad_path`, `no_route`, `method`, `preflight`, `address_limited`, `unauthorised`,
    `forbidden`, `plan_limited`, `route_limited`, `auth_down`, `store_down`, `forged`."""
    subject: str | None = None
    plan: str | None = None
    close: bool = False
    """Whether the connection is to be closed after the answer: it carried too many bad credentials."""
    route: str = ""
    """What the route is called that it was for, if there is one."""
    hold: float = 0.0
    """Seconds for which the answer is to be held back: a flood must not go as fast as we can refuse it."""


Verdict = Admit | Deny


@dataclass(slots=True)
class Pending:
    """Something has to be asked elsewhere first (keys, a validating service, a store of limits).

    Await it, or add a callback to `verdict`. It never fails: a fault elsewhere is a `Deny`. Cancelling `verdict` when
    the client has gone is allowed and stops nobody else's question.
    """

    verdict: asyncio.Future[Verdict] = field(repr=False)

    def __await__(self) -> Generator[None, None, Verdict]:
        return self.verdict.__await__()


Decision = Admit | Deny | Pending


class Decides(Protocol):
    """What the proxy and the forward-auth endpoint need of a policy."""

    def decide(self, ask: Ask, now: float, wall: float) -> Decision:
        """Judge a request. `now` is monotonic and rules the limits, `wall` is since 1970 and rules tokens' dates.

        Must be called on the event loop's thread, once per request: what it admits is counted.
        """
        ...

    def signature(self, method: bytes, target: bytes, admitted: Admit, wall: float) -> Header | None:
        """Sign what goes to the origin, whose path and query as it receives them are `target`; None when nothing is
        signed."""
        ...
