"""Take, list, prove, verify, prune or restore backups. A backup counts only when it was restored and compared."""

import argparse
from typing import Any

from mainstay.cli import keeping, restore_other
from mainstay.cli.context import Context, run_async
from mainstay.cli.find import one
from mainstay.cli.keeping import databases, would
from mainstay.cli.output import Text
from mainstay.cli.parser import amount
from mainstay.cli.restore_other import of_data
from mainstay.cli.table import Column, show
from mainstay.cli.words import ago, moment, span, zone_of
from mainstay.core.amounts import format_size
from mainstay.store.base import Row

STATES = {
    "proven": ("●", "green"),
    "partial": ("▲", "yellow"),
    "taken": ("○", "dim"),
    "failed": ("✖", "red"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    below = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    now = below.add_parser("now", help="take a backup and prove it")
    now.add_argument("database", nargs="*", help="the databases; every one when left out")
    now.add_argument("--dry-run", action="store_true", help="only say what would be done")
    listing = below.add_parser("list", help="what there is, and whether it is proven")
    listing.add_argument("database", nargs="?", help="only of this database")
    listing.add_argument("--limit", type=amount, default=30, help="at most so many")
    prove = below.add_parser("prove", help="restore a backup into a throwaway server and compare it")
    prove.add_argument("what", nargs="?", metavar="DATABASE|ID", help="the newest of a database, or this one")
    prove.add_argument("--all", action="store_true", help="of every database in every storage, in one table")
    prove.add_argument("--dry-run", action="store_true", help="only say what would be done")
    keeping.configure(below)
    restore = below.add_parser("restore", help="restore a backup into a real server")
    restore.add_argument(
        "id", metavar="ID", help="its identifier (the end is enough), or a database for its newest sound one"
    )
    into = "where to: postgresql://USER@HOST/DATABASE (a password comes from $PGPASSWORD or ~/.pgpass), or a path"
    restore.add_argument("--into", required=True, metavar="URL|PATH", help=into)
    restore.add_argument(
        "--replace", action="store_true", help="although there is something; it stays, renamed"
    )
    restore.add_argument("--dry-run", action="store_true", help="only say what would be done")


def run(ctx: Context, args: argparse.Namespace) -> int:
    """Do the action."""
    actions = {"now": _now, "list": _list, "prove": _prove, "restore": _restore, **keeping.ACTIONS}
    return actions[args.action](ctx, args)


def _now(ctx: Context, args: argparse.Namespace) -> int:
    names = databases(ctx, args.database)
    if args.dry_run:
        return would(ctx, "back up", names)
    from mainstay.cli.doing import do

    return do(ctx, ctx.config(), [(f"backup:{name}", {}) for name in names])


def _list(ctx: Context, args: argparse.Namespace) -> int:
    from mainstay.store import views

    rows = ctx.look(lambda tx: views.backups(tx, args.database or "", args.limit))
    if ctx.out.json:
        ctx.out.data({"backups": [_plain(row) for row in rows]})
        return 0
    if not rows and args.database:
        databases(ctx, [args.database])
    if not rows:
        ctx.out.print(("no backup yet; mainstay backup now takes one", "dim"))
        return 0
    now, zone = ctx.clock.now(), zone_of(ctx.outline().timezone)
    titles = ("", "id", "database", "taken", "took", "size", "tables", "rows", "state", "storage")
    right = {"size", "tables", "rows"}
    columns = [Column(title, right=title in right) for title in titles]
    words = {one.name: one.rows for one in ctx.outline().setup.databases}
    show(ctx.out, columns, [_row(row, now, zone, words.get(row["database"], "rows")) for row in rows])
    _reasons(ctx, rows)
    return 0


def _reasons(ctx: Context, rows: list[Row]) -> None:
    """Say below the table why backups are not proven: the reason is too long for a column."""
    known = [row for row in rows if row["state"] in ("failed", "partial") and row["proof_summary"]]
    if known:
        ctx.out.print("")
        columns = [Column(""), Column(""), Column("", wrap=True)]
        show(
            ctx.out,
            columns,
            [[STATES[row["state"]], (row["id"][-8:], "dim"), row["proof_summary"]] for row in known],
        )


def _row(row: Row, now: float, zone: Any, words: str) -> list[str | Text]:
    symbol, style = STATES.get(row["state"], ("○", ""))
    word = row["state"]
    if row["proof_at"]:
        word = f"{word} {ago(row['proof_at'], now)}"
    if row["deleted_at"]:
        word, style = f"deleted {ago(row['deleted_at'], now)}", "dim"
    return [
        (symbol, style),
        (row["id"][-8:], "dim"),
        (row["database"], "bold"),
        moment(row["taken_at"], zone, now),
        (span(row["seconds"]), "dim"),
        format_size(row["bytes"]),
        str(row["tables"]) if words == "rows" else "",
        f"{row['rows']:,}" if words == "rows" else f"{row['rows']:,} {words}",
        (word, style),
        row["storage"],
    ]


def _plain(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "manifest"}


def _newest(ctx: Context, what: str) -> Row:
    """Give the backup meant by an identifier or, for a database, its newest one."""
    from mainstay.store import views

    rows = ctx.look(lambda tx: views.backups(tx, what, 30))
    kept = [row for row in rows if not row["deleted_at"]]
    if kept:
        return kept[0]
    return one(ctx, "backups", what)


def _sound(ctx: Context, what: str) -> Row:
    """Give the backup meant by an identifier or, for a database, its newest one that did not fail its proof."""
    from mainstay.store import views

    newest = _newest(ctx, what)
    if newest["database"] != what or newest["state"] != "failed":
        return newest
    rows = ctx.look(lambda tx: views.backups(tx, what, 1000))
    sound = next((row for row in rows if not row["deleted_at"] and row["state"] != "failed"), None)
    if sound is None:
        return newest
    ctx.warn(
        f"newer backups of {what} failed their proof; this is {sound['id'][-8:]}, {sound['state']}, taken "
        f"{ago(sound['taken_at'], ctx.clock.now())}"
    )
    return sound


def _prove(ctx: Context, args: argparse.Namespace) -> int:
    from mainstay.cli.doing import do

    if args.all:
        return keeping.prove_all(ctx, args)
    if args.what is None:
        names = databases(ctx, [])
        wishes: list[tuple[str, dict[str, Any]]] = [(f"prove:{name}", {}) for name in names]
    else:
        row = _newest(ctx, args.what)
        names = [f"{row['database']} ({row['id'][-8:]})"]
        wishes = [(f"prove:{row['database']}", {"backup": row["id"]})]
    return would(ctx, "prove", names) if args.dry_run else do(ctx, ctx.config(), wishes)


def _restore(ctx: Context, args: argparse.Namespace) -> int:
    from mainstay.backup.ports import BackupPorts
    from mainstay.backup.restore import plan_restore, restore
    from mainstay.cli.live import narrator
    from mainstay.ports.postgres.dsn import Dsn

    row = _sound(ctx, args.id)
    if of_data(row):
        return restore_other.restore(ctx, row, _about(ctx, row), args)
    target = Dsn.parse(args.into)
    if "password" in target.params:
        ctx.out.note(
            (
                "every account of this machine can read the password in --into: give it by $PGPASSWORD",
                "yellow",
            )
        )

    async def work() -> Any:
        async with ctx.app() as app:
            ports = app.port(BackupPorts)
            plan = await plan_restore(ports, row["id"], target, replace=args.replace)
            if args.dry_run:
                return plan
            if not ctx.out.json and not plan.refused:
                for line in (_about(ctx, row), *plan.explain()):
                    ctx.out.note(line)
            with narrator(ctx.out, f"restore {row['database']}") as told:
                return await restore(told, ports, row["id"], target, replace=args.replace)

    found = run_async(work())
    return _planned(ctx, row, found) if args.dry_run else _restored(ctx, found)


def _about(ctx: Context, row: Row) -> str:
    """Say from when a backup is and how good: what a person wants to know before anything is restored."""
    now = ctx.clock.now()
    when = moment(row["taken_at"], zone_of(ctx.outline().timezone), now)
    return f"{row['database']} as it was {when} ({ago(row['taken_at'], now)}), {row['state']}"


def _planned(ctx: Context, row: Row, plan: Any) -> int:
    if ctx.out.json:
        facts = ("target", "database", "server", "exists", "occupied", "lacks", "refused", "remedy")
        ctx.out.data({"backup": plan.backup.id, **{name: getattr(plan, name) for name in facts}})
    else:
        for line in (_about(ctx, row), *plan.explain()):
            ctx.out.print(line)
    return 1 if plan.refused else 0


def _restored(ctx: Context, done: Any) -> int:
    equal = not (done.judgement.differences or done.judgement.unproven)
    if ctx.out.json:
        document = {"database": done.database, "equal": equal, "kept_as": done.kept_as}
        ctx.out.data({**document, "summary": done.judgement.summary()})
    else:
        symbol, style = ("●", "green") if equal else ("✖", "red")
        ctx.out.print((f"{symbol} {done.database}", style), f"  {done.judgement.summary()}")
        if done.kept_as:
            ctx.out.print((f"  what was there before is called {done.kept_as}", "dim"))
    return 0 if equal else 1
