"""Keeping backups in order, for `mainstay backup`: prune, verify, claim, and every proof in one table."""

import argparse
from typing import TYPE_CHECKING, Any

from mainstay.cli import kept_log
from mainstay.cli.context import Context, run_async
from mainstay.cli.find import one
from mainstay.cli.parser import UsageError, closest
from mainstay.cli.table import Cell, Column, show
from mainstay.cli.words import moment, span, zone_of
from mainstay.core.amounts import format_size

if TYPE_CHECKING:
    from mainstay.app import App
    from mainstay.store.backups import Backup, Proof

VERDICTS = {
    "proven": ("● proven", "green"),
    "partial": ("▲ partially proven", "yellow"),
    "taken": ("○ unproven", "dim"),
    "failed": ("✖ failed", "red"),
}


def configure(below: Any) -> None:
    """Add the arguments."""
    prune = below.add_parser("prune", help="delete what is too old, as every backup does at its end")
    prune.add_argument("database", nargs="*", help="the databases; every one when left out")
    prune.add_argument(
        "--dry-run", action="store_true", help="only say what is kept and why, and what would go"
    )
    verify = below.add_parser("verify", help="compare every stored byte with its checksum, without a restore")
    verify.add_argument("what", nargs="?", metavar="DATABASE|ID", help="all of a database, or this one")
    verify.add_argument("--rate", metavar="SIZE", help="at most so much per second, like 20MB")
    verify.add_argument("--dry-run", action="store_true", help="only say what would be done")
    claim = below.add_parser("claim", help="make a storage this installation's, whoever's it was")
    claim.add_argument("storage", help="its name below `storage:`")
    claim.add_argument("--dry-run", action="store_true", help="only say whose it is")


def databases(ctx: Context, wanted: list[str]) -> list[str]:
    """Give the databases that are meant; all that are backed up when none is named. Raises `UsageError`."""
    known = [database.name for database in ctx.outline().setup.databases if database.storages]
    for name in wanted:
        if name not in known:
            guess = closest(name, known)
            hint = f"did you mean {guess}?" if guess else f"backed up are: {', '.join(known) or 'none'}"
            raise UsageError(f"no backup is configured of {name}", hint=hint)
    if not known:
        raise UsageError("nothing is backed up", hint="databases: {NAME: {dsn: ..., backup: {to: STORAGE}}}")
    return wanted or known


def prune(ctx: Context, args: argparse.Namespace) -> int:
    """Delete what is too old, or show it."""
    names = databases(ctx, args.database)
    if args.dry_run:
        return _plans(ctx, names)
    from mainstay.cli.doing import do

    return do(ctx, ctx.config(), [(f"prune:{name}", {}) for name in names])


def _plans(ctx: Context, names: list[str]) -> int:
    async def work() -> list[dict[str, Any]]:
        async with ctx.app() as app:
            return [await _plan(app, name, storage) for name in names for storage in _storages(app, name)]

    plans = run_async(work())
    if ctx.out.json:
        ctx.out.data({"plans": plans})
        return 0
    now, zone = ctx.clock.now(), zone_of(ctx.outline().timezone)
    for plan in plans:
        ctx.out.print((plan["database"], "bold"), f" in {plan['storage']}: keep {plan['keep']}")
        if plan["refused"]:
            ctx.out.print((f"  nothing goes: {plan['refused']}", "yellow"))
        columns = [
            Column(""),
            Column("id"),
            Column("taken"),
            Column("size", right=True),
            Column("why", wrap=True),
        ]
        show(ctx.out, columns, [_planned(row, now, zone) for row in plan["backups"]])
    return 0


def _planned(row: dict[str, Any], now: float, zone: Any) -> list[Cell]:
    kept = bool(row["kept"])
    return [
        ("keep", "green") if kept else ("goes", "yellow"),
        (row["id"][-8:], "dim"),
        moment(row["taken_at"], zone, now),
        format_size(row["bytes"]),
        ", ".join(row["kept"]),
    ]


def _storages(app: "App", database: str) -> tuple[str, ...]:
    from mainstay.backup.ports import BackupPorts

    return app.port(BackupPorts).backup(database).storages


async def _plan(app: "App", database: str, storage: str) -> dict[str, Any]:
    from mainstay.backup.catalog import retention
    from mainstay.backup.owner import admit
    from mainstay.backup.ports import BackupPorts

    ports = app.port(BackupPorts)
    await admit(ports, storage)
    powers = await ports.storage(storage).check()
    offset = None if powers.now is None else powers.now - ports.clock.now()
    plan, present = await retention(ports, database, storage, offset)
    return {
        "database": database,
        "storage": storage,
        "keep": ports.backup(database).keep.explain(),
        "refused": plan.refused or ("" if powers.delete else "the storage does not let us delete"),
        "backups": [
            {
                "id": each.id,
                "taken_at": each.taken_at,
                "bytes": each.bytes,
                "kept": list(plan.keep.get(each.id, ())),
            }
            for each in sorted(present.values(), key=lambda each: -each.taken_at)
        ],
    }


def verify(ctx: Context, args: argparse.Namespace) -> int:
    """Read every stored byte."""
    from mainstay.cli.doing import do
    from mainstay.core.units import parse_size

    extra: dict[str, Any] = {}
    if args.rate:
        try:
            extra["rate"] = parse_size(args.rate)
        except ValueError as wrong:
            raise UsageError(str(wrong)) from None
    known = [database.name for database in ctx.outline().setup.databases if database.storages]
    if args.what is None or args.what in known:
        names = databases(ctx, [args.what] if args.what else [])
        wishes = [(f"verify:{name}", extra) for name in names]
    else:
        row = one(ctx, "backups", args.what)
        names = [f"{row['database']} ({row['id'][-8:]})"]
        wishes = [(f"verify:{row['database']}", {"backup": row["id"], **extra})]
    if args.dry_run:
        return would(ctx, "verify", names)
    return do(ctx, ctx.config(), wishes)


def would(ctx: Context, verb: str, names: list[str]) -> int:
    """Say what would be done."""
    if ctx.out.json:
        ctx.out.data({"would": verb, "databases": names})
    else:
        ctx.out.print(f"would {verb} {', '.join(names)}")
    return 0


def claim(ctx: Context, args: argparse.Namespace) -> int:
    """Make a storage ours."""
    from mainstay.backup import owner
    from mainstay.backup.ports import BackupPorts

    async def work() -> tuple[str, owner.Mark | None]:
        async with ctx.app() as app:
            ports = app.port(BackupPorts)
            storage = ports.storage(args.storage)
            before = None if storage.write_only else await owner.read_mark(storage)
            if not args.dry_run:
                await owner.claim(ports, args.storage)
            return storage.target(), before

    target, before = run_async(work())
    whose = (
        f"belonged to the installation on {before.host} since {before.day}"
        if before
        else "belonged to nobody"
    )
    if ctx.out.json:
        ctx.out.data(
            {"storage": args.storage, "claimed": not args.dry_run, "before": before and vars_of(before)}
        )
    elif args.dry_run:
        ctx.out.print(f"{target} {whose.replace('belonged', 'belongs')}")
    else:
        ctx.out.print(f"{target} is this installation's now; it {whose}")
    return 0


def vars_of(mark: Any) -> dict[str, Any]:
    """Give a mark as a document."""
    return {"installation": mark.installation, "host": mark.host, "since": mark.since}


def prove_all(ctx: Context, args: argparse.Namespace) -> int:
    """Prove the newest backup of every database in every storage; one table says what came of it."""
    from mainstay.cli.doing import finish

    logs = kept_log.kept(ctx)
    some = any(database.storages for database in ctx.outline().setup.databases)
    names = databases(ctx, []) if some or not logs else []
    if args.dry_run:
        return would(ctx, "prove", [*names, *(f"a moment of {name}" for name in logs)])
    config = ctx.config()
    wishes = [f"prove:{name}" for name in names] + [f"{kept_log.JOB}{name}" for name in logs]
    runs = finish(ctx, config, [(wish, {}) for wish in wishes])
    moments = list(zip(runs[len(names) :], logs.values(), strict=True))
    storages = {one.name: one.storages for one in ctx.outline().setup.databases}
    rows = [row for name in names for row in _proofs(ctx, name, storages[name])]
    if ctx.out.json:
        found = [_document(*row) for row in rows] + [kept_log.document(*each) for each in moments]
        ctx.out.data({"proofs": found})
    else:
        titles = ("database", "storage", "taken", "verdict", "tables", "rows", "restored in", "why")
        columns = [Column(title, right=title in ("tables", "rows"), wrap=title == "why") for title in titles]
        now, zone = ctx.clock.now(), zone_of(ctx.outline().timezone)
        show(
            ctx.out,
            columns,
            [
                *(_proof_row(*row, now, zone) for row in rows),
                *(kept_log.proof_row(*each) for each in moments),
            ],
        )
        for run in runs:
            if run.state != "done":
                ctx.out.note(("mainstay: ", "yellow"), f"{run.job}: {run.error}")
    return 0 if all(run.state == "done" for run in runs) else 1


def _proofs(
    ctx: Context, database: str, storages: tuple[str, ...]
) -> "list[tuple[str, str, Backup | None, Proof | None]]":
    from mainstay.store import backups

    found = []
    for name in storages:
        latest = ctx.look(lambda tx, name=name: backups.latest(tx, database, name))  # type: ignore[misc]
        proofs = ctx.look(lambda tx, latest=latest: backups.proofs(tx, latest.id)) if latest else []  # type: ignore[misc]
        found.append((database, name, latest, proofs[0] if proofs else None))
    return found


def restore_seconds(proof: "Proof") -> float:
    """How long getting the data back took: the fetching and the restoring, not the comparing."""
    laps = proof.detail.get("seconds") or {}
    return float(laps.get("download", 0.0) + laps.get("restore", 0.0))


def _why(proof: "Proof | None") -> str:
    if proof is None:
        return "nobody has restored it yet"
    if proof.verdict == "partial":
        reasons = sorted(set(proof.detail.get("unproven", {}).values()))
        return f"unproven because {'; '.join(reasons)}" if reasons else proof.summary
    return proof.summary if proof.verdict == "failed" else ""


def _proof_row(
    database: str, storage: str, backup: "Backup | None", proof: "Proof | None", now: float, zone: Any
) -> list[Cell]:
    if backup is None:
        return [(database, "bold"), storage, "", ("○ no backup", "yellow"), "", "", "", ""]
    verdict = VERDICTS[backup.state]
    figures = [str(proof.tables), f"{proof.rows:,}", span(restore_seconds(proof))] if proof else ["", "", ""]
    return [
        (database, "bold"), storage, moment(backup.taken_at, zone, now), verdict, *figures, _why(proof)
    ]  # fmt: skip


def _document(database: str, storage: str, backup: "Backup | None", proof: "Proof | None") -> dict[str, Any]:
    return {
        "database": database,
        "storage": storage,
        "backup": backup and backup.id,
        "verdict": backup and str(backup.state),
        "tables": proof and proof.tables,
        "rows": proof and proof.rows,
        "restore_seconds": proof and restore_seconds(proof),
        "proof_seconds": proof and proof.seconds,
        "why": _why(proof) if backup else "there is no backup",
    }


ACTIONS = {"prune": prune, "verify": verify, "claim": claim}
