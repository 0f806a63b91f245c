"""What is wrong with the gateway, out of what was seen of it: a pure function of the newest look at each machine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mainstay.core.incident import Severity
from mainstay.edge.sight.merge import bad, serving
from mainstay.store.gateway import Seen

PREFIX = "gateway:"
"""Of the keys of all its incidents."""
FRESH = 60.0
"""Seconds after which a look is too old to say anything."""
FORGOTTEN = 86400.0
"""Seconds after which a machine that nobody has looked at does not count any more."""
ROUTE_AFTER = 10.0
"""Seconds for which no origin of a route is well before people are told; each was out on evidence of its own before."""
ORIGIN_AFTER = 60.0
"""The same for one of several origins: deploys and restarts are shorter."""
NEED_AFTER = 30.0
"""The same for whom the gateway itself needs."""
TRIAL = 300.0
"""Seconds without a new failure after which an origin that nobody has tried is not called failing any more."""
WHAT = {
    "redis": "Redis",
    "keys": "the issuer of its keys",
    "service": "the service that knows tokens",
    "journal": "the journal",
    "envoy": "its Envoy",
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something to tell people of."""

    key: str
    severity: Severity
    title: str
    detail: str
    hint: str


@dataclass(frozen=True, slots=True)
class Judged:
    """What people are to be told of, and what may become that or may be over: it stays as it is for now.

    `certain` is false while a machine was not looked at lately: then nothing is called over.
    """

    troubles: tuple[Trouble, ...] = ()
    undecided: frozenset[str] = frozenset()
    certain: bool = True


def judge(rows: Sequence[Seen], now: float) -> Judged:
    """Judge what was seen of all machines at `now`, seconds since 1970."""
    rows = [row for row in rows if now - row.at < FORGOTTEN]
    fresh = [row for row in rows if now - row.at < FRESH and row.state["processes"]]
    found: dict[str, Trouble] = {}
    undecided: set[str] = set()
    for row in fresh:
        for trouble, due in _of(row, now, several=len(rows) > 1):
            if due:
                found.setdefault(trouble.key, trouble)
            else:
                undecided.add(trouble.key)
    return Judged(tuple(found.values()), frozenset(undecided), len(fresh) == len(rows))


def _of(row: Seen, now: float, *, several: bool) -> list[tuple[Trouble, bool]]:
    """Give what is wrong on one machine, and whether it has been so for long enough."""
    where = f" (on {row.host})" if several else ""
    found: list[tuple[Trouble, bool]] = []
    for route in row.state["routes"]:
        found += _route(route, now, where)
    for need in row.state["needs"]:
        if need["state"] == "down":
            found.append((_need(need, where), now - need["since"] >= NEED_AFTER))
    return found


def _route(route: dict[str, Any], now: float, where: str) -> list[tuple[Trouble, bool]]:
    there = serving(route)
    out = [one for one in bad(there) if failing(one, now)]
    if not out:
        return []
    name = route["route"]
    if len(out) == len(there):
        since = max(one["since"] for one in out)
        told = "; ".join(f"{one['url']}: {one['detail']}" for one in out)
        trouble = _trouble("route", name, Severity.CRITICAL, f"{name}: no origin is well", told + where)
        # One that was called failing before still is; its own incident goes on beside the greater one.
        return [(trouble, now - since >= ROUTE_AFTER), *((_origin(name, one, where), False) for one in out)]
    return [(_origin(name, one, where), now - one["since"] >= ORIGIN_AFTER) for one in out]


def failing(origin: dict[str, Any], now: float) -> bool:
    """Whether an origin that is out, or on trial, is to be called so: one that nobody has tried for long is not."""
    return origin["state"] != "trial" or now - (origin["failed_at"] or 0.0) < TRIAL


def _origin(route: str, origin: dict[str, Any], where: str) -> Trouble:
    return _trouble(
        "origin",
        f"{route} {origin['url']}",
        Severity.WARNING,
        f"{route}: the origin {origin['url']} is left alone",
        origin["detail"] + where,
    )


def _need(need: dict[str, Any], where: str) -> Trouble:
    severity = Severity.CRITICAL if need["grave"] else Severity.WARNING
    return _trouble(
        "need",
        f"{need['what']} {need['place']}",
        severity,
        f"The gateway gets no answer of {WHAT[need['what']]}",
        f"{need['place']}: {need['detail']}{where}",
    )


def _trouble(kind: str, name: str, severity: Severity, title: str, detail: str) -> Trouble:
    return Trouble(f"{PREFIX}{kind}:{name}", severity, title, detail, "mainstay gateway status")


Raise = Callable[[Trouble], object]
"""Tells people of something."""
Clear = Callable[[str], object]
"""Ends the incident with this key."""


def settle(judged: Judged, live: Sequence[str], tell: Raise, end: Clear) -> None:
    """Tell of what is wrong, and end what is over; `live` are the keys of incidents that are open."""
    for trouble in judged.troubles:
        tell(trouble)
    wanted = {trouble.key for trouble in judged.troubles} | judged.undecided
    if judged.certain:
        for key in live:
            if key.startswith(PREFIX) and key not in wanted:
                end(key)
