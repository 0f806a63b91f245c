"""What follows from who asks and where from: worked out once, used for each of their requests."""

from ipaddress import IPv6Address, ip_address
from typing import Final

from mainstay.edge.gateway.hygiene import safe
from mainstay.edge.gateway.identity import Identity
from mainstay.edge.gateway.limits import Rule, Want
from mainstay.edge.gateway.limits.gcra import SECOND
from mainstay.edge.gateway.settings import GatewaySettings
from mainstay.edge.http.accesslog import said
from mainstay.edge.http.exchange import Header

_REMEMBERED: Final = 20_000
_BORNE: Final = 120
"""Refusals for its limits that an address gets at once; further ones come late."""
_RECOVERY: Final = SECOND // 2
"""Nanoseconds after which one of them is forgotten."""


def noted(subject: str | None, plan: str | None) -> str:
    """Give what the access log says of whoever asks."""
    return (said("user", subject) if subject is not None else "") + (
        said("plan", plan) if plan is not None else ""
    )


class Seat:
    """Whoever asks: their plan, whose limits they use up, and what the origin is told of them."""

    __slots__ = ("headers", "noted", "owner", "plan", "subject", "wants", "who")

    def __init__(self, owner: "Seats", subject: str | None, plan: str | None, who: str) -> None:
        self.owner = owner
        self.subject = subject
        self.plan = plan
        self.who = who
        self.noted = noted(subject, plan)
        rule = owner.plans.get(plan) if plan is not None else None
        self.wants: list[Want] = [(rule.key(who), rule)] if rule else []
        self.headers: list[Header] = []
        if subject is not None:
            self.headers.append((b"x-user-id", safe(subject) or b""))
            self.headers.append((b"x-user-plan", (plan or "").encode()))


class Place:
    """Where somebody asks from."""

    __slots__ = ("_strain", "anonymous", "bad", "guesses", "wants")

    def __init__(self, owner: "Seats", address: str) -> None:
        rule, bad = owner.address_rule, owner.bad_rule
        self.wants: list[Want] = [(rule.key(address), rule)] if rule else []
        self.bad: list[Want] = [(bad.key(address), bad)] if bad else []
        self.guesses = [*self.wants, *self.bad]
        self.anonymous = Seat(owner, None, owner.anonymous_plan, f"address {address}")
        self._strain = 0

    def strains(self, ticks: int) -> bool:
        """Count a refusal; whether there were too many of them by now (monotonic nanoseconds)."""
        self._strain = max(self._strain, ticks) + _RECOVERY
        return self._strain > ticks + _BORNE * _RECOVERY


class Seats:
    """All of them, as one policy sees them. Forgetting them costs nothing but the work: counts are kept elsewhere."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.plans = {name: Rule.of(name, limit) for name, limit in settings.plans.items()}
        self.anonymous_plan = settings.anonymous_plan
        self.address_rule = Rule.of("address", settings.per_address)
        self.bad_rule = Rule.of("bad credentials", settings.bad_credentials)
        self._default = settings.default_plan or next(iter(settings.plans), None)
        self._seats: dict[tuple[str, str | None], Seat] = {}
        self._places: dict[str, Place] = {}

    def of(self, identity: Identity) -> Seat:
        """Give somebody's seat. A plan that is not there is never one without limits: it is the default one."""
        seat = identity.seat
        if isinstance(seat, Seat) and seat.owner is self:
            return seat
        plan = identity.plan if identity.plan in self.plans else self._default
        seat = self._seats.get((identity.subject, plan))
        if seat is None:
            if len(self._seats) >= _REMEMBERED:
                self._seats.clear()
            seat = Seat(self, identity.subject, plan, f"user {identity.subject}")
            self._seats[identity.subject, plan] = seat
        identity.seat = seat
        return seat

    def place(self, peer: str) -> Place:
        """Give the place of an address: IPv6 clients have a network of 64 bits to choose from."""
        found = self._places.get(peer)
        if found is None:
            if len(self._places) >= _REMEMBERED:
                self._places.clear()
            found = self._places[peer] = Place(self, _address(peer))
        return found


def _address(peer: str) -> str:
    try:
        found = ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or IPv6Address(int(found) >> 64 << 64)
    return str(found)
