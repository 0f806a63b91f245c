"""Check, explain or describe the configuration."""

import argparse
from typing import TYPE_CHECKING

from mainstay.cli.context import Context

if TYPE_CHECKING:
    from mainstay.cli.output import Text
    from mainstay.config.explain import Line
    from mainstay.config.model import Config


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    below = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = below.add_parser("check", help="say whether the file is right, and every fault in it")
    check.add_argument("path", nargs="?", help="the file, when it is not the one in use")
    check.add_argument("--no-secrets", action="store_true", help="do not look whether the secrets are there")
    explain = below.add_parser(
        "explain", help="what is in force, defaults included, and when schedules are due"
    )
    explain.add_argument("option", nargs="?", metavar="PATH", help="only this option, like services.odoo")
    explain.add_argument("--given", action="store_true", help="only what stands in the file")
    below.add_parser("schema", help="the JSON schema, for editors")


def run(ctx: Context, args: argparse.Namespace) -> int:
    """Do the action."""
    if args.action == "schema":
        return _schema(ctx)
    return _check(ctx, args) if args.action == "check" else _explain(ctx, args)


def _schema(ctx: Context) -> int:
    from mainstay.config.schema import editor_schema

    ctx.out.data(editor_schema())
    return 0


def _check(ctx: Context, args: argparse.Namespace) -> int:
    from mainstay.cli.words import count
    from mainstay.config import load

    path = args.path or ctx.path
    config = load(path, secrets=not args.no_secrets, warn=ctx.warn)
    from mainstay.app.compose import jobs_of  # for a broken file this would only cost time

    jobs = jobs_of(config)
    facts = {
        "services": len(config.services),
        "checks": len(list(config.checks())),
        "databases": len(config.databases),
        "channels": len(config.notify),
        "jobs": len(jobs),
    }
    if ctx.out.json:
        ctx.out.data({"file": str(path), "ok": True, **facts})
    else:
        told = ", ".join(count(number, name.removesuffix("s")) for name, number in facts.items() if number)
        ctx.out.print((f"{path} is fine: ", "green"), told)
    return 0


def _explain(ctx: Context, args: argparse.Namespace) -> int:
    from mainstay.cli.parser import UsageError
    from mainstay.config.explain import explain

    config = ctx.config(secrets=False)
    lines = [line for line in explain(config) if line.given or not args.given]
    if args.option:
        inside = (args.option, f"{args.option}.", f"{args.option}[")
        lines = [line for line in lines if line.name == inside[0] or line.name.startswith(inside[1:])]
        if not lines:
            raise UsageError(f"there is no {args.option} in force", hint="mainstay config explain shows all")
    times = {} if args.option else _due(ctx, config)
    if ctx.out.json:
        options = [
            {"option": line.name, "value": line.value, "given": line.given, "note": line.note}
            for line in lines
        ]
        ctx.out.data({"file": str(config.file), "options": options, "schedules": times})
        return 0
    _print(ctx, lines)
    _print_due(ctx, times, config.timezone)
    return 0


def _print(ctx: Context, lines: "list[Line]") -> None:
    for line in lines:
        depth = "  " * (len(line.path) - 1)
        last = line.path[-1]
        key = f"{depth}- " if isinstance(last, int) else f"{depth}{last}: "
        style = "" if line.given else "dim"
        default = "" if line.given or not line.value else "  (default)"
        note = f"  = {line.note}" if line.note else ""
        ctx.out.print(
            (key, "cyan" if line.given else "dim"), (line.value, style), (note, "green"), (default, "dim")
        )


def _due(ctx: Context, config: "Config") -> dict[str, dict[str, object]]:
    from itertools import islice

    from mainstay.app.compose import jobs_of

    now = ctx.clock.now()
    found: dict[str, dict[str, object]] = {}
    for name, job in jobs_of(config).items():
        schedule = job.schedule(config.timezone)
        found[name] = {"when": schedule.explain(), "next": list(islice(schedule.due_after(now, name), 3))}
    return found


def _print_due(ctx: Context, times: dict[str, dict[str, object]], timezone: str) -> None:
    from mainstay.cli.table import Column, show
    from mainstay.cli.words import moment, zone_of

    if not times:
        return
    zone, now = zone_of(timezone), ctx.clock.now()
    ctx.out.print("")
    ctx.out.print(("When jobs are due", "bold"), (f"  times in {timezone}", "dim"))
    rows: list[list[str | Text]] = []
    for name, facts in times.items():
        due = facts["next"]
        dates = ", ".join(moment(at, zone, now) for at in due) if isinstance(due, list) else ""
        rows.append([(name, "cyan"), str(facts["when"]), (dates, "dim")])
    show(ctx.out, [Column(""), Column("", wrap=True), Column("")], rows)
