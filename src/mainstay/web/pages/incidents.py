"""`GET /incidents`: what went wrong; one incident's timeline; the buttons that change it; the post-mortem."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from mainstay.core.errors import MainstayError
from mainstay.incidents.desk import Desk
from mainstay.incidents.routing import Channel, Routing
from mainstay.store import views
from mainstay.store.base import Row, Tx
from mainstay.web.pages.account import local
from mainstay.web.pages.problems import problems
from mainstay.web.postmortem import write
from mainstay.web.security import Form
from mainstay.web.site import Site, missing, show, site_of
from mainstay.web.timeline import Entry, figures, timeline

PER_PAGE = 50
STATES = {"": "All", "open": "Open", "resolved": "Resolved"}


async def listing(request: Request) -> Response:
    """Incidents, the newest first."""
    state = request.query_params.get("state", "")
    before = request.query_params.get("before", "")
    plan = site_of(request).plan

    def look(tx: Tx) -> dict[str, Any]:
        found = views.incidents(tx, state=state if state in STATES else "", before=before, limit=PER_PAGE + 1)
        live = views.open_incidents(tx) if not before and state != "resolved" else []
        return {
            "problems": problems(tx, plan, live),
            "incidents": [row for row in found[:PER_PAGE] if row["resolved_at"] is not None or before],
            "more": found[PER_PAGE - 1]["id"] if len(found) > PER_PAGE else None,
        }

    return await show(
        request, "incidents.html", look, chosen=state if state in STATES else "", states=STATES, before=before
    )


async def incident(request: Request) -> Response:
    """One incident."""
    site, now = site_of(request), site_of(request).clock.now()
    found = await site.store.read(lambda tx: gather(tx, request.path_params["id"], now))
    if found is None:
        return await missing(request, "There is no such incident")
    return await show(request, "incident.html", lambda tx: found)


def gather(tx: Tx, identifier: str, now: float) -> dict[str, Any] | None:
    """Everything about one incident, or None when there is none."""
    row = views.incident(tx, identifier)
    if row is None:
        return None
    messages, runs = views.messages(tx, identifier), views.healing(tx, identifier)
    steps = {run["id"]: views.steps(tx, run["id"]) for run in runs}
    entries: list[Entry] = timeline(row, views.events(tx, identifier), messages, runs, steps)
    return {"incident": row, "entries": entries, "figures": figures(row, messages, now)}


async def post_mortem(request: Request) -> Response:
    """`GET /incidents/ID.md`: the timeline as a Markdown document to complete."""
    site = site_of(request)
    found = await site.store.read(lambda tx: gather(tx, request.path_params["id"], site.clock.now()))
    if found is None:
        return await missing(request, "There is no such incident")
    text = write(
        found["incident"],
        found["entries"],
        found["figures"],
        site.moments(),
        site.plan.title or site.plan.name,
    )
    name = f"incident-{found['incident']['id']}.md"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return PlainTextResponse(text, headers=headers, media_type="text/markdown; charset=utf-8")


def desk(site: Site) -> Desk:
    """The only place that changes incidents, with the channels of today's plan."""
    channels = [
        Channel(one.name, "critical" if one.when == "critical" else "always") for one in site.plan.channels
    ]
    return Desk(site.clock, Routing(channels, site.settings.url))


async def change(request: Request, unit: Callable[[Tx, Desk, str], object]) -> Row:
    """Change one incident; raises `MainstayError` when there is none."""
    site, identifier = site_of(request), request.path_params["id"]

    def whole(tx: Tx) -> Row:
        if views.incident(tx, identifier) is None:
            raise MainstayError(f"there is no incident {identifier}")
        unit(tx, desk(site), identifier)
        return views.incident(tx, identifier) or {}

    return await site.store.write(whole)


def _back(request: Request, form: Form) -> Response:
    return RedirectResponse(local(form.get("back") or f"/incidents/{request.path_params['id']}"), 303)


def who(request: Request) -> str:
    """Who does it, for the timeline and the audit."""
    return request.state.login.account if request.state.login else "a script"


async def acknowledge(request: Request, form: Form) -> Response:
    """`POST /incidents/ID/acknowledge`."""
    await change(request, lambda tx, desk, one: desk.acknowledge(tx, one, who(request)))
    return _back(request, form)


async def resolve(request: Request, form: Form) -> Response:
    """`POST /incidents/ID/resolve`."""
    why = form.get("why", "").strip()[:300]
    await change(request, lambda tx, desk, one: desk.resolve_manually(tx, one, who(request), why))
    return _back(request, form)


async def note(request: Request, form: Form) -> Response:
    """`POST /incidents/ID/note`."""
    text = form.get("text", "").strip()[:2000]
    if text:
        await change(request, lambda tx, desk, one: desk.note(tx, one, who(request), text))
    return _back(request, form)
