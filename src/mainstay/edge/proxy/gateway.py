"""The gateway's handler: asks the policy, then answers or has the request carried."""

import os
import re
from asyncio import Future
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from mainstay.edge.gateway.policy import Admit, Ask, Decides, Deny, Pending, Verdict
from mainstay.edge.http.exchange import Exchange, Head
from mainstay.edge.proxy import faults
from mainstay.edge.proxy.faults import Fault
from mainstay.edge.proxy.headers import MOST_HOPS, hops
from mainstay.edge.proxy.plane import Plane
from mainstay.edge.proxy.relay import Relay
from mainstay.edge.proxy.way import CannotRewrite
from mainstay.ports.clock import Clock

SAFE_ID = re.compile(rb"[A-Za-z0-9._-]{8,128}")
"""What a request may be called by a client or a proxy before us."""


@dataclass(slots=True)
class Note:
    """What the access log and the metrics are told of a request besides what the server saw."""

    request_id: bytes
    route: str = ""
    user: str | None = None
    plan: str | None = None
    origin: str = ""
    why: str = ""
    """Why it was not answered by an origin, or not wholly; empty when it was."""
    seconds: float | None = None
    """From the moment that it was let through until the origin's answer was whole."""


Noted = Callable[[Exchange, Note], None]


class Gateway:
    """Answers requests with what an origin says, when the policy admits them."""

    def __init__(self, policy: Decides, plane: Plane, clock: Clock, noted: Noted | None = None) -> None:
        self.policy = policy
        self.plane = plane
        self._monotonic = clock.monotonic
        self._now = clock.now
        self._noted = noted
        self._prefix = os.urandom(8).hex().encode()
        self._count = count(1)

    def accept(self, exchange: Exchange) -> None:
        head = exchange.head
        request_id = self._name(head)
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
        )
        decision = self.policy.decide(ask, now, self._now())
        if isinstance(decision, Pending):
            self._wait(exchange, request_id, decision, now)
        else:
            self._act(exchange, request_id, decision, now)

    def _name(self, head: Head) -> bytes:
        given = head.get(b"x-request-id")
        if given is not None and SAFE_ID.fullmatch(given):
            return given
        return b"%b-%x" % (self._prefix, next(self._count))

    def _wait(self, exchange: Exchange, request_id: bytes, decision: Pending, now: float) -> None:
        """Let the client wait, its body unread, until the policy knows."""

        def decided(verdict: Future[Verdict]) -> None:
            if exchange.gone or verdict.cancelled():
                self._note(exchange, Note(request_id, why="client_gone"))
            else:
                self._act(exchange, request_id, verdict.result(), now)

        decision.verdict.add_done_callback(decided)

    def _act(self, exchange: Exchange, request_id: bytes, verdict: Verdict, now: float) -> None:
        if isinstance(verdict, Deny):
            exchange.keep = exchange.keep and not verdict.close
            exchange.respond(verdict.status, verdict.headers, verdict.body)
            self._note(exchange, Note(request_id, "", verdict.subject, verdict.plan, "", verdict.why))
        else:
            self._carry(exchange, request_id, verdict, now)

    def _carry(self, exchange: Exchange, request_id: bytes, admit: Admit, now: float) -> None:
        note = Note(request_id, admit.route.label, admit.subject, admit.plan)
        group = self.plane.group(admit.route)
        head = exchange.head
        fault: Fault | None = None
        target = head.target
        if group is None:
            fault = faults.NO_ORIGIN
        elif head.upgrade and group.tunnels >= admit.route.carry.tunnels:
            fault = faults.TOO_MANY_TUNNELS
        elif head.get(b"via") is not None and hops(head) >= MOST_HOPS:
            fault = faults.LOOP
        else:
            try:
                target = group.way.target(target)
            except CannotRewrite:
                fault = faults.SPELLING
        if fault is not None or group is None:
            fault = fault or faults.NO_ORIGIN
            note.why = fault.code
            faults.tell(exchange, fault, request_id, admit.response_headers)
            self._note(exchange, note)
            return

        def finished(relay: Relay, why: str) -> None:
            note.why = why
            note.origin = relay.origin.url if relay.origin else ""
            note.seconds = self._monotonic() - now
            self._note(exchange, note)

        Relay(exchange, admit, group, target, request_id, finished).start()

    def _note(self, exchange: Exchange, note: Note) -> None:
        if self._noted is not None:
            self._noted(exchange, note)
