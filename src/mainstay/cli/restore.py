"""Bring a database's server back as it was at a moment, into a directory of its own.

Without a destination it shows which moments there are. Nothing that runs is touched.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstay.cli.context import Context, run_async
from mainstay.cli.parser import UsageError, amount, closest
from mainstay.cli.words import ago, moment, span, zone_of
from mainstay.core.amounts import format_size

if TYPE_CHECKING:
    from mainstay.backup.physical.plan import Moments, Route
    from mainstay.backup.physical.restore import NewServer


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("database", help="the database, by its name in the file")
    parser.add_argument(
        "--to",
        metavar="WHEN",
        default="latest",
        help="'2026-09-21 14:30', '14:30', 'yesterday 14:30', '20m ago', latest, a position or a restore point's name",
    )
    parser.add_argument(
        "--new-server", metavar="DIR", help="the directory of the restored server; it must be empty"
    )
    parser.add_argument("--timeline", type=amount, help="which history, when the server was restored before")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")


def run(ctx: Context, args: argparse.Namespace) -> int:
    """Restore, or show what can be."""
    _known(ctx, args.database)
    if args.new_server is None:
        return _moments(ctx, args.database)
    return _new_server(ctx, args)


def _known(ctx: Context, name: str) -> None:
    known = [database.name for database in ctx.outline().setup.databases if database.log_storage]
    if name not in known:
        guess = closest(name, known)
        hint = f"did you mean {guess}?" if guess else f"kept are the logs of: {', '.join(known) or 'none'}"
        raise UsageError(f"the log of {name} is not kept, so no moment can be restored", hint=hint)


def _moments(ctx: Context, name: str) -> int:
    async def look() -> "Moments":
        from mainstay.backup.physical.plan import moments
        from mainstay.backup.physical.source import wal_of
        from mainstay.backup.ports import BackupPorts

        async with ctx.app() as app:
            ports = app.port(BackupPorts)
            return await moments(ports.storage(wal_of(ports, name).to), name)

    found = run_async(look())
    if ctx.out.json:
        ctx.out.data({"database": name, **found.document()})
        return 0 if found.bases else 1
    now, zone = ctx.clock.now(), zone_of(ctx.outline().timezone)
    for base in found.bases:
        kind = "incremental" if base.parent else "full"
        ctx.out.print(
            (base.id[-8:], "dim"),
            f"  {moment(base.taken_at, zone, now)}  {kind:<11}  {format_size(base.bytes)}",
        )
    if not found.bases:
        ctx.out.print(
            (f"there is no base backup of {name} yet; mainstay run base_backup:{name} takes one", "yellow")
        )
        return 1
    first = found.bases[0]
    ctx.out.print(
        f"every moment from {moment(first.taken_at, zone, now)} ({ago(first.taken_at, now)}) until the newest segment, "
        f"{found.newest}, can be restored"
    )
    for hole in found.holes:
        ctx.out.print((f"but segment {hole} is missing: nothing after it until the next base backup", "red"))
    ctx.out.note((f"mainstay restore {name} --to WHEN --new-server DIR", "dim"))
    return 0


def _new_server(ctx: Context, args: argparse.Namespace) -> int:
    from mainstay.backup.physical.restore import plan, restore_server
    from mainstay.backup.physical.target import parse_target
    from mainstay.backup.ports import BackupPorts
    from mainstay.cli.live import narrator

    target = parse_target(args.to, ctx.clock.now(), ctx.outline().timezone)

    async def work() -> Any:
        async with ctx.app() as app:
            ports = app.port(BackupPorts)
            route = await plan(ports, args.database, target, args.timeline)
            if args.dry_run:
                return route
            if not ctx.out.json:
                _explain(ctx, args, route)
            with narrator(ctx.out, f"restore {args.database}") as told:
                return await restore_server(told, ports, route, Path(args.new_server))

    found = run_async(work())
    if args.dry_run:
        return _planned(ctx, args, found)
    return _restored(ctx, args, found)


def _lines(args: argparse.Namespace, route: "Route") -> list[str]:
    return [f"restore {args.database} as it was at {route.target} into {args.new_server}", *route.explain()]


def _explain(ctx: Context, args: argparse.Namespace, route: "Route") -> None:
    for line in _lines(args, route):
        ctx.out.note(line)


def _planned(ctx: Context, args: argparse.Namespace, route: "Route") -> int:
    if ctx.out.json:
        ctx.out.data(
            {
                "database": args.database,
                "to": str(route.target),
                "base": route.base.id,
                "timeline": route.timeline,
                "segments": len(route.segments),
                "bytes": route.base_bytes + route.log_bytes,
                "missing": route.hole,
            }
        )
    else:
        for line in _lines(args, route):
            ctx.out.print(line)
    return 0


def _restored(ctx: Context, args: argparse.Namespace, done: "NewServer") -> int:
    if ctx.out.json:
        facts = {
            "directory": str(done.data),
            "owner": done.owner,
            "program": done.program,
            "seconds": done.seconds,
        }
        ctx.out.data({"database": args.database, **facts, "checked": done.soundness.summary()})
        return 0
    ctx.out.print(
        ("● restored", "green"), f" into {done.data} in {span(done.seconds)}; {done.soundness.summary()}"
    )
    ctx.out.print((f"  it belongs to {done.owner} and is not running; look into it with", "dim"))
    ctx.out.print(f"  sudo -u {done.owner} {done.program} -D {done.data} -p 5499 -k /tmp")
    return 0
