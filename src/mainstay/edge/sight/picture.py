"""The gateway of all machines in one picture, for the command line, pages and programs: the worst first."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mainstay.edge.sight.judge import FRESH
from mainstay.edge.sight.merge import WORST, bad, serving
from mainstay.store.gateway import Seen

FORGOTTEN = 86400.0
"""Seconds after which a machine that nobody has looked at is left out."""
RANK = ("fail", "warn", "unknown", "ok")
RATES = ("answers", "client_errors", "server_errors", "limited", "unauthorised", "failed")
NOTHING: dict[str, Any] = {**dict.fromkeys(RATES, 0.0), "p50": None, "p99": None}
SOME_PROCESSES = "in {} of {} processes"


@dataclass(frozen=True, slots=True)
class OriginView:
    """An origin on one machine. `state` as in `Origin.state`; `at` is when it was last heard of, seconds since 1970."""

    url: str
    host: str
    state: str
    since: float | None
    at: float | None
    detail: str
    active: int
    requests: int
    failures: int


@dataclass(frozen=True, slots=True)
class RouteView:
    """A route: `state` is `ok`, `warn` (an origin is out), `fail` (all are) or `unknown`, since `since`.

    `lately` are figures of the last minute: rates per second, and latencies in seconds.
    """

    name: str
    state: str
    says: str
    since: float | None
    origins: tuple[OriginView, ...]
    lately: dict[str, Any]
    swapped: bool = False
    swapped_at: float | None = None
    websockets: int = 0


@dataclass(frozen=True, slots=True)
class NeedView:
    """Whom the gateway needs, as one machine finds it: `up`, `down` or `unknown`, since when, and when it was asked."""

    what: str
    place: str
    host: str
    state: str
    since: float | None
    at: float | None
    detail: str
    grave: bool


@dataclass(frozen=True, slots=True)
class HostView:
    """A machine: when it was looked at, how many processes carry the gateway, how many did not answer."""

    name: str
    at: float
    fresh: bool
    processes: int
    silent: int
    gone_since: float | None


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything; `at` is the oldest of the looks that count, None before the first."""

    hosts: tuple[HostView, ...] = ()
    routes: tuple[RouteView, ...] = ()
    needs: tuple[NeedView, ...] = ()
    at: float | None = None
    fresh: bool = False
    total: dict[str, Any] | None = None
    """The figures of all routes together, and of what no route was for."""
    nowhere: dict[str, Any] | None = None
    """The figures of what no route was for."""

    @property
    def state(self) -> str:
        """The worst of all: `ok`, `warn`, `fail` or `unknown`."""
        found = [route.state for route in self.routes if route.state != "unknown"]
        found += ["fail" if need.grave else "warn" for need in self.needs if need.state == "down"]
        found += ["fail" for host in self.hosts if host.fresh and not host.processes]
        found += ["warn" for host in self.hosts if host.fresh and host.silent]
        return min(found, key=RANK.index, default="unknown") if self.fresh else "unknown"

    def plain(self) -> dict[str, Any]:
        """Give it for programs."""
        return {"state": self.state, **asdict(self)}


def picture(rows: Sequence[Seen], now: float, names: Sequence[str] = ()) -> Picture:
    """Make the picture at `now`; `names` are the configured routes, which are there although nobody has seen them."""
    rows = [row for row in rows if now - row.at < FORGOTTEN]
    hosts = tuple(_host(row, now) for row in rows)
    good = [row for row, host in zip(rows, hosts, strict=True) if host.fresh] or rows
    lately = _lately(good)
    sums = [row.state["lately"]["all"] for row in good if row.state["lately"]]
    there = dict.fromkeys([*names, *(route["route"] for row in good for route in row.state["routes"])])
    routes = [_route(name, good, lately.get(name, NOTHING), several=len(rows) > 1) for name in there]
    needs = [NeedView(host=row.host, **need) for row in good for need in row.state["needs"]]
    return Picture(
        hosts,
        tuple(sorted(routes, key=lambda route: RANK.index(route.state))),
        tuple(sorted(needs, key=lambda need: WORST.index(need.state))),
        min((row.at for row in good), default=None),
        any(host.fresh for host in hosts),
        _sum(sums) if sums else None,
        lately.get(""),
    )


def _host(row: Seen, now: float) -> HostView:
    state = row.state
    return HostView(
        row.host, row.at, now - row.at < FRESH, state["processes"], state["silent"], state["gone_since"]
    )


def _lately(rows: Sequence[Seen]) -> dict[str, dict[str, Any]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        for name, figures in (row.state["lately"] or {"routes": {}})["routes"].items():
            found.setdefault(name, []).append(figures)
    return {name: _sum(several) for name, several in found.items()}


def _sum(several: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Add rates up; of latencies the worst counts."""
    worst = {
        name: max((one[name] for one in several if one[name] is not None), default=None)
        for name in ("p50", "p99")
    }
    return {**{name: round(sum(one[name] for one in several), 4) for name in RATES}, **worst}


def _route(name: str, rows: Sequence[Seen], lately: dict[str, Any], *, several: bool) -> RouteView:
    mine = [(row.host, route) for row in rows for route in row.state["routes"] if route["route"] == name]
    origins = [_origin(host, one, several=several) for host, route in mine for one in route["origins"]]
    # Where no origin is well on one machine, its clients get no answer, whatever others find.
    states = {_state(route) for _, route in mine} or {("unknown", "nobody has seen it yet")}
    state, says = min(states, key=lambda each: RANK.index(each[0]))
    since = [
        one.since for one in origins if one.since is not None and one.state in ("down", "ejected", "trial")
    ]
    return RouteView(
        name,
        state,
        says,
        (max(since) if state == "fail" else min(since)) if since else None,
        tuple(sorted(origins, key=lambda one: WORST.index(one.state))),
        lately,
        any(route["swapped"] for _, route in mine),
        max((route["swapped_at"] or 0.0 for _, route in mine), default=0.0) or None,
        sum(route["websockets"] for _, route in mine),
    )


def _state(route: dict[str, Any]) -> tuple[str, str]:
    there = serving(route)
    out = bad(there)
    if not there:
        return "unknown", "it has no origin"
    if len(out) == len(there):
        return "fail", "its origin is not well" if len(
            there
        ) == 1 else f"none of {len(there)} origins is well"
    if out:
        return "warn", f"{len(out)} of {len(there)} origins {'is' if len(out) == 1 else 'are'} out"
    return "ok", "its origin is well" if len(there) == 1 else f"all {len(there)} origins are well"


def _origin(host: str, one: dict[str, Any], *, several: bool) -> OriginView:
    part = SOME_PROCESSES.format(one["out_in"], one["out_of"]) if 0 < one["out_in"] < one["out_of"] else ""
    detail = "; ".join(filter(None, [one["detail"], part]))
    return OriginView(
        one["url"], host if several else "", one["state"], one["since"], one["at"], detail,
        one["active"], one["requests"], one["failures"],
    )  # fmt: skip
