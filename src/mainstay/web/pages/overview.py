"""`GET /`: how is everything? One sentence, then what is wrong, then every service."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from mainstay.store import views
from mainstay.store.base import Row, Tx
from mainstay.web.bars import Window, describe
from mainstay.web.health import RANK, ServiceHealth, health
from mainstay.web.latencies import p95s
from mainstay.web.pages.problems import Problem, problems
from mainstay.web.plan import JobPlan, Plan
from mainstay.web.readiness import card
from mainstay.web.site import Beat, Site, page, site_of
from mainstay.web.words import listed, plural, rough

PER_PAGE = 100
FILTERS = {"": "All", "problems": "Problems", "critical": "Critical"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The sentence at the top. `tone` is ok, warn, fail or unknown."""

    tone: str
    icon: str
    sentence: str
    detail: str = ""


async def overview(request: Request) -> Response:
    """The first page."""
    site = site_of(request)
    await site.bars.refresh(site.checks)
    now = site.clock.now()

    def look(tx: Tx) -> tuple[Row, dict[str, Any]]:
        return views.frame(tx), gather(tx, site.plan, now)

    frame, found = await site.store.read(look)
    rates = await p95s(site)
    readiness = await card(site)
    beat = Beat(frame, now)
    services: list[ServiceHealth] = found["services"]
    query = request.query_params.get("q", "").strip()
    chosen = request.query_params.get("show", "")
    wanted = sorted(filtered(services, query, chosen), key=lambda one: RANK[one.state])
    first = max(0, _number(request.query_params.get("from", "0")))
    window = site.bars.window()
    context = found | {
        "verdict": verdict(services, found["problems"], beat),
        "rows": [row(site, one, window, rates) for one in wanted[first : first + PER_PAGE]],
        "window": window,
        "readiness": readiness,
        "q": query,
        "chosen": chosen if chosen in FILTERS else "",
        "filters": FILTERS,
        "counts": {
            "": len(services),
            "problems": sum(bad(one) for one in services),
            "critical": sum(one.plan.critical for one in services),
        },
        "matching": len(wanted),
        "first": first,
        "per_page": PER_PAGE,
        "healthy": sum(one.state == "ok" for one in services),
    }
    return page(request, "overview.html", frame, context)


def gather(tx: Tx, plan: Plan, now: float) -> dict[str, Any]:
    """Everything that the page needs of the journal, in a handful of queries."""
    open_incidents = views.open_incidents(tx)
    silences = views.silences(tx, now)
    return {
        "services": health(plan, views.states(tx), silences, open_incidents, now),
        "problems": problems(tx, plan, open_incidents),
        "proven": proven(plan, views.last_backups(tx), views.last_proofs(tx)),
        "channels": views.channels(tx),
        "next_job": next_job(plan, now),
    }


def verdict(services: Sequence[ServiceHealth], opened: Sequence[Problem], beat: Beat) -> Verdict:
    """Say in one sentence how things are; what was not measured just now is never called healthy."""
    if not services:
        hint = "Add services to mainstay.yaml, or let mainstay init find them."
        return Verdict("unknown", "unknown", "Nothing is watched yet.", hint)
    if not beat.alive:
        return _silent(beat)
    states = Counter(one.state for one in services)
    rest = f"{states['ok']} of {plural(len(services), 'service')} healthy."
    failing = [one.plan.title for one in services if one.state == "fail"]
    if failing:
        doing = next((problem.doing for problem in opened if problem.heals), "")
        rest = f"{doing}. {rest}" if doing else rest
        return Verdict(
            "fail", "fail", f"{listed(failing)} {'is' if len(failing) == 1 else 'are'} failing.", rest
        )
    if any(problem.critical for problem in opened):
        return Verdict("fail", "fail", f"{_headline(opened)}.", rest)
    warned = [one.plan.title for one in services if one.state == "warn"]
    if warned:
        return Verdict(
            "warn", "warn", f"{listed(warned)} {'needs' if len(warned) == 1 else 'need'} a look.", rest
        )
    if opened:
        return Verdict("warn", "warn", f"{_headline(opened)}.", rest)
    return _calm(services, states)


def _silent(beat: Beat) -> Verdict:
    since = f"has not been heard of for {rough(beat.age)}" if beat.age is not None else "does not run"
    hint = "What is shown below was measured before that. Start it with mainstay up."
    return Verdict("unknown", "unknown", f"The agent {since}: how things are is unknown.", hint)


def _headline(opened: Sequence[Problem]) -> str:
    return str(opened[0].row["title"]) if len(opened) == 1 else f"{plural(len(opened), 'problem')} open"


def _calm(services: Sequence[ServiceHealth], states: Counter[str]) -> Verdict:
    unknown = states["unknown"] + states["waiting"]
    if unknown == len(services):
        return Verdict(
            "unknown", "wait", "Nothing has been measured yet.", "The first answers come within seconds."
        )
    if unknown:
        said = f"{plural(unknown, 'service')} could not be measured, the others are healthy."
        return Verdict("unknown", "unknown", said)
    if len(services) == 1:
        return Verdict("ok", "ok", f"{services[0].plan.title} is healthy.")
    return Verdict("ok", "ok", f"All {len(services)} services healthy.")


def filtered(services: Sequence[ServiceHealth], query: str, chosen: str) -> list[ServiceHealth]:
    """The services that a search and a filter leave."""
    words = query.lower().split()

    def fits(one: ServiceHealth) -> bool:
        if (chosen == "problems" and not bad(one)) or (chosen == "critical" and not one.plan.critical):
            return False
        text = " ".join(
            [
                one.plan.name,
                one.plan.title,
                one.word,
                one.plan.runs_on or "",
                *(f"{check.plan.name} {check.plan.target}" for check in one.checks),
            ]
        ).lower()
        return all(word in text for word in words)

    return [one for one in services if fits(one)]


def bad(one: ServiceHealth) -> bool:
    """Whether a service needs a look."""
    return one.state != "ok" or one.incident is not None


def row(site: Site, one: ServiceHealth, window: Window, rates: dict[str, float]) -> dict[str, Any]:
    """A service's line."""
    checks = [check.plan.id for check in one.checks]
    ticks = site.bars.ticks(checks, window)
    uptime = site.bars.uptime(checks)
    return {
        "one": one,
        "ticks": ticks,
        "label": describe(ticks, window.label, uptime),
        "uptime": uptime,
        "p95": max((rates[check] for check in checks if check in rates), default=None),
    }


def proven(plan: Plan, last: dict[str, Row], proofs: dict[str, Row]) -> dict[str, Any] | None:
    """How far the databases' backups are proven; None without databases."""
    if not plan.databases:
        return None
    names = [database.name for database in plan.databases]
    known = sorted((proofs[name] for name in names if name in proofs), key=lambda proof: proof["at"])
    return {
        "failed": [name for name in names if name in last and last[name]["state"] == "failed"],
        "missing": [name for name in names if name not in proofs],
        "oldest": known[0] if known else None,
        "newest": known[-1] if known else None,
        "count": len(known),
        "of": len(names),
    }


def next_job(plan: Plan, now: float) -> tuple[JobPlan, float] | None:
    """The job that is due next, and when."""
    due = [(job, job.schedule.next_after(now, job.name)) for job in plan.jobs]
    coming = [(job, at) for job, at in due if at is not None]
    return min(coming, key=lambda pair: pair[1], default=None)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else 0
