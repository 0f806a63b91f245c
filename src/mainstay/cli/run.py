"""Do a job now, in this process. Its run is in the journal like any other; exit code 1 when it fails."""

import argparse
import json
from typing import Any

from mainstay.cli.context import Context, run_async


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("job", help="the job's name, as `mainstay jobs` shows it")
    parser.add_argument(
        "--arg",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an argument of the run; may be repeated",
    )
    parser.add_argument(
        "--due", action="store_true", help="only what is due of it, by its schedule and its catch-up rule"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")


def run(ctx: Context, args: argparse.Namespace) -> int:
    """Run the job."""
    from mainstay.cli.doing import do, known

    given = dict(_argument(text) for text in args.arg)
    config = ctx.config(secrets=not args.dry_run)
    job = known(config, args.job)
    if args.dry_run:
        return _plan(ctx, job, config, given)
    if args.due:
        from mainstay.cli.doing import do_due

        return do_due(ctx, config, job)
    return do(ctx, config, [(job, given)])


def _argument(text: str) -> tuple[str, Any]:
    from mainstay.cli.parser import UsageError

    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"{text!r} is not an argument", hint="write --arg NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _plan(ctx: Context, name: str, config: Any, given: dict[str, Any]) -> int:
    """Say what a run would do: in the job's own words when it can look ahead, else its steps."""
    from mainstay.app.compose import jobs_of
    from mainstay.core.job import Job

    job = jobs_of(config)[name]
    steps = list(type(job).steps)
    lines = None if type(job).foresee is Job.foresee else run_async(_foresee(ctx, name, given))
    if ctx.out.json:
        ctx.out.data({"job": name, "type": job.type_name, "args": given, "steps": steps, "would": lines})
        return 0
    ctx.out.print(f"would run {name}", (f"  ({job.type_name})", "dim"))
    if lines is not None:
        for line in lines:
            ctx.out.print(f"  {line}")
        return 0
    for number, step in enumerate(steps, 1):
        ctx.out.print((f"  {number}. ", "dim"), step)
    return 0


async def _foresee(ctx: Context, name: str, given: dict[str, Any]) -> list[str] | None:
    from mainstay.engine.foresight import Foresight

    async with ctx.app() as app:
        return await app.jobs[name].foresee(Foresight(app.clock, app.ports, given))
