"""One question and its decision: the contract between the gateway's policy and whoever carries the request.

The built-in proxy, the forward-auth endpoint and exported configurations all ask here, so that they give one verdict.
"""

import asyncio
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mainstay.edge.gateway.settings import RouteSettings
from mainstay.edge.http.exchange import Header


@dataclass(slots=True)
class Ask:
    """What is known of a request when its head has been read."""

    method: bytes
    """In upper case."""
    host: bytes
    """As it was sent, with its port if it has one."""
    path: bytes
    """As it was sent, without the query; it begins with a slash."""
    headers: Sequence[Header]
    """Names in lower case, as they came."""
    peer: str
    """The client's address: that of the connection, or what a trusted proxy says of it."""
    secure: bool = False
    """Whether the client came by TLS."""
    certificate: bytes | None = None
    """The client's certificate in DER, when it showed one that was verified."""
    request_id: bytes = b""
    """What this request is called in logs; goes to the origin and back to the client. The caller makes it."""
    fields: Mapping[bytes, bytes] | None = None
    """The headers by name, the last one of each, where the caller has them so already."""


@dataclass(slots=True)
class Admit:
    """Let it through."""

    route: RouteSettings
    headers_to_origin: list[Header]
    """What is added for the origin: identity and request id. Clean the client's own with `hygiene.clean(..., drop)`
    first. `Host`, framing, `Connection`, `X-Forwarded-*` and, by `Decides.signature`, the signature are the carrier's.
    It may be shared between requests: copy, do not change."""
    response_headers: list[Header]
    """What is added to the origin's answer; they replace the origin's own of the same name."""
    subject: str | None
    """Who asks; None when the route asks nobody who they are."""
    plan: str | None
    drop: frozenset[bytes] = frozenset()
    """Further headers of the client that the origin must not see: credentials, where that is configured."""


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
