"""The policy itself: route, credential, plan, limits, in this order. See `policy` for how it is asked."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from mainstay.edge.gateway import answers
from mainstay.edge.gateway.auth import Authenticator, Found, TooMany
from mainstay.edge.gateway.fields import Fields, retry_after
from mainstay.edge.gateway.hygiene import OVERRIDES
from mainstay.edge.gateway.identity import Bad, Identity, Known, Unsure
from mainstay.edge.gateway.limits import Limiter, Taken, Want
from mainstay.edge.gateway.limits.gcra import SECOND, LocalLimiter
from mainstay.edge.gateway.policy import Admit, Ask, Decision, Deny, Pending, Verdict
from mainstay.edge.gateway.routing import Cors, NoRoute, Route, Router, literal, plain, route_of
from mainstay.edge.gateway.seats import Place, Seat, Seats
from mainstay.edge.gateway.settings import GatewaySettings
from mainstay.edge.gateway.signature import Signer
from mainstay.edge.http.exchange import Header
from mainstay.edge.http.problem import named
from mainstay.ports.clock import Clock

T = TypeVar("T")
_Count = tuple[list[Want], Taken]
_NOBODY: Final = frozenset[bytes]()
HOLD: Final = 1.0
"""Seconds for which the answer to a flood is held back: its connections are as slow as that, and others hardly wait."""
_log = logging.getLogger(__name__)


class Case:
    """One request on its way through the policy."""

    __slots__ = ("ask", "origin", "place", "route", "ticks")

    def __init__(self, ask: Ask, place: Place, ticks: int) -> None:
        self.ask = ask
        self.place = place
        self.ticks = ticks
        """Monotonic nanoseconds."""
        self.route: Route | None = None
        self.origin: bytes | None = None
        """The site of the page that asks."""


class Gate:
    """Judges requests by one `gateway:` section.

    Changing the policy means making another `Gate` over the same limiters and putting it in this one's place, between
    two requests: each request meets one policy as a whole, and nobody's count begins anew.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        auth: Authenticator,
        host: LocalLimiter,
        central: Limiter,
        clock: Clock,
    ) -> None:
        self.settings = settings
        self._auth = auth
        self._host = host
        self._central = central
        self._together = host is central
        self._clock = clock
        usual = "required" if settings.auth.any else "none"
        self._router = Router([route_of(route, usual) for route in settings.routes])
        self._seats = Seats(settings)
        self._fields = Fields(settings.fields)
        self._signer = Signer(settings.sign) if settings.sign else None
        self._drop = _NOBODY if settings.auth.forward else self._credentials()
        self._drop_too = self._drop | OVERRIDES

    def _credentials(self) -> frozenset[bytes]:
        key = self.settings.auth.keys
        return frozenset({b"authorization", key.header.lower().encode()} if key else {b"authorization"})

    def decide(self, ask: Ask, now: float, wall: float) -> Decision:
        """Judge a request. `now` is monotonic and rules the limits, `wall` is since 1970 and rules tokens' dates."""
        return self._judged(Case(ask, self._seats.place(ask.peer), int(now * SECOND)), now, wall)

    def signature(self, method: bytes, target: bytes, admitted: Admit, wall: float) -> Header | None:
        """Sign what goes to the origin; None when nothing is signed. `target` is what the origin receives."""
        if self._signer is None:
            return None
        subject = (admitted.subject or "").encode()
        return self._signer.sign(
            method, target, subject, (admitted.plan or "").encode() if subject else b"", wall
        )

    def _judged(self, case: Case, now: float, wall: float) -> Decision:
        ask = case.ask
        path = plain(ask.path, encoded_slashes=self.settings.encoded_slashes)
        if path is None:
            return self._told(case, _in_two_ways())
        case.origin = ask.fields.get(b"origin")
        wanted = None
        if ask.method == b"OPTIONS" and case.origin is not None:
            wanted = ask.fields.get(b"access-control-request-method")
        route = self._router.find(ask.method, ask.host, path, wanted)
        if path is not ask.path and self._elsewhere(route, ask, path, wanted):
            return self._told(case, _in_two_ways())
        if isinstance(route, NoRoute):
            return self._told(case, _no_route(route))
        case.route = route
        if wanted is not None and route.settings.cors is not None:
            if route.cors is not None:
                return self._told(case, _preflight(route.cors, case.origin or b""))
        elif route.auth != "none":
            found: Found | asyncio.Future[Known] | None = self._auth.known(ask, now, wall)
            if found is None:
                found = self._auth.identify(ask, now, wall, partial(self._may_guess, case))
            if isinstance(found, asyncio.Future):
                return self._later(case, found, lambda known: self._known(case, route, known))
            return self._known(case, route, found)
        return self._counted(case, route, case.place.anonymous)

    def _elsewhere(self, route: Route | NoRoute, ask: Ask, path: bytes, wanted: bytes | None) -> bool:
        """Whether a path leads to another route for origins that keep double slashes and `;parameters`."""
        kept = literal(ask.path)
        if kept == path:
            return False
        other = self._router.find(ask.method, ask.host, kept, wanted)
        return other is not route and not (isinstance(other, NoRoute) and isinstance(route, NoRoute))

    def _known(self, case: Case, route: Route, found: Found | None) -> Decision:
        """Go on when it is known who asks, or that it cannot be."""
        if isinstance(found, Identity):
            seat = self._seats.of(found)
        elif found is None and route.auth == "optional":
            seat = case.place.anonymous
        else:
            return self._refused(case, found)
        if route.plans and seat.plan not in route.plans:
            refused = answers.refusal(403, "forbidden", "this plan does not include it")
            refused.subject, refused.plan = seat.subject, seat.plan
            return self._told(case, refused)
        return self._counted(case, route, seat)

    # --- who asks ---------------------------------------------------------------------------------------------------

    def _may_guess(self, case: Case) -> bool:
        """Whether an address may have something looked at that costs more than a look."""
        return all(self._host.look(want, case.ticks).refused < 0 for want in case.place.guesses)

    def _refused(self, case: Case, found: Found | None) -> Decision:
        """Refuse a request that does not show who asks."""
        realm = self.settings.auth.realm.encode()
        if found is None:
            headers = [(b"www-authenticate", b'Bearer realm="%b"' % realm)]
            refused = answers.refusal(401, "unauthorised", "no credential", headers)
        elif self._is_flood(case, found):
            return self._flood(case)
        elif isinstance(found, Unsure):
            refused = answers.unavailable("auth_down", found.why, found.wait)
        else:
            why = found.why if isinstance(found, Bad) else ""
            told = b'Bearer realm="%b", error="invalid_token", error_description="%b"' % (realm, why.encode())
            refused = answers.refusal(401, "unauthorised", why, [(b"www-authenticate", told)])
        return self._told(case, refused)

    def _is_flood(self, case: Case, found: Found) -> bool:
        """Count what may have been a guess, and say whether it is one too many."""
        if isinstance(found, Bad | Unsure) and found.counts:
            return self._host.take(case.place.bad, case.ticks).refused >= 0
        return isinstance(found, TooMany)

    def _flood(self, case: Case) -> Deny:
        """Answer an address that has used up its requests, or its bad credentials: the latter without counting it."""
        refused = self._flooded(case)
        refused.hold = HOLD
        return refused

    def _flooded(self, case: Case) -> Deny:
        for want in case.place.wants:
            taken = self._host.look(want, case.ticks)
            if taken.refused >= 0:
                return self._limited(case, None, [want], taken)
        wait = max((self._host.look(want, case.ticks).wait for want in case.place.bad), default=0)
        detail = "too many bad credentials from this address"
        return self._finished(case, answers.refusal(429, "forged", detail, [retry_after(wait)], close=True))

    # --- limits -----------------------------------------------------------------------------------------------------

    def _counted(self, case: Case, route: Route, seat: Seat) -> Decision:
        """Count the request in each of its limits, or in none and refuse it."""
        local, central = case.place.wants, seat.wants
        if route.rule:
            central = [*central, (route.rule.key(seat.who), route.rule)]
        if self._together or not central:
            wants = [*local, *central]
            return self._settled(case, route, seat, wants, self._host.take(wants, case.ticks))
        first = self._host.take(local, case.ticks)
        if first.refused >= 0:
            return self._limited(case, seat, local, first)
        taken = self._central.take(central, case.ticks)
        if isinstance(taken, Taken):
            return self._joined(case, route, seat, (local, first), (central, taken))
        return self._later(
            case, taken, lambda late: self._joined(case, route, seat, (local, first), (central, late))
        )

    def _joined(self, case: Case, route: Route, seat: Seat, host: _Count, central: _Count) -> Decision:
        """Put together what two stores said. What the first one counted is given back when the second refuses."""
        (local, first), (wants, taken) = host, central
        index = -1
        if taken.refused >= 0:
            index = taken.refused + len(local)
            for want in local:
                self._host.give(want)
        both = Taken([*first.debts, *taken.debts], index, taken.wait, taken.down)
        return self._settled(case, route, seat, [*local, *wants], both)

    def _settled(self, case: Case, route: Route, seat: Seat, wants: list[Want], taken: Taken) -> Decision:
        if taken.refused >= 0:
            return self._limited(case, seat, wants, taken)
        back = self._fields.of(wants, taken)
        onward = seat.headers
        request_id = case.ask.request_id
        if request_id:
            back.append((b"x-request-id", request_id))
            onward = [*onward, (b"x-request-id", request_id)]
        if route.cors is not None:
            back += route.cors.headers(case.origin)
        drop = self._drop_too if route.methods else self._drop
        return Admit(route.settings, onward, back, seat.subject, seat.plan, drop, seat.noted)

    def _limited(self, case: Case, seat: Seat | None, wants: list[Want], taken: Taken) -> Deny:
        """Refuse what is over a limit. It has not been counted."""
        rule = wants[taken.refused][1]
        if taken.down:
            refused = answers.unavailable("store_down", "the store of limits does not answer", 1.0)
        else:
            why = "address_limited" if rule is self._seats.address_rule else "plan_limited"
            if case.route is not None and rule is case.route.rule:
                why = "route_limited"
            detail = f"more than {rule.quota} requests in {rule.window} seconds"
            told = [retry_after(taken.wait), *self._fields.of(wants, taken)]
            refused = answers.refusal(429, why, detail, told)
            if case.place.strains(case.ticks):
                refused.hold = HOLD
        if seat is not None:
            refused.subject, refused.plan = seat.subject, seat.plan
        return self._finished(case, refused)

    def _told(self, case: Case, answer: Deny) -> Deny:
        """Give an answer of our own. It counts for its address, like any other."""
        wants = case.place.wants
        taken = self._host.take(wants, case.ticks)
        if taken.refused >= 0:
            return self._limited(case, None, wants, taken)
        answer.headers += self._fields.of(wants, taken)
        return self._finished(case, answer)

    @staticmethod
    def _finished(case: Case, answer: Deny) -> Deny:
        if case.ask.request_id:
            answer.headers.append((b"x-request-id", case.ask.request_id))
            answer.body = named(answer.body, case.ask.request_id)
        route = case.route
        if route is not None:
            answer.route = route.settings.label
            if route.cors is not None and answer.why != "preflight":
                answer.headers += route.cors.headers(case.origin)
        return answer

    # --- what has to be waited for ------------------------------------------------------------------------------------

    def _later(self, case: Case, asked: "asyncio.Future[T]", then: Callable[[T], Decision]) -> Pending:
        """Go on with `then(answer)` when the answer is there; time has gone on meanwhile."""
        verdict: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()

        def done(answer: "asyncio.Future[T]") -> None:
            if verdict.done():  # the client has gone
                return
            case.ticks = int(self._clock.monotonic() * SECOND)
            try:
                decision = then(answer.result())
            except (Exception, asyncio.CancelledError):
                _log.exception("a question of the gateway's policy failed")
                decision = self._finished(case, answers.unavailable("auth_down", "try again", 1.0))
            _pass_on(decision, verdict)

        asked.add_done_callback(done)
        return Pending(verdict)


def _pass_on(decision: Decision, verdict: "asyncio.Future[Verdict]") -> None:
    if isinstance(decision, Pending):
        decision.verdict.add_done_callback(
            lambda inner: None if verdict.done() else verdict.set_result(inner.result())
        )
    elif not verdict.done():
        verdict.set_result(decision)


def _in_two_ways() -> Deny:
    return answers.refusal(400, "bad_path", "this path can be read in two ways")


def _no_route(found: NoRoute) -> Deny:
    if not found.allowed:
        return answers.refusal(404, "no_route", "nothing is here")
    allow = b", ".join(sorted(found.allowed))
    return answers.refusal(405, "method", "not with this method", [(b"allow", allow)])


def _preflight(cors: Cors, origin: bytes) -> Deny:
    if not cors.lets(origin):
        return answers.refusal(403, "preflight", "pages of this site may not use it", [(b"vary", b"Origin")])
    return Deny(204, [*cors.headers(origin), *cors.preflight], b"", "preflight")
