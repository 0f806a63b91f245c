"""The part of the JSON API about the gateway."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mainstay.web.pages import gateway as pages
from mainstay.web.security import problem
from mainstay.web.site import site_of
from mainstay.web.traffic import RANGES, columns, moments


def routes(v1: str) -> list[BaseRoute]:
    """The endpoints, in the order of the reference."""
    return [Route(f"{v1}/gateway", state), Route(f"{v1}/gateway/traffic", traffic)]


async def state(request: Request) -> Response:
    """The gateway: machines, routes with their origins (state, since when, when last heard of, why), whom it needs, and
    the figures of the last minute (rates per second, latencies in seconds)."""
    site, now = site_of(request), site_of(request).clock.now()
    found = await site.store.read(lambda tx: pages.seen(tx, site.plan, now))
    return JSONResponse({**found.plain(), "now": now})


async def traffic(request: Request) -> Response:
    """What was answered over time, as columns: `at`; `rate`, `client_errors` (4xx), `server_errors` (5xx) per second;
    `p50` and `p99` in milliseconds; `?route=NAME&range=1h|24h|7d|90d`, all routes when left out."""
    site, span = site_of(request), request.query_params.get("range", pages.USUAL)
    route = request.query_params.get("route", "")
    if span not in RANGES:
        return problem(400, f"range {span} is unknown", f"use one of {', '.join(RANGES)}")
    now = site.clock.now()
    found = await site.store.read(lambda tx: moments(tx, route, span, now))
    start = now - RANGES[span][0]
    return JSONResponse({"route": route, "range": span, "from": start, "to": now, **columns(found)})
