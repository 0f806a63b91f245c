"""The company's jobs: three weeks of runs, with what went wrong among them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mainstay.core.ids import new_id
from mainstay.core.run import Run, RunState
from mainstay.store import runs as repository
from mainstay.store import schedules
from mainstay.store.base import Tx
from mainstay.store.schedules import Standing
from mainstay.web.plan import JobPlan, Plan

DAY = 86400.0
NODE = "0seednode"
Act = tuple[float, Callable[[Tx], None]]
TAKES = {
    "backup:odoo_prod": 214.0,
    "prove:odoo_prod": 391.0,
    "backup:superset": 22.0,
    "prove:superset": 41.0,
    "backup:hr": 9.0,
    "prove:hr": 17.0,
    "cleanup_temp_files": 4.2,
    "optimize_database": 611.0,
    "process_queued_jobs": 2.4,
    "journal_backup": 1.3,
}
STEPS = {"backup": ("check", "take", "prove"), "prove": ("prove",)}
LOG = (
    "spaces (bucket backups at sgp1.example.com) takes objects",
    "PostgreSQL 16.4, 412 tables, snapshot 00000003-0000A41B-1 exported",
    "public.sale_order_line: 1,204,118 rows counted and summed in 8.1s",
    "public.ir_attachment: 88,213 rows, 4.1 GB of binary data",
    "dump: 389 MB sent to spaces in 62 parts",
    "manifest written and read back, 412 tables, 18,204,551 rows",
)


def runs(plan: Plan, now: float, node: str, *, hostile: bool = False) -> Iterator[Act]:
    """Every job's recent runs, and one that is just under way."""
    dice = random.Random(5)
    for job in plan.jobs:
        if job.name == "heal":
            continue
        due = _due(job, now)
        for index, at in enumerate(due):
            yield at, _run(job, at, index, len(due), dice.random(), hostile)
        if due:
            yield now - 0.05, _schedule(job, due[-1], now)
    yield now - 48, _live(now, hostile)


def _due(job: JobPlan, now: float) -> list[float]:
    found: list[float] = []
    for at in job.schedule.due_after(now - 30 * DAY, job.name):
        if at >= now - 60:
            break
        found.append(at)
    return found[-26:]


def _schedule(job: JobPlan, last: float, now: float) -> Callable[[Tx], None]:
    missed = 2 if job.name == "process_queued_jobs" else 0
    standing = Standing(
        job.name,
        last,
        job.schedule.next_after(now, job.name),
        job.schedule.explain(),
        missed,
        now - DAY if missed else None,
    )
    return lambda tx: schedules.put(tx, standing)


def _run(job: JobPlan, at: float, index: int, many: int, luck: float, hostile: bool) -> Callable[[Tx], None]:
    def write(tx: Tx) -> None:
        failed = (job.name == "backup:superset" and index == many - 6) or (
            job.name == "cleanup_temp_files" and index == many - 1
        )
        missed = 3 if job.name == "process_queued_jobs" and index == many - 12 else 0
        seconds = TAKES[job.name] * (0.85 + 0.4 * luck)
        plan = STEPS.get(job.name.partition(":")[0], ("work",))
        steps = [
            (name, seconds / len(plan), {"rows": 18_204_551, "tables": 412} if name != "check" else None)
            for name in plan
        ]
        run = Run(
            new_id(at),
            job.name,
            f"{job.name}@{at:.0f}",
            RunState.QUEUED,
            at,
            {},
            "schedule",
            missed=missed,
            created_at=at,
        )
        error = (
            "permission denied: /srv/odoo/filestore/tmp (hint: let mainstay's account delete there)"
            if failed
            else None
        )
        lines = [*LOG, "<script>alert('log')</script>"] if hostile else list(LOG)
        play_run(
            tx,
            run,
            "failed" if failed else "done",
            at + 0.4,
            steps[:1] if failed else steps,
            lines,
            plan,
            summary="" if failed else _summary(job.name),
            error=error,
        )

    return write


def _summary(job: str) -> str:
    kind, _, database = job.partition(":")
    if kind == "backup":
        return f"{database}: 18,204,551 rows in 412 tables, 389 MB, taken in 3m 20s, proven in 6m 31s"
    if kind == "prove":
        return "18,204,551 rows in 412 tables equal"
    return {
        "cleanup_temp_files": "1,204 files deleted, 2.1 GB freed",
        "optimize_database": "412 tables analysed, 9 vacuumed",
        "process_queued_jobs": "14 entries imported",
        "journal_backup": "41 MB copied to spaces",
    }[job]


def _live(now: float, hostile: bool) -> Callable[[Tx], None]:
    def write(tx: Tx) -> None:
        at = now - 48
        run = Run(
            new_id(at),
            "backup:odoo_prod",
            f"backup:odoo_prod:manual:{new_id(at)}",
            RunState.QUEUED,
            at,
            {},
            "asked for by maria",
            created_at=at,
        )
        made = play_run(
            tx, run, "running", at, [("check", 0.6, None)], list(LOG[:4]), ("check", "take", "prove")
        )
        repository.put_progress(
            tx,
            made,
            {
                "label": "dumping public.ir_attachment",
                "done": 241_000_000,
                "total": 389_000_000,
                "unit": "bytes",
                "at": now,
            },
        )

    return write


def play_run(
    tx: Tx,
    run: Run,
    outcome: str,
    at: float,
    steps: Sequence[tuple[str, float, Any]],
    lines: Sequence[str],
    plan: Sequence[str],
    *,
    summary: str = "",
    error: str | None = None,
    outcome_data: dict[str, Any] | None = None,
) -> Run:
    """Let a run happen as a runner would: taken, step by step, logged, settled."""
    repository.insert(tx, run)
    made = repository.take(tx, run.id, run.job, NODE, at)
    assert made is not None, f"{run.job} is busy"
    repository.plan(tx, run.id, plan)
    passed = at
    for name, seconds, result in steps:
        assert repository.keep_step(tx, made, name, passed, passed + seconds, json.dumps(result))
        passed += seconds
    repository.add_lines(tx, run.id, [(at + 0.3 * number, line) for number, line in enumerate(lines, 1)])
    if outcome != "running":
        figures: dict[str, Any] = outcome_data or (
            {"rows": 18_204_551, "tables": 412, "bytes": 389_000_000} if run.job.startswith("backup:") else {}
        )
        repository.settle(tx, made, RunState(outcome), passed, summary=summary, outcome=figures, error=error)
    return made
