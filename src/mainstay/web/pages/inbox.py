"""`GET /inbox`: webhooks that were taken in and where they stand; one of them; the buttons that bring them again."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mainstay.edge.delivery.replay import each_once, replay
from mainstay.store import inbox_delivery
from mainstay.store.base import Tx
from mainstay.store.inbox import DEAD, KEPT
from mainstay.store.inbox_delivery import Delivery, Event, Line, Standing
from mainstay.web.bodies import Shown, difference, shown
from mainstay.web.pages.account import local
from mainstay.web.pages.incidents import who
from mainstay.web.plan import Plan, SourcePlan
from mainstay.web.security import Form
from mainstay.web.site import missing, show, site_of

PER_PAGE = 40
"""A form has room for one box per event."""
MOST_AT_ONCE = 1000
BOX = "event."
NOT_BROUGHT = ("There is no such event, or nobody takes it", "Its source needs a deliver_to.")
STATES = {
    "queued": ("Waits", "info", "wait"),
    "held": ("Held", "warn", "mute"),
    "delivered": ("Delivered", "ok", "ok"),
    "dead": ("Dead letter", "fail", "fail"),
    "kept": ("Kept", "unknown", "backups"),
}
"""An event's state as word, tone and icon."""


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A source: its plan, what waits and what is dead, how its target stands."""

    plan: SourcePlan
    delivery: Delivery
    waiting: int = 0
    oldest_at: float | None = None
    dead: int = 0
    kept: int = 0

    @property
    def open(self) -> bool:
        """Whether its target is left alone for now."""
        return self.delivery.state != "closed"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for; empty is anything."""

    source: str = ""
    state: str = ""
    type: str = ""
    q: str = ""

    @classmethod
    def of(cls, given: Any) -> "Wanted":
        """Take it from an address or a form; a state that is none is any."""
        state = given.get("state", "")
        return cls(
            given.get("source", ""),
            state if state in STATES else "",
            given.get("type", ""),
            given.get("q", "")[:200],
        )

    @property
    def query(self) -> str:
        """The same for an address."""
        parts = {"source": self.source, "state": self.state, "type": self.type, "q": self.q}
        return urlencode({name: value for name, value in parts.items() if value})

    def find(self, tx: Tx, limit: int, before: str = "") -> list[Line]:
        """Look for it, from the newest back."""
        return inbox_delivery.find(
            tx,
            source=self.source,
            state=self.state,
            type=self.type,
            part=self.q.encode(),
            before=before,
            limit=limit,
        )


def lines(tx: Tx, plan: Plan) -> list[SourceLine]:
    """Every source that is configured, and those of which there is still something."""
    stands, deliveries = inbox_delivery.stats(tx), inbox_delivery.deliveries(tx)
    known = {source.name: source for source in plan.sources}
    names = [*known, *sorted({one.source for one in stands} - known.keys())]
    return [
        SourceLine(
            known.get(name) or SourcePlan(name, "no longer configured", brought=False),
            deliveries.get(name, Delivery(name)),
            sum(one.events for one in stands if one.source == name and one.waits),
            min((one.oldest_at for one in stands if one.source == name and one.waits), default=None),
            _in(stands, name, DEAD),
            _in(stands, name, KEPT),
        )
        for name in names
    ]


def _in(stands: list[Standing], source: str, state: str) -> int:
    return sum(one.events for one in stands if (one.source, one.state) == (source, state))


async def listing(request: Request) -> Response:
    """All events, the newest first."""
    plan, before = site_of(request).plan, request.query_params.get("before", "")
    wanted = Wanted.of(request.query_params)

    def look(tx: Tx) -> dict[str, Any]:
        found = wanted.find(tx, PER_PAGE + 1, before)
        more = found[PER_PAGE - 1].id if len(found) > PER_PAGE else None
        return {"sources": lines(tx, plan), "events": found[:PER_PAGE], "more": more}

    replayed = request.query_params.get("replayed", "")
    return await show(
        request,
        "inbox.html",
        look,
        wanted=wanted,
        before=before,
        states=STATES,
        box=BOX,
        brought={source.name for source in plan.sources if source.brought},
        replayed=int(replayed) if replayed.isdecimal() and len(replayed) < 10 else None,
    )


async def event(request: Request) -> Response:
    """One event: what came, what became of it, how it differs from the one before."""
    site, identifier = site_of(request), request.path_params["id"]
    found = await site.store.read(lambda tx: gather(tx, identifier))
    if found is None:
        return await missing(request, "There is no such event", "It may have been forgotten: see `keep`.")
    plan = next((one for one in site.plan.sources if one.name == found["event"].source), None)
    brought, keep = plan is not None and plan.brought, plan.keep if plan else None
    return await show(request, "event.html", lambda tx: found, states=STATES, brought=brought, keep=keep)


def gather(tx: Tx, identifier: str) -> dict[str, Any] | None:
    """Everything about one event, or None when there is none."""
    found = inbox_delivery.get(tx, identifier)
    if found is None:
        return None
    before = inbox_delivery.previous(tx, found)
    body = show_body(found)
    return {
        "event": found,
        "attempts": inbox_delivery.attempts(tx, identifier),
        "body": body,
        "previous": before,
        "changed": difference(show_body(before), body) if before is not None else [],
        "repeats": inbox_delivery.replays(tx, identifier),
    }


def show_body(event: Event) -> Shown:
    """Break an event's body into lines."""
    kind = next((value for name, value in event.headers if name.lower() == "content-type"), "")
    return shown(event.body, kind)


async def raw(request: Request) -> Response:
    """`GET /inbox/ID/body`: the very bytes that came, to keep and never to be run by a browser."""
    site, identifier = site_of(request), request.path_params["id"]
    found = await site.store.read(lambda tx: inbox_delivery.get(tx, identifier))
    if found is None:
        return await missing(request, "There is no such event")
    headers = {"Content-Disposition": f'attachment; filename="{found.source}-{found.id}.bin"'}
    return Response(found.body, headers=headers, media_type="application/octet-stream")


async def replay_one(request: Request, form: Form) -> Response:
    """`POST /inbox/ID/replay`."""
    identifier = request.path_params["id"]
    done = await bring_again(request, [identifier])
    if not done:
        return await missing(request, *NOT_BROUGHT)
    return RedirectResponse(f"/inbox/{done[0]}", 303)


async def replay_many(request: Request, form: Form) -> Response:
    """`POST /inbox/replay`: those whose boxes are ticked, or all that the search finds."""
    wanted = Wanted.of(form)
    if form.get("all"):
        site = site_of(request)
        found = await site.store.read(lambda tx: wanted.find(tx, MOST_AT_ONCE))
        ids = each_once(found)[::-1]
    else:
        ids = [name.removeprefix(BOX) for name in form if name.startswith(BOX)]
    done = await bring_again(request, ids[::-1])  # the oldest first
    back = local(f"/inbox?{wanted.query}" + ("&" if wanted.query else "") + f"replayed={len(done)}")
    return RedirectResponse(back, 303)


async def bring_again(request: Request, ids: list[str]) -> list[str]:
    """Queue events again; give the ids under which they are brought."""
    site, person = site_of(request), who(request)
    if not ids:
        return []
    now, brought = site.clock.now(), {source.name for source in site.plan.sources if source.brought}
    done = await site.store.write(lambda tx: replay(tx, ids, person, now, brought))
    return [one.id for one in done]
