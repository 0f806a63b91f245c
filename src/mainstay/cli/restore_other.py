"""Restoring other data than a database of PostgreSQL, for `mainstay restore` and `mainstay backup restore`."""

import argparse
import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mainstay.cli.context import Context, run_async
from mainstay.store.base import Row

if TYPE_CHECKING:
    from mainstay.backup.data.base import Landed, Landing


def of_data(row: Row) -> bool:
    """Whether a backup is of other data: its manifest names the type."""
    return "kind" in json.loads(row["manifest"])


def restore(ctx: Context, row: Row, about: str, args: argparse.Namespace) -> int:
    """Restore a backup, or say what that would do. `about` says which it is."""
    from mainstay.backup.data.prove import plan_data, restore_data
    from mainstay.backup.ports import BackupPorts
    from mainstay.cli.live import narrator

    if "://" in args.into and urlsplit(args.into).password:
        where = "$REDISCLI_AUTH or $MYSQL_PWD"
        ctx.out.note(
            (f"every account of this machine can read the password in --into: give it by {where}", "yellow")
        )

    async def work() -> "Landing | Landed":
        async with ctx.app() as app:
            ports = app.port(BackupPorts)
            manifest, landing = await plan_data(ports, row["id"], args.into, replace=args.replace)
            if args.dry_run:
                return landing
            if not ctx.out.json and not landing.refused:
                for line in (f"{about}: {manifest.contents}", *landing.lines):
                    ctx.out.note(line)
            with narrator(ctx.out, f"restore {row['database']}") as told:
                return await restore_data(told, ports, row["id"], args.into, replace=args.replace)

    found = run_async(work())
    from mainstay.backup.data.base import Landing

    return _planned(ctx, row, about, found) if isinstance(found, Landing) else _landed(ctx, row, found)


def _planned(ctx: Context, row: Row, about: str, landing: "Landing") -> int:
    if ctx.out.json:
        facts = {"target": landing.where, "refused": landing.refused, "remedy": landing.remedy}
        ctx.out.data({"backup": row["id"], "database": row["database"], **facts})
    else:
        remedy = f" (hint: {landing.remedy})" if landing.remedy else ""
        refused = [f"refused: {landing.refused}{remedy}"] if landing.refused else []
        for line in (about, *landing.lines, *refused):
            ctx.out.print(line)
    return 1 if landing.refused else 0


def _landed(ctx: Context, row: Row, done: "Landed") -> int:
    equal = not (done.judgement.differences or done.judgement.unproven)
    if ctx.out.json:
        document = {
            "database": row["database"],
            "target": done.where,
            "equal": equal,
            "kept_as": done.kept_as,
        }
        ctx.out.data({**document, "summary": done.judgement.summary(), "next": done.next})
    else:
        symbol, style = (
            ("●", "green") if equal else ("▲", "yellow") if not done.judgement.differences else ("✖", "red")
        )
        ctx.out.print((f"{symbol} {done.where}", style), f"  {done.judgement.summary()}")
        for line in (done.kept_as and f"what was there before is called {done.kept_as}", done.next):
            if line:
                ctx.out.print((f"  {line}", "dim"))
    return 0 if equal else 1
