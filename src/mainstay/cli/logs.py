"""Print what a run said: the run with this identifier, or the newest run of this job."""

import argparse

from mainstay.cli.context import Context, run_async
from mainstay.cli.find import only
from mainstay.cli.marks import RUNS
from mainstay.cli.words import clock_time, moment, span, zone_of
from mainstay.core.errors import MainstayError
from mainstay.store import status, views
from mainstay.store.base import Row, Tx

PAUSE = 0.5
"""Seconds between looks with --follow."""
MOST = 10_000


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "what", metavar="RUN|JOB", help="a run's identifier (its end is enough), or a job's name"
    )
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the run has ended")


def run(ctx: Context, args: argparse.Namespace) -> int:
    """Print the log; 1 when the run failed."""
    row = ctx.look(lambda tx: _find(tx, args.what))
    lines = ctx.look(lambda tx: views.log_after(tx, row["id"], 0, MOST))
    if ctx.out.json:
        ctx.out.data({"run": dict(row), "lines": [dict(line) for line in lines]})
        return 1 if row["state"] == "failed" else 0
    zone = zone_of(ctx.outline().timezone)
    ctx.out.print(
        (row["job"], "bold"), (f"  {row['id']}  {moment(row['due_at'], zone)}, {row['why']}", "dim")
    )
    _print(ctx, lines)
    if args.follow:
        row = _follow(ctx, row, lines[-1]["seq"] if lines else 0)
    _end(ctx, row)
    return 1 if row["state"] == "failed" else 0


def _find(tx: Tx, what: str) -> Row:
    newest = views.runs(tx, job=what, limit=1)
    if newest:
        return newest[0]
    if what in status.schedules(tx):
        raise MainstayError(f"{what} never ran yet", hint=f"mainstay run {what}")
    return only(status.like(tx, "runs", what), "run", what)


def _print(ctx: Context, lines: list[Row]) -> None:
    zone = zone_of(ctx.outline().timezone)
    for line in lines:
        ctx.out.print((clock_time(line["at"], zone), "dim"), "  ", line["line"])
    ctx.out.stdout.flush()


def _follow(ctx: Context, row: Row, seq: int) -> Row:
    while row["state"] in ("queued", "running"):
        run_async(ctx.clock.sleep(PAUSE))
        identifier, after = row["id"], seq
        row, lines = ctx.look(
            lambda tx: (views.run(tx, identifier) or row, views.log_after(tx, identifier, after, MOST))  # noqa: B023
        )
        _print(ctx, lines)
        seq = lines[-1]["seq"] if lines else seq
    return row


def _end(ctx: Context, row: Row) -> None:
    symbol, word, style = RUNS[row["state"]]
    took = span(row["finished_at"] - row["started_at"]) if row["finished_at"] and row["started_at"] else ""
    told = row["error"] or row["summary"] or ""
    ctx.out.print(
        (f"{symbol} {word}", style), f"  {told}" if told else "", (f"  {took}" if took else "", "dim")
    )
