"""The part of the JSON API about webhooks that were taken in."""

import base64
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mainstay.store import inbox_delivery
from mainstay.store.base import Tx
from mainstay.web.pages import inbox as pages
from mainstay.web.security import Form, action, problem
from mainstay.web.site import site_of

MOST = 500


def routes(v1: str) -> list[BaseRoute]:
    """The endpoints, in the order of the reference."""
    return [
        Route(f"{v1}/inbox", events),
        Route(f"{v1}/inbox/sources", sources),
        Route(f"{v1}/inbox/replay", action(replay_many), methods=["POST"]),
        Route(f"{v1}/inbox/{{id}}", event),
        Route(f"{v1}/inbox/{{id}}/replay", action(replay_one), methods=["POST"]),
    ]


async def events(request: Request) -> Response:
    """Webhooks from the newest back, without their bodies.

    `?source=NAME&state=queued|held|delivered|dead|kept&type=TYPE&q=TEXT&limit=N&before=ID`.
    """
    wanted = pages.Wanted.of(request.query_params)
    before, limit = request.query_params.get("before", ""), _limit(request, 50)
    found = await site_of(request).store.read(lambda tx: wanted.find(tx, limit, before))
    return JSONResponse({"events": [asdict(line) for line in found]})


async def sources(request: Request) -> Response:
    """Every source of webhooks: what waits and since when, what is dead, kept or delivered, how its target is."""
    site = site_of(request)
    found = await site.store.read(lambda tx: pages.lines(tx, site.plan))
    return JSONResponse({"sources": [source(line) for line in found]})


def source(line: pages.SourceLine) -> dict[str, Any]:
    """A source for programs."""
    return {
        "name": line.plan.name,
        "scheme": line.plan.scheme,
        "target": line.plan.target,
        "waiting": line.waiting,
        "oldest_at": line.oldest_at,
        "dead": line.dead,
        "kept": line.kept,
        "delivered": line.delivery.delivered,
        "delivered_at": line.delivery.delivered_at,
        "target_state": line.delivery.state,
        "target_since": line.delivery.since,
        "target_detail": line.delivery.detail,
    }


async def event(request: Request) -> Response:
    """One webhook with its headers, its body (base64 of the very bytes) and every attempt."""
    identifier = request.path_params["id"]

    def look(tx: Tx) -> dict[str, Any] | None:
        found = inbox_delivery.get(tx, identifier)
        return None if found is None else plain(tx, found)

    found = await site_of(request).store.read(look)
    return (
        JSONResponse(found)
        if found
        else problem(404, "there is no such event", "GET /api/v1/inbox lists them")
    )


def plain(tx: Tx, event: inbox_delivery.Event) -> dict[str, Any]:
    """An event for programs."""
    attempts = [asdict(one) for one in inbox_delivery.attempts(tx, event.id)]
    facts = {name: value for name, value in asdict(event).items() if name not in ("body", "key")}
    return {**facts, "body": base64.b64encode(event.body).decode(), "tries": attempts}


async def replay_one(request: Request, form: Form) -> Response:
    """Bring a webhook again; answers 202 with the id under which that happens (a new one if it had been delivered)."""
    done = await pages.bring_again(request, [request.path_params["id"]])
    if not done:
        what, hint = pages.NOT_BROUGHT
        return problem(404, what, f"{hint} GET /api/v1/inbox lists events.")
    return JSONResponse({"id": done[0]}, 202)


async def replay_many(request: Request, form: Form) -> Response:
    """Bring all webhooks again that a search finds, 500 at most; as `GET /inbox`, with at least one of its filters."""
    wanted = pages.Wanted.of(request.query_params)
    if not wanted.query:
        return problem(400, "this would replay everything", "say what: ?source=NAME&state=dead")
    limit = _limit(request, MOST)
    found = await site_of(request).store.read(lambda tx: wanted.find(tx, limit))
    done = await pages.bring_again(request, [line.id for line in found][::-1])
    return JSONResponse({"replayed": done}, 202)


def _limit(request: Request, usual: int) -> int:
    text = request.query_params.get("limit", "")
    return min(MOST, int(text)) if text.isascii() and text.isdigit() and len(text) < 6 else usual
