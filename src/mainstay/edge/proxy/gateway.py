"""The gateway's handler: asks the policy, then answers or has the request carried."""

import re
from asyncio import Future
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, cast

from mainstay.edge.gateway.naming import Names
from mainstay.edge.gateway.policy import Admit, Ask, Decides, Pending, Verdict
from mainstay.edge.gateway.rewriting import CannotRewrite
from mainstay.edge.gateway.seats import noted
from mainstay.edge.http.accesslog import milliseconds, said
from mainstay.edge.http.exchange import Exchange
from mainstay.edge.http.turn import Turn
from mainstay.edge.proxy import faults
from mainstay.edge.proxy.faults import Fault
from mainstay.edge.proxy.group import Group
from mainstay.edge.proxy.headers import MOST_HOPS, hops
from mainstay.edge.proxy.held import Held
from mainstay.edge.proxy.plane import Plane
from mainstay.edge.proxy.relay import Relay
from mainstay.ports.clock import Clock

SAFE_ID: Final = re.compile(rb"[A-Za-z0-9._-]{8,128}")
"""What a request may be called by a client or a proxy before us."""

Fields = Mapping[bytes, bytes]
Counted = Callable[[str, str], None]
"""Called with the route and why there is no answer of an origin (`""` when there is), once for each request."""


def _uncounted(route: str, why: str) -> None:
    pass


class Gateway:
    """Answers requests with what an origin says, when the policy admits them."""

    def __init__(self, policy: Decides, plane: Plane, clock: Clock, counted: Counted = _uncounted) -> None:
        self.policy = policy
        self.plane = plane
        self._monotonic = clock.monotonic
        self._now = clock.now
        self._counted = counted
        self._new_id = Names().new
        self._held = Held(plane.ticker)

    def accept(self, exchange: Exchange) -> None:
        self._accept(cast(Turn, exchange))  # there is no other one, and a known class is quicker to call

    def _accept(self, exchange: Turn) -> None:
        head = exchange.head
        fields = head.block.fields
        request_id = fields.get(b"x-request-id")
        if request_id is None or not SAFE_ID.fullmatch(request_id):
            request_id = self._new_id()
        now = self._monotonic()
        ask = Ask(
            head.method,
            head.host,
            head.path,
            head.headers,
            exchange.peer,
            exchange.secure,
            exchange.certificate,
            request_id,
            fields,
        )
        decision = self.policy.decide(ask, now, self._now())
        if type(decision) is Admit:
            self._carry(exchange, fields, decision, ask, now)
        elif isinstance(decision, Pending):
            self._wait(exchange, fields, decision, ask, now)
        else:
            self._act(exchange, fields, decision, ask, now)

    def _wait(self, exchange: Turn, fields: Fields, decision: Pending, ask: Ask, now: float) -> None:
        """Let the client wait, its body unread, until the policy knows."""

        def decided(verdict: Future[Verdict]) -> None:
            if not exchange.gone and not verdict.cancelled():
                self._act(exchange, fields, verdict.result(), ask, now)

        decision.verdict.add_done_callback(decided)

    def _act(self, exchange: Turn, fields: Fields, verdict: Verdict, ask: Ask, now: float) -> None:
        if isinstance(verdict, Admit):
            self._carry(exchange, fields, verdict, ask, now)
            return
        who = noted(verdict.subject, verdict.plan)
        _note(exchange, ask.request_id, verdict.route, said("route", verdict.route), who, verdict.why)
        self._counted(verdict.route, verdict.why)
        exchange.keep = exchange.keep and not verdict.close
        if verdict.hold:
            self._held.put(
                verdict.hold, partial(exchange.respond, verdict.status, verdict.headers, verdict.body)
            )
        else:
            exchange.respond(verdict.status, verdict.headers, verdict.body)

    def _carry(self, exchange: Turn, fields: Fields, admit: Admit, ask: Ask, now: float) -> None:
        group = self.plane.group(admit.route)
        if group is None:
            self._route_gone(exchange, fields, admit, ask, now)
            return
        head = exchange.head
        fault = self._objection(exchange, fields, group) if b"via" in fields or head.upgrade else None
        target = head.target
        try:
            target = group.way.target(target)
        except CannotRewrite:
            fault = faults.SPELLING
        if fault is not None:
            self._fail(exchange, fault, admit, ask)
            return
        signature = self.policy.signature(head.method, target, admit, self._now())
        if signature is not None:
            admit.headers_to_origin = [*admit.headers_to_origin, signature]
        _note(exchange, ask.request_id, group.way.label, group.way.noted, admit.noted)
        Relay(exchange, fields, admit, group, target, ask.request_id, now, self._finished).start()

    def _route_gone(self, exchange: Turn, fields: Fields, admit: Admit, ask: Ask, now: float) -> None:
        """The route was taken away while the policy made up its mind: the one in force now decides."""
        decision = self.policy.decide(ask, self._monotonic(), self._now())
        if isinstance(decision, Pending):
            self._wait(exchange, fields, decision, ask, now)
        elif isinstance(decision, Admit) and self.plane.group(decision.route) is None:
            self._fail(exchange, faults.NO_ORIGIN, admit, ask)
        else:
            self._act(exchange, fields, decision, ask, now)

    @staticmethod
    def _objection(exchange: Turn, fields: Fields, group: Group) -> Fault | None:
        if exchange.head.upgrade and group.tunnels >= group.route.carry.tunnels:
            return faults.TOO_MANY_TUNNELS
        return faults.LOOP if b"via" in fields and hops(exchange.head) >= MOST_HOPS else None

    def _fail(self, exchange: Turn, fault: Fault, admit: Admit, ask: Ask) -> None:
        label = admit.route.label
        _note(exchange, ask.request_id, label, said("route", label), admit.noted, fault.code)
        self._counted(label, fault.code)
        faults.tell(exchange, fault, ask.request_id, admit.response_headers)

    def _finished(self, relay: Relay, why: str) -> None:
        """A relay is over; what it answered goes out only now, so that the access log knows all of this."""
        exchange, origin = relay.exchange, relay.origin
        if why:
            exchange.notes += said("why", why)
        if origin is not None:
            exchange.notes += f'{origin.noted},"origin_ms":{milliseconds(self._monotonic() - relay.began)}'
        self._counted(relay.group.way.label, why)


def _note(exchange: Turn, request_id: bytes, route: str, route_noted: str, who: str, why: str = "") -> None:
    """Say for the access log what the server cannot know. A request's id holds nothing that would have to be quoted."""
    exchange.route = route
    exchange.notes = f',"request":"{request_id.decode()}"{route_noted}{who}'
    if why:
        exchange.notes += said("why", why)
