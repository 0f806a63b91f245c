"""The JSON API under `/api/v1`, for scripts with the token and for pages with a login.

Every endpoint's docstring is its entry in the reference.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mainstay import __version__
from mainstay.core.run import RunState
from mainstay.store import views
from mainstay.store.base import Row, Tx
from mainstay.web import api_gateway, api_inbox
from mainstay.web.health import CheckHealth, ServiceHealth, health
from mainstay.web.latencies import p95s
from mainstay.web.pages import backups as backup_pages
from mainstay.web.pages import certificates as certificate_pages
from mainstay.web.pages import incidents as incident_pages
from mainstay.web.pages import jobs as job_pages
from mainstay.web.pages.overview import verdict
from mainstay.web.pages.problems import problems
from mainstay.web.security import Form, action, problem
from mainstay.web.series import RANGES, columns, latencies
from mainstay.web.site import Beat, Site, site_of

MOST = 500
_JSON_COLUMNS = ("facts", "message", "args", "plan", "outcome", "progress", "detail", "result")


def routes() -> list[BaseRoute]:
    """The endpoints, in the order of the reference."""
    v1 = "/api/v1"
    return [
        Route(f"{v1}/status", status),
        Route(f"{v1}/services", services),
        Route(f"{v1}/services/{{name}}", service),
        Route(f"{v1}/services/{{name}}/latency", latency),
        Route(f"{v1}/incidents", incidents),
        Route(f"{v1}/incidents/{{id}}", incident),
        Route(f"{v1}/incidents/{{id}}/acknowledge", action(acknowledge), methods=["POST"]),
        Route(f"{v1}/jobs", jobs),
        Route(f"{v1}/jobs/{{name}}/run", action(run_job), methods=["POST"]),
        Route(f"{v1}/runs", runs),
        Route(f"{v1}/runs/{{id}}", run),
        Route(f"{v1}/backups", backups),
        Route(f"{v1}/certificates", certificates),
        Route(f"{v1}/outbox", outbox),
        *api_gateway.routes(v1),
        *api_inbox.routes(v1),
        Route("/api/{rest:path}", unknown, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
    ]


def endpoints() -> list[tuple[str, str, str]]:
    """Give (method, path, what it gives) of every endpoint, for the reference."""
    found: list[tuple[str, str, str]] = []
    for route in routes():
        if not isinstance(route, Route) or "{rest" in route.path:
            continue
        handler = getattr(route.endpoint, "__wrapped__", route.endpoint)
        method = "POST" if "POST" in (route.methods or ()) else "GET"
        found.append((method, route.path, " ".join((handler.__doc__ or "").split())))
    return found


# --- how things are ------------------------------------------------------------------------------------------------


async def status(request: Request) -> Response:
    """The verdict in one sentence, the agent's age in seconds, counts of services by state, open problems."""
    site, now = site_of(request), site_of(request).clock.now()

    def look(tx: Tx) -> dict[str, Any]:
        frame, found = views.frame(tx), _health(tx, site, now)
        opened = problems(tx, site.plan, views.open_incidents(tx))
        beat = Beat(frame, now)
        said = verdict(found, opened, beat)
        states: dict[str, int] = {}
        for one in found:
            states[one.state] = states.get(one.state, 0) + 1
        return {
            "name": site.plan.name,
            "verdict": said.tone,
            "sentence": said.sentence,
            "agent": {"alive": beat.alive, "age": beat.age, "measured_at": beat.measured_at},
            "services": states,
            "open_incidents": frame["open_incidents"],
            "messages_owed": frame["owed"],
            "version": __version__,
            "at": now,
        }

    return JSONResponse(await site.store.read(look))


async def services(request: Request) -> Response:
    """Every service: state, present answers, p95 latency in seconds, share of good answers in 24 h."""
    site, now = site_of(request), site_of(request).clock.now()
    found = await site.store.read(lambda tx: _health(tx, site, now))
    await site.bars.refresh(site.checks)
    rates = await p95s(site)
    return JSONResponse({"services": [_service(one, site, rates) for one in found], "at": now})


async def service(request: Request) -> Response:
    """One service, as in the list."""
    site, now = site_of(request), site_of(request).clock.now()
    found = await site.store.read(lambda tx: _health(tx, site, now))
    one = next((one for one in found if one.plan.name == request.path_params["name"]), None)
    if one is None:
        return problem(404, "there is no such service", "GET /api/v1/services lists them")
    await site.bars.refresh(site.checks)
    return JSONResponse(_service(one, site, await p95s(site)) | {"at": now})


async def latency(request: Request) -> Response:
    """One check's latencies as columns `at`, `p50` and `p95` (milliseconds); `?check=ID&range=1h|24h|7d|90d`."""
    site = site_of(request)
    plan = site.plan.service(request.path_params["name"])
    check, span = request.query_params.get("check", ""), request.query_params.get("range", "24h")
    if plan is None or check not in [one.id for one in plan.checks]:
        return problem(404, "there is no such check", "name one with ?check=SERVICE/CHECK")
    if span not in RANGES:
        return problem(400, f"range {span} is unknown", f"use one of {', '.join(RANGES)}")
    now = site.clock.now()
    points = await site.store.read(lambda tx: latencies(tx, check, span, now))
    return JSONResponse(
        {"check": check, "range": span, "from": now - RANGES[span][0], "to": now, **columns(points)}
    )


def _health(tx: Tx, site: Site, now: float) -> list[ServiceHealth]:
    return health(site.plan, views.states(tx), views.silences(tx, now), views.open_incidents(tx), now)


def _service(one: ServiceHealth, site: Site, rates: Mapping[str, float]) -> dict[str, Any]:
    names = [check.plan.id for check in one.checks]
    return {
        "name": one.plan.name,
        "title": one.plan.title,
        "critical": one.plan.critical,
        "state": one.state,
        "since": one.since,
        "detail": one.says,
        "silenced": one.silenced is not None,
        "incident": one.incident["id"] if one.incident else None,
        "good": site.bars.uptime(names),
        "checks": [_check(check) | {"p95": rates.get(check.plan.id)} for check in one.checks],
    }


def _check(check: CheckHealth) -> dict[str, Any]:
    return {
        "id": check.plan.id,
        "target": check.plan.target,
        "every": check.plan.every,
        "state": check.state,
        "late": check.late,
        "detail": check.detail,
        "since": check.since,
        "at": check.at,
        "latency": check.latency,
        "facts": dict(check.facts),
    }


# --- incidents -----------------------------------------------------------------------------------------------------


async def incidents(request: Request) -> Response:
    """Incidents from the newest back; `?state=open|resolved&service=NAME&limit=N&before=ID`."""
    asked = request.query_params
    if nonsense := _nonsense(request, ("open", "resolved")):
        return nonsense
    rows = await site_of(request).store.read(
        lambda tx: views.incidents(
            tx,
            state=asked.get("state", ""),
            service=asked.get("service", ""),
            before=asked.get("before", ""),
            limit=_limit(request),
        )
    )
    return JSONResponse({"incidents": [_plain(row) for row in rows]})


async def incident(request: Request) -> Response:
    """One incident with its timeline and the spans until it was detected, told and over."""
    site = site_of(request)
    found = await site.store.read(
        lambda tx: incident_pages.gather(tx, request.path_params["id"], site.clock.now())
    )
    if found is None:
        return problem(404, "there is no such incident")
    timeline = [
        {
            "at": one.at,
            "what": one.title,
            "detail": one.detail,
            "tags": [word for _, word in one.tags],
            "steps": list(one.steps),
        }
        for one in found["entries"]
    ]
    return JSONResponse(_plain(found["incident"]) | {"timeline": timeline, "spans": asdict(found["figures"])})


async def acknowledge(request: Request, form: Form) -> Response:
    """Take care of an incident; those who were told of it are told so."""
    row = await incident_pages.change(
        request, lambda tx, desk, one: desk.acknowledge(tx, one, incident_pages.who(request))
    )
    return JSONResponse(_plain(row))


# --- jobs, runs, backups, messages ---------------------------------------------------------------------------------


async def jobs(request: Request) -> Response:
    """Every job with its schedule, next due time, last run and p95 duration in seconds."""
    site, now = site_of(request), site_of(request).clock.now()
    found = await site.store.read(lambda tx: job_pages.lines(tx, site.plan, now))
    return JSONResponse(
        {
            "jobs": [
                {
                    "name": line.plan.name,
                    "title": line.plan.title,
                    "schedule": line.plan.schedule.explain(),
                    "next_at": line.next_at,
                    "p95": line.p95,
                    "missed": line.missed,
                    "last": _plain(line.last) if line.last else None,
                }
                for line in found
            ]
        }
    )


async def run_job(request: Request, form: Form) -> Response:
    """Queue a run of a job now; answers 202 with the run."""
    name = request.path_params["name"]
    if site_of(request).plan.job(name) is None:
        return problem(404, "there is no such job", "GET /api/v1/jobs lists them")
    made = await job_pages.enqueue(request, name)
    return JSONResponse({"id": made.id, "job": made.job, "state": made.state.value}, 202)


async def runs(request: Request) -> Response:
    """Runs from the newest back; `?job=NAME&state=STATE&limit=N&before=ID`."""
    asked = request.query_params
    if nonsense := _nonsense(request, tuple(RunState)):
        return nonsense
    rows = await site_of(request).store.read(
        lambda tx: views.runs(
            tx,
            job=asked.get("job", ""),
            state=asked.get("state", ""),
            before=asked.get("before", ""),
            limit=_limit(request),
        )
    )
    return JSONResponse({"runs": [_plain(row) for row in rows]})


async def run(request: Request) -> Response:
    """One run with its finished steps and the last 500 lines of its log."""
    identifier = request.path_params["id"]

    def look(tx: Tx) -> dict[str, Any] | None:
        row = views.run(tx, identifier)
        if row is None:
            return None
        return _plain(row) | {
            "steps": [_plain(step) for step in views.steps(tx, identifier)],
            "log": [dict(line) for line in views.log_tail(tx, identifier)],
        }

    found = await site_of(request).store.read(look)
    return JSONResponse(found) if found else problem(404, "there is no such run")


async def backups(request: Request) -> Response:
    """Every database with its newest backup and newest proof, the state of its log (lags in bytes and seconds, the last
    segment, base backup and proof), and the backups themselves; `?database=NAME&limit=N`."""
    site, now, database = (
        site_of(request),
        site_of(request).clock.now(),
        request.query_params.get("database", ""),
    )

    def look(tx: Tx) -> dict[str, Any]:
        lines = backup_pages.lines(tx, site.plan, now)
        return {
            "databases": [
                {
                    "name": line.plan.name,
                    "state": line.state,
                    "next_at": line.next_at,
                    "last": _plain(line.last) if line.last else None,
                    "proof": _plain(line.proof) if line.proof else None,
                    "log": line.log.plain() if line.log else None,
                }
                for line in lines
                if not database or line.plan.name == database
            ],
            "backups": [_plain(row) for row in views.backups(tx, database, _limit(request))],
        }

    return JSONResponse(await site.store.read(look))


async def certificates(request: Request) -> Response:
    """Every certificate: its names, until when it is valid, when it is due, when it was last seen at its servers."""
    site, now = site_of(request), site_of(request).clock.now()
    found = await site.store.read(lambda tx: certificate_pages.lines(tx, site.plan, now))
    return JSONResponse({"certificates": [asdict(line.row) | {"left": line.left} for line in found]})


async def outbox(request: Request) -> Response:
    """What each channel is owed, and messages from the newest back; `?channel=NAME&owed=1&limit=N&before=ID`."""
    asked = request.query_params

    def look(tx: Tx) -> dict[str, Any]:
        messages = views.outbox(
            tx,
            channel=asked.get("channel", ""),
            owed=asked.get("owed") == "1",
            before=asked.get("before", ""),
            limit=_limit(request),
        )
        return {
            "channels": [dict(row) for row in views.channels(tx).values()],
            "messages": [_plain(row) for row in messages],
        }

    return JSONResponse(await site_of(request).store.read(look))


async def unknown(request: Request) -> Response:
    """Whatever else is asked."""
    return problem(404, "there is no such endpoint", "see the reference, or GET /api/v1/status")


def _nonsense(request: Request, states: Sequence[str]) -> Response | None:
    """Refuse a state that there is not: an empty list would look as if all were well."""
    state = request.query_params.get("state", "")
    if state and state not in states:
        return problem(400, f"there is no state {state}", f"use one of {', '.join(states)}")
    return None


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", "50")
    return min(MOST, int(text)) if text.isascii() and text.isdigit() and len(text) < 6 else 50


def _plain(row: Row) -> dict[str, Any]:
    """A row for programs: what the journal keeps as JSON text becomes JSON."""
    return {
        name: _read(value) if name in _JSON_COLUMNS else value
        for name, value in row.items()
        if name != "manifest"
    }


def _read(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in "{[":
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
