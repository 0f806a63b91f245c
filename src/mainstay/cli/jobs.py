"""Say what is scheduled, how it went last and when it is due next."""

import argparse
import json
from typing import Any

from mainstay.cli.context import Context
from mainstay.cli.marks import RUNS
from mainstay.cli.output import Text
from mainstay.cli.table import Column, show
from mainstay.cli.words import ago, moment, span, zone_of
from mainstay.store import status
from mainstay.store.base import Row, Tx


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("job", nargs="?", help="only this job, with its newest runs")


def run(ctx: Context, args: argparse.Namespace) -> int:
    """Print the jobs."""
    return _runs(ctx, args.job) if args.job else _all(ctx)


def _all(ctx: Context) -> int:
    now = ctx.clock.now()
    jobs = ctx.look(_look)
    worked = ctx.look(lambda tx: status.worked(tx, now))
    jobs = [{**job, "week_seconds": worked.get(job["job"], 0.0)} for job in jobs]
    budget = ctx.outline().setup.machine_time
    if ctx.out.json:
        week = {"seconds": sum(worked.values()), "budget": budget}
        ctx.out.data({"at": now, "jobs": jobs, "week": week})
        return 0
    if not jobs:
        ctx.out.print(("no job is known yet; mainstay up plans them", "dim"))
        return 0
    titles = ("", "job", "due", "last", "next", "missed", "streak", "week", "")
    zone = f" ({ctx.outline().timezone})"
    rows = [_row(job, now, zone) for job in jobs]
    columns = [Column(title, spare=index == len(titles) - 1) for index, title in enumerate(titles)]
    show(ctx.out, columns, rows, notes=[_fault(job) for job in jobs])
    ctx.out.print(_week(sum(worked.values()), budget))
    return 0


def _week(seconds: float, budget: float) -> Text:
    """Say how much of the week's machine time is used."""
    style = "yellow" if seconds > budget else "dim"
    return f"at work for {span(seconds)} within a week, of {span(budget)}", style


def _look(tx: Tx) -> list[dict[str, Any]]:
    schedules, ended, streaks = status.schedules(tx), status.last_ended(tx), status.streaks(tx)
    live: dict[str, Row] = {row["job"]: row for row in status.live(tx)}
    return [
        _facts(job, schedules.get(job), ended.get(job), live.get(job), streaks.get(job))
        for job in sorted({*schedules, *ended, *live})
    ]


def _facts(
    job: str, schedule: Row | None, last: Row | None, live: Row | None, streak: tuple[str, int] | None
) -> dict[str, Any]:
    return {
        "job": job,
        "schedule": words(schedule["spec"]) if schedule else "",
        "next_due": schedule["next_due"] if schedule else None,
        "missed": schedule["missed"] if schedule else 0,
        "missed_at": schedule["missed_at"] if schedule else None,
        "last": None if last is None else _short(last),
        "live": None if live is None else _short(live),
        "streak": None if streak is None else {"state": streak[0], "runs": streak[1]},
    }


def _short(row: Row) -> dict[str, Any]:
    names = ("id", "state", "why", "due_at", "started_at", "finished_at", "attempt", "summary", "error")
    return {name: row[name] for name in names}


def words(spec: str) -> str:
    """Say a schedule in words, from the journal's own form of it."""
    schedule = json.loads(spec)
    if every := schedule.get("every"):
        return f"every {span(every)}"
    if at := schedule.get("at"):
        from datetime import UTC, datetime

        from cronsim import CronSim

        told: str = CronSim(at, datetime(2026, 1, 1, tzinfo=UTC)).explain()
        return f"{told[:1].lower()}{told[1:]} ({schedule.get('timezone', 'UTC')})"
    return "only when asked"


def _fault(job: dict[str, Any]) -> Text:
    """Why the last run failed: the sentence that somebody needs whole."""
    return ((job["last"] or {}).get("error") or "").split("\n")[0], "red"


def _row(job: dict[str, Any], now: float, zone: str) -> list[str | Text]:
    live, last = job["live"], job["last"]
    shown = live or last
    symbol, word, style = RUNS[shown["state"]] if shown else ("○", "never ran", "dim")
    if live:
        when: Text = (f"{word}, {_since(live, now)}", style)
    else:
        when = (
            f"{word} {ago(last['finished_at'], now)}" if last else word,
            style if style != "green" else "",
        )
    streak = job["streak"]
    told = "" if (last or {}).get("error") else (last or {}).get("summary") or ""
    return [
        (symbol, style),
        (job["job"], "bold"),
        (job["schedule"].removesuffix(zone), "dim"),
        when,
        ago(job["next_due"], now),
        (str(job["missed"]) if job["missed"] else "", "yellow"),
        (f"{streak['runs']} {streak['state']}", "red" if streak["state"] == "failed" else "dim")
        if streak
        else "",
        (span(job["week_seconds"]) if job["week_seconds"] >= 1 else "", "dim"),
        (told.split("\n")[0], "dim"),
    ]


def _since(live: dict[str, Any], now: float) -> str:
    if live["state"] == "running":
        return f"for {span(now - (live['started_at'] or now))}"
    if live["due_at"] > now:
        return f"due {ago(live['due_at'], now)}"
    return f"since {ago(live['due_at'], now)}".replace(" ago", "")


def _runs(ctx: Context, job: str) -> int:
    from mainstay.store import views

    now = ctx.clock.now()
    runs = ctx.look(lambda tx: views.runs(tx, job=job, limit=20))
    if ctx.out.json:
        ctx.out.data({"at": now, "job": job, "runs": [_short(row) for row in runs]})
        return 0 if runs else 1
    if not runs:
        ctx.out.note(f"no run of {job} is known; mainstay jobs lists the jobs")
        return 1
    zone = zone_of(ctx.outline().timezone)
    rows: list[list[str | Text]] = []
    notes: list[Text] = []
    for row in runs:
        symbol, word, style = RUNS[row["state"]]
        took = (
            span(row["finished_at"] - row["started_at"]) if row["finished_at"] and row["started_at"] else ""
        )
        told = (row["error"] or row["summary"] or "").split("\n")[0]
        due = moment(row["due_at"], zone, now)
        notes.append((told, "red" if row["error"] else "dim"))
        rows.append([(symbol, style), (row["id"][-8:], "dim"), (word, style), due, took, row["why"]])
    titles = ("", "run", "state", "due", "took", "why")
    show(ctx.out, [Column(title) for title in titles], rows, notes=notes)
    return 0
