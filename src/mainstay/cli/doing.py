"""Does jobs in this process, one after the other, and tells how they ended."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from mainstay.cli.context import Context, run_async
from mainstay.cli.live import Narrator, narrator, on_progress
from mainstay.cli.marks import RUNS
from mainstay.cli.words import span
from mainstay.core.errors import CouldNotFindOut, MainstayError
from mainstay.ports.clock import Clock

if TYPE_CHECKING:
    from mainstay.app import App
    from mainstay.config.model import Config
    from mainstay.core.run import Run
    from mainstay.engine.node import Node

PATIENCE = 60.0
"""Seconds without a journal after which a command gives up; the agent never does."""

Wish = tuple[str, Mapping[str, Any]]
"""A job's name and the arguments of the run."""


def do(ctx: Context, config: "Config", wishes: Sequence[Wish]) -> int:
    """Do the jobs; one failing does not stop the others. Gives the exit code, 1 when one has not been done."""
    runs = finish(ctx, config, wishes)
    if ctx.out.json:
        ctx.out.data({"runs": [_plain(run) for run in runs]})
    return max((_code(run) for run in runs), key=(0, 3, 1).index, default=0)


def _code(run: "Run") -> int:
    """What a run says itself, when it was done: 0, 1 or 3; else 1."""
    return int(run.outcome.get("exit_code", 0)) if run.state == "done" else 1


def finish(ctx: Context, config: "Config", wishes: Sequence[Wish]) -> "list[Run]":
    """Do the jobs and tell how each ended; give the runs."""
    return run_async(_all(ctx, config, wishes))


def do_due(ctx: Context, config: "Config", job: str) -> int:
    """Do what is due of a job and was not done yet; 0 when that is nothing."""
    runs = run_async(_due(ctx, config, job))
    if ctx.out.json:
        ctx.out.data({"runs": [_plain(run) for run in runs]})
    elif not runs:
        ctx.out.note(f"nothing of {job} is due")
    return max((_code(run) for run in runs), key=(0, 3, 1).index, default=0)


async def _due(ctx: Context, config: "Config", job: str) -> "list[Run]":
    from mainstay.engine.scheduler import due_now

    done = []
    async with ctx.app(config) as app:
        try:
            plan = app.jobs[job].schedule(config.timezone)
            rule = app.jobs[job].catch_up
            waiting = await app.store.write(lambda tx: due_now(tx, job, plan, rule, app.clock.now()))
            for run in waiting:
                with narrator(ctx.out, job) as told:
                    done.append(await _one(app, job, {}, told, run.key))
                if not ctx.out.json:
                    tell(ctx, done[-1])
        finally:
            await app.runner.stop()
    return done


async def _all(ctx: Context, config: "Config", wishes: Sequence[Wish]) -> "list[Run]":
    done = []
    async with ctx.app(config) as app:
        try:
            for job, args in wishes:
                with narrator(ctx.out, job) as told:
                    run = await _one(app, job, args, told)
                done.append(run)
                if not ctx.out.json:
                    tell(ctx, run)
        finally:
            # What Ctrl-C left unfinished goes on in the agent, or at the next `mainstay up`.
            await app.runner.stop()
    return done


async def _one(
    app: "App", job: str, args: Mapping[str, Any], told: Narrator, key: str | None = None
) -> "Run":
    import asyncio

    from mainstay.cli.people import who

    work = asyncio.ensure_future(
        app.runner.run_now(
            job, args, f"by {who()}", lambda progress: on_progress(told, progress), told.log, key=key
        )
    )
    vain = asyncio.ensure_future(in_vain(app.node, app.clock))
    try:
        await asyncio.wait({work, vain}, return_when=asyncio.FIRST_COMPLETED)
        return work.result() if work.done() else vain.result()
    finally:
        for task in (work, vain):
            task.cancel()
        await asyncio.gather(work, vain, return_exceptions=True)


async def in_vain(node: "Node", clock: Clock) -> NoReturn:
    """Raise `CouldNotFindOut` once the journal could not be written for `PATIENCE` seconds: somebody sits there."""
    since = None
    while True:
        if not node.trouble:
            since = None
        elif since is None:
            since = clock.monotonic()
        elif clock.monotonic() - since >= PATIENCE:
            raise CouldNotFindOut(
                f"given up after {PATIENCE:.0f} s: {node.trouble}",
                hint="what was begun goes on in the agent, or at the next mainstay up, once the journal can be written",
            )
        await clock.sleep(1.0)


def tell(ctx: Context, run: "Run") -> None:
    """Say how a run ended."""
    symbol, word, style = RUNS[run.state]
    took = span(run.finished_at - run.started_at) if run.finished_at and run.started_at else ""
    told = run.error if run.state != "done" and run.error else run.summary
    ctx.out.print(
        (f"{symbol} ", style), (run.job, "bold"), (f" {word}", style), f"  {told}", (f"  {took}", "dim")
    )


def known(config: "Config", job: str) -> str:
    """Give a job's name back if there is such a job. Raises `MainstayError` with what was probably meant."""
    from mainstay.app.compose import jobs_of
    from mainstay.cli.parser import closest

    jobs = jobs_of(config)
    if job not in jobs:
        guess = closest(job, list(jobs))
        hint = f"did you mean {guess}?" if guess else f"jobs: {', '.join(jobs)}"
        raise MainstayError(f"there is no job {job}", hint=hint)
    return job


def _plain(run: "Run") -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(run), "state": str(run.state), "plan": list(run.plan)}
