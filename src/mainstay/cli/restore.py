"""Bring a server, a database or some tables back as they were at a moment. Nothing that is there is overwritten.

Without a destination it shows which moments there are. A moment needs `wal:` in the file; with `backup:` alone the
newest backup from before it is restored.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstay.cli.context import Context, run_async
from mainstay.cli.parser import UsageError, amount, closest
from mainstay.cli.words import ago, count, moment, span, zone_of
from mainstay.core.amounts import format_size
from mainstay.core.errors import MainstayError

if TYPE_CHECKING:
    from mainstay.app import App
    from mainstay.backup.physical.plan import Moments, Route
    from mainstay.backup.physical.restore import NewServer
    from mainstay.backup.physical.tables import Copied
    from mainstay.backup.physical.target import Target
    from mainstay.backup.ports import BackupPorts


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("database", help="the database, by its name in the file")
    parser.add_argument(
        "--to",
        metavar="WHEN",
        help="'2026-09-21 14:30', '14:30', 'yesterday 14:30', '20m ago', latest, a position or a restore point's name",
    )
    parser.add_argument("--new-server", metavar="DIR", help="the whole server, into an empty directory")
    parser.add_argument(
        "--into",
        metavar="URL",
        help="the database, into this one; a password comes from $PGPASSWORD or ~/.pgpass",
    )
    parser.add_argument(
        "--tables",
        nargs="+",
        metavar="TABLE",
        help="only these, into a schema of their own; into the database itself",
    )
    parser.add_argument(
        "--replace", action="store_true", help="although there is something; it stays, renamed"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--timeline", type=amount, help="which history, when the server was restored before")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")


def run(ctx: Context, args: argparse.Namespace) -> int:
    """Restore, or show what can be."""
    place = _known(ctx, args.database)
    kept = place is not None
    if place is not None and place.startswith("pgbackrest "):
        from mainstay.cli import restore_pgbackrest

        return restore_pgbackrest.run(ctx, args)
    if args.new_server and (args.into or args.tables):
        raise UsageError("--new-server brings the whole server back", hint="leave --into and --tables out")
    if not (args.new_server or args.into or args.tables):
        return _moments(ctx, args.database) if kept else _backups(ctx, args)
    if args.into and not args.tables and not (kept and args.to):
        return _dump(ctx, args)
    if not kept:
        raise UsageError(
            f"the log of {args.database} is not kept, so there are no moments",
            hint="--into URL restores a backup",
        )
    return _moment(ctx, args)


def _known(ctx: Context, name: str) -> str | None:
    """Give where the log of a database is kept, None when it is not. Raises `UsageError` when nothing of it is."""
    databases = {
        each.name: each for each in ctx.outline().setup.databases if each.log_storage or each.storages
    }
    if name not in databases:
        guess = closest(name, list(databases))
        hint = f"did you mean {guess}?" if guess else f"kept are: {', '.join(databases) or 'none'}"
        raise UsageError(f"nothing is kept of {name}", hint=hint)
    return databases[name].log_storage


# Backups


def _backups(ctx: Context, args: argparse.Namespace) -> int:
    from mainstay.cli import backup

    code = backup.run(ctx, argparse.Namespace(action="list", database=args.database, limit=30))
    ctx.out.note((f"mainstay restore {args.database} --into URL [--to WHEN]", "dim"))
    return code


def _dump(ctx: Context, args: argparse.Namespace) -> int:
    """Restore a backup: the newest sound one, or the newest from before the moment."""
    from mainstay.cli import backup

    wanted = args.database
    if args.to not in (None, "latest"):
        wanted = _before(ctx, args)
    if args.replace and not args.dry_run:
        _ask(ctx, args, f"put the restored copy in the place of {args.into}? What is there stays, renamed")
    given = {"id": wanted, "into": args.into, "replace": args.replace, "dry_run": args.dry_run}
    return backup.run(ctx, argparse.Namespace(action="restore", **given))


def _before(ctx: Context, args: argparse.Namespace) -> str:
    from mainstay.backup.physical.target import Kind, parse_target
    from mainstay.store import views

    target = parse_target(args.to, ctx.clock.now(), ctx.outline().timezone)
    if target.kind is not Kind.TIME:
        raise UsageError(
            f"{args.to} is not a time", hint="a position or a restore point needs `wal:` in the file"
        )
    rows = ctx.look(lambda tx: views.backups(tx, args.database, 1000))
    fit = [
        row
        for row in rows
        if not row["deleted_at"] and row["state"] != "failed" and row["taken_at"] <= target.at
    ]
    if not fit:
        raise MainstayError(
            f"there is no backup of {args.database} from before {target}", hint="mainstay backup list"
        )
    return str(max(fit, key=lambda row: row["taken_at"])["id"])


def _ask(ctx: Context, args: argparse.Namespace, question: str) -> None:
    import sys

    if args.yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to be asked", hint="--yes says that you know what you do")
    ctx.out.note(f"{question} [y/N]")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise MainstayError("nothing was done")


# Moments


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
    if not found.bases:
        hint = f"mainstay run base_backup:{name} takes one"
        ctx.out.print((f"there is no base backup of {name} yet; {hint}", "yellow"))
        return 1
    _tell_moments(ctx, name, found)
    return 0


def _tell_moments(ctx: Context, name: str, found: "Moments") -> None:
    now, zone = ctx.clock.now(), zone_of(ctx.outline().timezone)
    for base in found.bases:
        kind = "incremental" if base.parent else "full"
        when = moment(base.taken_at, zone, now)
        ctx.out.print((base.id[-8:], "dim"), f"  {when}  {kind:<11}  {format_size(base.bytes)}")
    first = min(base.ready for base in found.bases)
    since = f"{moment(first, zone, now)} ({ago(first, now)})"
    ctx.out.print(f"every moment from {since} on can be restored, up to segment {found.newest}")
    for at in found.set_back:
        words = f"but the server was set back at {moment(at, zone, now)}: nothing from then until the next base backup"
        ctx.out.print((words, "red"))
    for hole in found.holes:
        ctx.out.print((f"but segment {hole} is missing: nothing after it until the next base backup", "red"))
    ctx.out.note(
        (f"mainstay restore {name} --to WHEN --new-server DIR | --into URL | --tables TABLE ...", "dim")
    )


def _moment(ctx: Context, args: argparse.Namespace) -> int:
    from mainstay.backup.physical.target import parse_target
    from mainstay.cli.live import narrator

    target = parse_target(args.to or "latest", ctx.clock.now(), ctx.outline().timezone)

    async def work() -> Any:
        from mainstay.backup.ports import BackupPorts

        async with ctx.app() as app:
            ports = app.port(BackupPorts)
            route, lines = await _plan(app, ports, args, target)
            if args.dry_run:
                return route, lines
            for line in [] if ctx.out.json else lines:
                ctx.out.note(line)
            with narrator(ctx.out, f"restore {args.database}") as told:
                return await _do(told, ports, args, route), lines

    found, lines = run_async(work())
    if args.dry_run:
        return _planned(ctx, args, found, lines)
    return new_server(ctx, args, found) if args.new_server else _copied(ctx, args, found)


async def _plan(
    app: "App", ports: "BackupPorts", args: argparse.Namespace, target: "Target"
) -> "tuple[Route, list[str]]":
    from mainstay.backup.physical.prove import expected
    from mainstay.backup.physical.restore import plan

    route = await plan(ports, args.database, target, args.timeline)
    what = f"{count(len(args.tables), 'table')} of {args.database}" if args.tables else args.database
    where = args.new_server or args.into or f"a schema of its own in {args.database}"
    lines = [f"restore {what} as it was at {_when(app, target)} into {_shown(where)}", *route.explain()]
    seconds = await expected(app.store, args.database, route.base_bytes + route.log_bytes)
    lines.append(
        f"about {span(seconds)}, by the last proof" if seconds else "how long it takes was never measured"
    )
    return route, lines


def _when(app: "App", target: "Target") -> str:
    """Say a moment as the file's time zone has it, and as it goes into a log."""
    from datetime import datetime

    from mainstay.backup.physical.target import Kind

    if target.kind is not Kind.TIME:
        return str(target)
    zone = app.config.timezone
    return f"{datetime.fromtimestamp(target.at, zone_of(zone)):%d %b %Y %H:%M:%S} {zone} ({target})"


def _shown(where: str) -> str:
    from mainstay.core.secret import redact

    return redact(where)


async def _do(
    told: Any, ports: "BackupPorts", args: argparse.Namespace, route: "Route"
) -> "NewServer | Copied":
    from mainstay.backup.physical.restore import restore_server
    from mainstay.backup.physical.tables import restore_database, restore_tables
    from mainstay.ports.postgres.dsn import Dsn

    if args.new_server:
        return await restore_server(told, ports, route, Path(args.new_server))
    if args.tables:
        target = Dsn.parse(args.into) if args.into else ports.dsn(args.database)
        return await restore_tables(told, ports, route, args.tables, target)
    return await restore_database(told, ports, route, Dsn.parse(args.into))


def _planned(ctx: Context, args: argparse.Namespace, route: "Route", lines: list[str]) -> int:
    if ctx.out.json:
        facts = {"base": route.base.id, "timeline": route.timeline, "segments": len(route.segments)}
        size = route.base_bytes + route.log_bytes
        ctx.out.data(
            {
                "database": args.database,
                "to": str(route.target),
                **facts,
                "bytes": size,
                "missing": route.hole,
            }
        )
    else:
        for line in lines:
            ctx.out.print(line)
    return 0


def new_server(ctx: Context, args: argparse.Namespace, done: "NewServer") -> int:
    """Say where a restored server lies, and how it is started."""
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


def _copied(ctx: Context, args: argparse.Namespace, done: "Copied") -> int:
    statements = [_bring_back(table, done.schema) for table in args.tables or []] if done.schema else []
    if ctx.out.json:
        facts = {
            "database": done.database,
            "schema": done.schema,
            "rows": done.rows,
            "complaints": done.complaints,
            "bring_back": statements,
        }
        ctx.out.data(facts)
        return 0
    for name, rows in done.rows.items():
        place = f"{done.schema}.{name}" if done.schema else name
        ctx.out.print(("● ", "green"), (place, "bold"), f"  {count(rows, 'row')}")
    for line in done.complaints:
        ctx.out.print(("▲ not restored: ", "yellow"), line)
    if done.schema:
        ctx.out.print((f"  in {done.database}; what is missing comes back by", "dim"))
        for statement in statements:
            ctx.out.print(f"  {statement}")
        ctx.out.print((f"  then DROP SCHEMA {done.schema} CASCADE;", "dim"))
    return 0


def _bring_back(table: str, schema: str) -> str:
    """The statement that puts rows back where they were; those that are still there stay as they are."""
    from mainstay.backup.tables import quoted

    home, _, name = table.rpartition(".")
    into, source = quoted(home or "public", name), quoted(schema, name)
    return f"INSERT INTO {into} SELECT * FROM {source} ON CONFLICT DO NOTHING;"  # noqa: S608  # to be read
