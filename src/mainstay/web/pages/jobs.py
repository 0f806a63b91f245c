"""`GET /jobs`: what is due when and how it went; one job; one run with its steps and live log."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mainstay.core.ids import new_id
from mainstay.core.run import Run
from mainstay.engine import queue
from mainstay.store import audit, status, views
from mainstay.store.base import Row, Tx
from mainstay.web.pages.account import local
from mainstay.web.pages.incidents import who
from mainstay.web.plan import JobPlan, Plan
from mainstay.web.security import Form
from mainstay.web.series import rank
from mainstay.web.shape import AILMENTS, PARTS, shape
from mainstay.web.site import missing, show, site_of
from mainstay.web.timeline import output
from mainstay.web.words import span

STREAK = 24
PER_PAGE = 50
HEAL = "heal:"
WORDS = {
    "queued": ("Waits", "", "wait"),
    "running": ("Running", "info", "play"),
    "done": ("Done", "ok", "ok"),
    "failed": ("Failed", "fail", "fail"),
    "parked": ("Parked", "warn", "warn"),
    "cancelled": ("Cancelled", "unknown", "close"),
}
"""A run's state as word, tone and icon."""
WEAKNESSES = "weaknesses"
"""In the outcome of a run that looks for security holes: what it found, one by one."""
ENDED = ("done", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class JobLine:
    """A job: its plan, when it is due, how it went."""

    plan: JobPlan
    next_at: float | None
    runs: Sequence[Row]
    schedule: Row | None

    @property
    def last(self) -> Row | None:
        """The newest run."""
        return self.runs[-1] if self.runs else None

    @property
    def going(self) -> Row | None:
        """The run that waits or is under way."""
        return next((run for run in reversed(self.runs) if run["state"] in ("running", "queued")), None)

    @property
    def p95(self) -> float | None:
        """Of the last runs' durations the 95th percentile, in seconds."""
        return rank([took(run) or 0.0 for run in self.runs if run["state"] == "done"], 95)

    @property
    def schedule_words(self) -> str:
        """When it is due, inside a sentence."""
        words = self.plan.schedule.explain()
        return words[:1].lower() + words[1:]

    @property
    def heals(self) -> bool:
        """Whether running it restarts a service."""
        return self.plan.name.startswith(HEAL)

    @property
    def button(self) -> str:
        """What its button says."""
        return "Heal now" if self.heals else "Run now"

    @property
    def confirm(self) -> str:
        """What is asked before; nothing for what cannot interrupt anybody."""
        return f"Restart what runs {self.plan.name.removeprefix(HEAL)} now?" if self.heals else ""

    @property
    def missed(self) -> int:
        """Due times at which nobody was there, among the last runs and since."""
        return sum(run["missed"] for run in self.runs) or (self.schedule["missed"] if self.schedule else 0)


def took(run: Row) -> float | None:
    """How long a run took, in seconds; None while it has not ended."""
    if run["started_at"] is None or run["finished_at"] is None:
        return None
    return max(0.0, float(run["finished_at"] - run["started_at"]))


def describe(run: Row) -> str:
    """A run in words, for tooltips."""
    word = WORDS.get(run["state"], (run["state"], "", ""))[0]
    duration = took(run)
    return (
        f"{word}"
        + (f" in {span(duration)}" if duration is not None else "")
        + (f": {run['summary']}" if run["summary"] else "")
    )


def lines(tx: Tx, plan: Plan, now: float) -> list[JobLine]:
    """Every configured job, in the file's order."""
    runs = views.recent_runs(tx, [job.name for job in plan.jobs], STREAK)
    schedules = views.schedules(tx)
    return [
        JobLine(job, job.schedule.next_after(now, job.name), runs.get(job.name, []), schedules.get(job.name))
        for job in plan.jobs
    ]


async def listing(request: Request) -> Response:
    """All jobs."""
    site, now = site_of(request), site_of(request).clock.now()
    return await show(
        request,
        "jobs.html",
        lambda tx: {
            "jobs": lines(tx, site.plan, now),
            "live": views.runs(tx, state="running", limit=20),
            "worked": status.worked(tx, now),
            "budget": site.plan.readiness.machine_time if site.plan.readiness else None,
        },
        words=WORDS,
        describe=describe,
        took=took,
    )


async def job(request: Request) -> Response:
    """One job and its runs."""
    site, now = site_of(request), site_of(request).clock.now()
    name, before = request.path_params["name"], request.query_params.get("before", "")
    planned = site.plan.job(name)

    def look(tx: Tx) -> dict[str, Any]:
        found = views.runs(tx, job=name, before=before, limit=PER_PAGE + 1)
        plan = planned or JobPlan(name, "no longer configured")
        recent = views.recent_runs(tx, [name], STREAK)[name]
        next_at = plan.schedule.next_after(now, name)
        return {
            "line": JobLine(plan, next_at, recent, views.schedules(tx).get(name)),
            "runs": found[:PER_PAGE],
            "more": found[PER_PAGE - 1]["id"] if len(found) > PER_PAGE else None,
            "coming": coming(plan, now),
            "durations": bars(recent),
            "holes": holes(found),
            "shape": shape(found),
        }

    if planned is None and not await site.store.read(lambda tx: views.runs(tx, job=name, limit=1)):
        return await missing(request, "There is no such job")
    return await show(
        request, "job.html", look, words=WORDS, describe=describe, took=took, configured=planned is not None
    )


def coming(plan: JobPlan, now: float, many: int = 5) -> list[float]:
    """The next due times."""
    due = plan.schedule.due_after(now, plan.name)
    return [at for at, _ in zip(due, range(many), strict=False)]


def bars(runs: Sequence[Row]) -> list[dict[str, Any]]:
    """How long the last runs took, as heights of 0 to 100."""
    known = [(run, took(run)) for run in runs]
    longest = max((seconds for _, seconds in known if seconds), default=0.0)
    return [
        {"run": run, "seconds": seconds, "height": max(4.0, seconds / longest * 100) if longest else 4.0}
        for run, seconds in known
        if seconds is not None
    ]


async def run(request: Request) -> Response:
    """One run."""
    site, identifier = site_of(request), request.path_params["id"]

    def look(tx: Tx) -> dict[str, Any]:
        row = views.run(tx, identifier)
        if row is None:
            return {}
        done = views.steps(tx, identifier)
        return {
            "run": row,
            "steps": steps(row, done),
            "log": views.log_tail(tx, identifier),
            "facts": figures(row),
            "holes": holes([row]),
            "shape": shape([row]),
            "progress": json.loads(row["progress"]) if row["progress"] else None,
        }

    found = await site.store.read(look)
    if not found:
        return await missing(request, "There is no such run")
    return await show(
        request, "run.html", lambda tx: found, words=WORDS, took=took, ended=found["run"]["state"] in ENDED
    )


def steps(run: Row, done: Sequence[Row]) -> list[dict[str, Any]]:
    """The planned steps: finished, under way or still to come."""
    finished = {row["name"]: row for row in done}
    names = json.loads(run["plan"] or "[]") or [row["name"] for row in done]
    found: list[dict[str, Any]] = []
    active = run["state"] == "running"
    for name in names:
        row = finished.get(name)
        if row is not None:
            seconds = row["finished_at"] - row["started_at"]
            found.append({"name": name, "state": "done", "seconds": seconds, "output": output(row["result"])})
            continue
        state = (
            "running" if active else "failed" if run["state"] == "failed" and not _after(found) else "waiting"
        )
        active = False
        found.append({"name": name, "state": state, "seconds": None, "output": ""})
    return found


def _after(found: Sequence[dict[str, Any]]) -> bool:
    return any(step["state"] == "failed" for step in found)


def figures(run: Row) -> list[tuple[str, str]]:
    """What the run's outcome says, as name and value."""
    outcome = json.loads(run["outcome"] or "{}")
    plain = outcome.items() if isinstance(outcome, dict) else []
    shown = {WEAKNESSES} | (PARTS if AILMENTS in dict(plain) else set())
    plain = [(name, value) for name, value in plain if name not in shown]
    return [
        (name.replace("_", " "), value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in plain
    ]


def holes(runs: Sequence[Row]) -> dict[str, Any] | None:
    """What the newest run that was done found weak about the machine; None for runs that look for nothing."""
    done = next((run for run in runs if run["state"] == "done"), None)
    outcome = json.loads(done["outcome"] or "{}") if done else {}
    if done is None or not isinstance(outcome, dict) or not isinstance(outcome.get(WEAKNESSES), list):
        return None
    return {"at": done["finished_at"], "found": outcome[WEAKNESSES]}


async def run_now(request: Request, form: Form) -> Response:
    """`POST /jobs/NAME/run`."""
    site, name = site_of(request), request.path_params["name"]
    if site.plan.job(name) is None:
        return await missing(request, "There is no such job")
    made = await enqueue(request, name)
    return RedirectResponse(local(form.get("back") or f"/runs/{made.id}"), 303)


async def enqueue(request: Request, name: str) -> Run:
    """Queue a run because somebody asked for it."""
    site, now = site_of(request), site_of(request).clock.now()
    person = who(request)
    key = f"{name}:manual:{new_id(now)}"
    args = (
        {"by": person} if name.startswith(HEAL) else {}
    )  # healing by hand passes the guards that spare people

    def unit(tx: Tx) -> Run:
        made = queue.enqueue(tx, name, key=key, due_at=now, now=now, args=args, why=f"asked for by {person}")
        audit.note(tx, person, "job.run", name, now, run=made.id)
        return made

    return await site.store.write(unit)


async def cancel(request: Request, form: Form) -> Response:
    """`POST /runs/ID/cancel`."""
    site, now, identifier = site_of(request), site_of(request).clock.now(), request.path_params["id"]
    person = who(request)

    def unit(tx: Tx) -> None:
        queue.cancel(tx, identifier, now=now, why=f"cancelled by {person}")
        audit.note(tx, person, "run.cancel", identifier, now)

    await site.store.write(unit)
    return RedirectResponse(f"/runs/{identifier}", 303)


async def retry(request: Request, form: Form) -> Response:
    """`POST /runs/ID/retry`."""
    site, now, identifier = site_of(request), site_of(request).clock.now(), request.path_params["id"]
    person = who(request)

    def unit(tx: Tx) -> None:
        queue.retry(tx, identifier)
        audit.note(tx, person, "run.retry", identifier, now)

    await site.store.write(unit)
    return RedirectResponse(f"/runs/{identifier}", 303)
