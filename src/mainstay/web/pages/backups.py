"""`GET /backups`: of every database, when it was backed up last and when a restore was last proven."""

import json
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from mainstay.backup.physical.picture import LogView, pictures
from mainstay.store import views
from mainstay.store.base import Row, Tx
from mainstay.web.plan import DatabasePlan, Plan
from mainstay.web.site import missing, show, site_of

STATES = {
    "taken": ("Taken, not proven", "warn", "wait"),
    "proven": ("Proven", "ok", "ok"),
    "partial": ("Partially proven", "warn", "warn"),
    "failed": ("Proof failed", "fail", "fail"),
    "missing": ("Gone from storage", "fail", "fail"),
    "none": ("No backup yet", "fail", "fail"),
}
"""A backup's state as word, tone and icon."""
TONES = {"ok": "ok", "warn": "warn", "fail": "fail", "unknown": "unknown"}
"""How the state of a log looks."""


@dataclass(frozen=True, slots=True)
class DatabaseLine:
    """A database: its newest backup, its newest proof, what is kept, what comes next."""

    plan: DatabasePlan
    last: Row | None
    proof: Row | None
    counts: Row | None
    next_at: float | None = None
    proof_next_at: float | None = None
    going: tuple[Row, ...] = field(default=())
    log: LogView | None = None
    """How its server's log is; None when it is not kept."""
    base_next_at: float | None = None
    log_proof_next_at: float | None = None

    @property
    def state(self) -> str:
        return self.last["state"] if self.last else "none"

    @property
    def word(self) -> str:
        return STATES.get(self.state, (self.state, "unknown", "unknown"))[0]

    @property
    def tone(self) -> str:
        return STATES.get(self.state, ("", "unknown", "unknown"))[1]

    @property
    def icon(self) -> str:
        return STATES.get(self.state, ("", "unknown", "unknown"))[2]


def lines(tx: Tx, plan: Plan, now: float) -> list[DatabaseLine]:
    """Every configured database, in the file's order."""
    last, proofs, counts = views.last_backups(tx), views.last_proofs(tx), views.backup_counts(tx)
    logs = pictures(tx, {one.name: one.log_storage for one in plan.databases if one.log_storage}, now)
    jobs = [job for one in plan.databases for job in _jobs(one)]
    runs = views.recent_runs(tx, jobs, 3)
    return [
        DatabaseLine(
            one,
            last.get(one.name),
            proofs.get(one.name),
            counts.get(one.name),
            _next(plan, one.backup_job, now),
            _next(plan, one.prove_job, now),
            tuple(run for job in _jobs(one) for run in runs[job] if run["state"] in ("running", "queued")),
            logs.get(one.name),
            _next(plan, one.base_job, now),
            _next(plan, one.prove_log_job, now),
        )
        for one in plan.databases
    ]


def _jobs(one: DatabasePlan) -> list[str]:
    jobs = (one.backup_job, one.prove_job, one.base_job, one.prove_log_job)
    return [job for job in jobs if job]


def _next(plan: Plan, name: str | None, now: float) -> float | None:
    job = plan.job(name) if name else None
    return job.schedule.next_after(now, job.name) if job else None


async def listing(request: Request) -> Response:
    """All databases."""
    site, now = site_of(request), site_of(request).clock.now()
    return await show(
        request,
        "backups.html",
        lambda tx: {"databases": lines(tx, site.plan, now)},
        read_json=read_json,
        tones=TONES,
    )


async def database(request: Request) -> Response:
    """One database and its backups."""
    site, now = site_of(request), site_of(request).clock.now()
    name = request.path_params["database"]
    if site.plan.database(name) is None:
        return await missing(request, "There is no such database")

    def look(tx: Tx) -> dict[str, Any]:
        line = next(line for line in lines(tx, site.plan, now) if line.plan.name == name)
        return {"line": line, "backups": views.backups(tx, name, 100)}

    return await show(
        request, "backup.html", look, states=STATES, faults=faults, read_json=read_json, tones=TONES
    )


def faults(detail: str | None, most: int = 8) -> list[str]:
    """What a proof found different, a line each."""
    found = read_json(detail)
    listed = [*found.get("differences", ()), *found.get("complaints", ())]
    if isinstance(found.get("unproven"), dict):
        listed += [f"not proven: {name}: {why}" for name, why in found["unproven"].items()]
    elif isinstance(found.get("unproven"), list):
        listed += [f"not proven: {one}" for one in found["unproven"]]
    return [_fault(one) for one in listed[:most]] + (
        [f"and {len(listed) - most} more"] if len(listed) > most else []
    )


def _fault(one: Any) -> str:
    if isinstance(one, dict) and {"what", "expected", "found"} <= one.keys():
        return f"{one['what']}: expected {one['expected']}, found {one['found']}"
    return one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)


def read_json(text: str | None) -> dict[str, Any]:
    """An object from the journal; an empty one when there is none."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
