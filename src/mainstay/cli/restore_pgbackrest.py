"""`mainstay restore` where pgBackRest keeps the log: its backups, the plan of a restore, the restore itself."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstay.cli.context import Context, run_async
from mainstay.cli.parser import UsageError
from mainstay.cli.words import ago, moment, span, zone_of
from mainstay.core.amounts import format_size

if TYPE_CHECKING:
    from mainstay.backup.pgbackrest.info import Info
    from mainstay.backup.pgbackrest.restore import Way
    from mainstay.backup.physical.restore import NewServer


def run(ctx: Context, args: argparse.Namespace) -> int:
    """Show what can be restored, the plan, or restore."""
    if args.tables or args.into or args.timeline:
        raise UsageError(
            "pgBackRest brings the whole server back",
            hint="--new-server DIR, then dump what you miss from there; or restore a backup of the database",
        )
    return _restore(ctx, args) if args.new_server else _moments(ctx, args.database)


def _moments(ctx: Context, name: str) -> int:
    async def look() -> "Info":
        from mainstay.backup.pgbackrest.restore import opened
        from mainstay.backup.ports import BackupPorts

        async with ctx.app() as app, opened(app.port(BackupPorts), name) as rest:
            return await rest.info()

    found = run_async(look())
    if ctx.out.json:
        backups = [
            {"id": one.label, "kind": one.type, "taken_at": one.taken_at, "bytes": one.bytes}
            for one in found.backups
        ]
        ctx.out.data({"database": name, "stanza": found.stanza, "bases": backups, "newest": found.newest})
        return 0 if found.backups else 1
    if not found.backups:
        ctx.out.print(
            (f"there is no backup in stanza {found.stanza}; mainstay run base_backup:{name}", "yellow")
        )
        return 1
    now, zone = ctx.clock.now(), zone_of(ctx.outline().timezone)
    for one in found.backups:
        when = moment(one.taken_at, zone, now)
        ctx.out.print((one.label, "dim"), f"  {when}  {one.type:<5}  {format_size(one.bytes)}")
    first = found.backups[0].taken_at
    since = f"{moment(first, zone, now)} ({ago(first, now)})"
    ctx.out.print(f"every moment from {since} on can be restored, up to segment {found.newest}")
    ctx.out.note((f"mainstay restore {name} --to WHEN --new-server DIR", "dim"))
    return 0


def _restore(ctx: Context, args: argparse.Namespace) -> int:
    from mainstay.backup.physical.target import parse_target
    from mainstay.cli.live import narrator

    folder = Path(args.new_server).absolute()
    target = parse_target(args.to or "latest", ctx.clock.now(), ctx.outline().timezone)

    async def work() -> "tuple[Way, list[str], NewServer | None]":
        from mainstay.backup.pgbackrest.restore import command, opened, plan, restore_server
        from mainstay.backup.physical.prove import expected
        from mainstay.backup.ports import BackupPorts

        async with ctx.app() as app, opened(app.port(BackupPorts), args.database) as rest:
            way = await plan(rest, target)
            seconds = await expected(app.store, args.database, way.backup.raw_bytes)
            lines = [
                f"restore {args.database} as it was at {target} into {args.new_server}",
                *way.explain(command(rest, folder, target)),
                f"about {span(seconds)}, by the last proof"
                if seconds
                else "how long it takes was never measured",
            ]
            if args.dry_run:
                return way, lines, None
            for line in [] if ctx.out.json else lines:
                ctx.out.note(line)
            ports = app.port(BackupPorts)
            with narrator(ctx.out, f"restore {args.database}") as told:
                done = await restore_server(told, ports, rest, args.database, way, folder)
            return way, lines, done

    way, lines, done = run_async(work())
    if done is None:
        return _planned(ctx, args, way, lines)
    from mainstay.cli.restore import new_server

    return new_server(ctx, args, done)


def _planned(ctx: Context, args: argparse.Namespace, way: "Way", lines: list[str]) -> int:
    if ctx.out.json:
        facts: dict[str, Any] = {
            "base": way.backup.label,
            "bytes": way.backup.bytes,
            "newest": way.info.newest,
        }
        ctx.out.data({"database": args.database, "to": str(way.target), **facts})
    else:
        for line in lines:
            ctx.out.print(line)
    return 0
