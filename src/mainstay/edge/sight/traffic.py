"""What the gateway's routes answered, from the numbers that its processes count in memory."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from mainstay.edge.http.meter import Sample
from mainstay.edge.http.witness import ROUTE_ANSWERS, ROUTE_TOOK
from mainstay.edge.proxy.counts import REQUESTS
from mainstay.store.gateway import Traffic, together

LISTENER = "gateway"
BOUNDS = ROUTE_TOOK.bounds
BUCKETS = {f"{bound:g}": at for at, bound in enumerate(BOUNDS)} | {"+Inf": len(BOUNDS)}
ERRORS = {"4xx": "client_errors", "5xx": "server_errors"}
OUTCOMES = ("admitted", "limited", "unauthorised", "failed")
LATELY = 60.0
"""Seconds over which present rates are taken."""


def totals(counted: Mapping[Sample, float]) -> dict[str, Traffic]:
    """Give what every route has answered since its counters began; `""` is what no route was for."""
    found: dict[str, dict[str, Any]] = {}

    def of(route: str) -> dict[str, Any]:
        return found.setdefault(route, {"latencies": [0] * len(BUCKETS)})

    for (name, labels), value in counted.items():
        if name == f"{REQUESTS.name}_total":
            route, outcome = labels
            if outcome in OUTCOMES:
                of(route)[outcome] = int(value)
        elif name == f"{ROUTE_ANSWERS.name}_total" and labels[0] == LISTENER:
            _, route, hundreds = labels
            one = of(route)
            one["answers"] = one.get("answers", 0) + int(value)
            if hundreds in ERRORS:
                one[ERRORS[hundreds]] = int(value)
        elif name == f"{ROUTE_TOOK.name}_bucket" and labels[0] == LISTENER and labels[2] in BUCKETS:
            of(labels[1])["latencies"][BUCKETS[labels[2]]] += int(value)
    return {
        route: Traffic(route, **{**one, "latencies": tuple(one["latencies"])}) for route, one in found.items()
    }


def less(now: Traffic, before: Traffic | None) -> Traffic:
    """Give what was answered between two looks. Counters that fell were begun anew: then all of it was."""
    if before is None:
        return now
    names = ("answers", "client_errors", "server_errors", *OUTCOMES)
    counts = {name: getattr(now, name) - getattr(before, name) for name in names}
    latencies = tuple(a - b for a, b in zip(now.latencies, before.latencies, strict=True))
    if min([*counts.values(), *latencies], default=0) < 0:
        return now
    return Traffic(now.route, **counts, latencies=latencies)


def quantile(latencies: Sequence[int], share: float) -> float | None:
    """Give the seconds that `share` of the answers took at most, to within their bucket; None without answers."""
    total = sum(latencies)
    if not total:
        return None
    rank, below = share * total, 0
    for at, many in enumerate(latencies):
        if many and below + many >= rank:
            low = BOUNDS[at - 1] if at else 0.0
            high = BOUNDS[at] if at < len(BOUNDS) else BOUNDS[-1]
            return low + (high - low) * (rank - below) / many
        below += many
    return BOUNDS[-1]


def figures(traffic: Traffic, seconds: float) -> dict[str, Any]:
    """Give traffic as rates per second and latencies in seconds, for people and programs."""
    seconds = max(seconds, 1e-9)
    rates = {
        name: round(getattr(traffic, name) / seconds, 4)
        for name in ("answers", "client_errors", "server_errors", "limited", "unauthorised", "failed")
    }
    return {**rates, "p50": quantile(traffic.latencies, 0.5), "p99": quantile(traffic.latencies, 0.99)}


class Rates:
    """What was answered lately: between the newest look and the one a minute before."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, dict[str, Traffic]]] = deque()

    def take(self, at: float, now: dict[str, Traffic]) -> dict[str, Traffic]:
        """Take a look at the counters at a monotonic moment; give what was answered since the look before."""
        before = self._looks[-1][1] if self._looks else None
        self._looks.append((at, now))
        while len(self._looks) > 2 and at - self._looks[1][0] >= LATELY:
            self._looks.popleft()
        if before is None:
            return {}
        return {route: less(one, before.get(route)) for route, one in now.items()}

    def lately(self) -> dict[str, Any] | None:
        """Give the figures of every route, of `all`, and the `seconds` that they are of; None after a first look."""
        if len(self._looks) < 2:
            return None
        (began, first), (ended, last) = self._looks[0], self._looks[-1]
        seconds = ended - began
        fresh = {route: less(one, first.get(route)) for route, one in last.items()}
        routes = {route: figures(one, seconds) for route, one in fresh.items()}
        return {"seconds": seconds, "all": figures(together(fresh.values()), seconds), "routes": routes}
