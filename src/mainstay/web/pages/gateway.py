"""`GET /gateway`: the routes, their origins, whom the gateway needs, and what clients got, each with its time."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from mainstay.edge.sight.picture import Picture, picture
from mainstay.store import gateway
from mainstay.store.base import Tx
from mainstay.web.plan import Plan, RoutePlan
from mainstay.web.site import show, site_of
from mainstay.web.traffic import RANGES, drawing, moments
from mainstay.web.words import listed

STATES = {
    "up": ("Up", "ok", "ok"),
    "trial": ("On trial", "warn", "warn"),
    "ejected": ("Left alone", "fail", "fail"),
    "down": ("Down", "fail", "fail"),
    "draining": ("Leaving", "unknown", "wait"),
    "unknown": ("Not asked yet", "unknown", "wait"),
}
"""A state of an origin, or of whom the gateway needs, as word, tone and icon."""
ROUTES = {
    "ok": ("Well", "ok", "ok"),
    "warn": ("Partly out", "warn", "warn"),
    "fail": ("Failing", "fail", "fail"),
    "unknown": ("Unknown", "unknown", "unknown"),
}
NEEDS = {
    "redis": "Redis, where limits are counted",
    "keys": "Keys of an issuer of tokens",
    "service": "Service that knows tokens",
    "journal": "Journal, for API keys",
}
SHORT = {
    "redis": "Redis",
    "keys": "The issuer of keys",
    "service": "The service that knows tokens",
    "journal": "The journal",
}
USUAL = "24h"


async def overview(request: Request) -> Response:
    """The whole gateway."""
    site = site_of(request)
    plan, now = site.plan, site.clock.now()
    span = request.query_params.get("range", USUAL)
    span = span if span in RANGES else USUAL
    wanted = request.query_params.get("route", "")

    def look(tx: Tx) -> dict[str, Any]:
        return gather(tx, plan, span, wanted, now)

    return await show(
        request,
        "gateway.html",
        look,
        ranges=list(RANGES),
        range=span,
        states=STATES,
        routes_in_words=ROUTES,
        needs_in_words=NEEDS,
    )


def gather(tx: Tx, plan: Plan, span: str, wanted: str, now: float) -> dict[str, Any]:
    """Everything that the page needs of the journal."""
    found = seen(tx, plan, now)
    names = [route.name for route in found.routes]
    route = wanted if wanted in names else ""
    start = now - RANGES[span][0]
    over = moments(tx, route, span, now)
    return {
        "seen": found,
        "planned": {one.name: one for one in plan.routes},
        "nothing": RoutePlan("", "no longer configured"),
        "verdict": verdict(found),
        "route": route,
        "names": names,
        "rates": drawing(over, ("rate", "client_errors", "server_errors"), start, now),
        "latencies": drawing(over, ("p50", "p99"), start, now),
        "start": start,
    }


def seen(tx: Tx, plan: Plan, now: float) -> Picture:
    """How the gateway is, as far as anybody has looked."""
    return picture(gateway.seen(tx), now, [route.name for route in plan.routes if route.origins])


def verdict(found: Picture) -> tuple[str, str]:
    """Say how it is in one sentence, with its tone."""
    if found.at is None:
        return "Nobody has looked at it yet", "unknown"
    if not found.fresh:
        return "Nobody knows how it is now", "unknown"
    if any(host.fresh and not host.processes for host in found.hosts):
        silent = [host.name for host in found.hosts if host.fresh and not host.processes]
        return f"Nothing is carried on {', '.join(silent)}", "fail"
    said = [*_failing(found), *_unheard(found), *_out(found)]
    if not said:
        return "Every origin is well", "ok"
    words = said[0] if len(said) == 1 else f"{said[0]}, and {said[1][:1].lower()}{said[1][1:]}"
    more = f", and {len(said) - 2} more" if len(said) > 2 else ""
    return words + more, "fail" if found.state == "fail" else "warn"


def _failing(found: Picture) -> list[str]:
    names = [route.name for route in found.routes if route.state == "fail"]
    which = names[0] if len(names) == 1 else f"{len(names)} of {len(found.routes)} routes"
    return [f"No origin of {which} is well"] if names else []


def _unheard(found: Picture) -> list[str]:
    down = sorted((need for need in found.needs if need.state == "down"), key=lambda need: not need.grave)
    return [f"{SHORT[what]} does not answer" for what in dict.fromkeys(need.what for need in down)]


def _out(found: Picture) -> list[str]:
    names = [route.name for route in found.routes if route.state == "warn"]
    if not names:
        return []
    return [f"An origin of {names[0]} is out" if len(names) == 1 else f"Origins of {listed(names)} are out"]
