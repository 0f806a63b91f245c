"""The two jobs of a database: take a backup, prove one."""

import asyncio
from typing import Any, ClassVar

from mainstay.backup.manifest import folder
from mainstay.backup.ports import BackupPorts
from mainstay.backup.prove import prove
from mainstay.backup.take import take
from mainstay.core.job import Job, JobFailed, Outcome, RunContext
from mainstay.core.units import format_duration, format_size
from mainstay.ports.postgres.sandbox import end_leftovers
from mainstay.store import backups
from mainstay.store.backups import BackupState


class BackupPostgres(Job, type="backup_postgres"):
    """Takes a backup of one database, copies it to the other storages, proves it and deletes what is too old."""

    steps: ClassVar[tuple[str, ...]] = ("check", "take", "prove")

    database: str
    """The database, by its name below `databases:`."""

    async def run(self, run: RunContext) -> Outcome:
        ports = run.get(BackupPorts)
        with ports.clock.busy():
            await run.step("check", lambda: _check(run, ports, self.database))
            taken = await run.step("take", lambda: _take(run, ports, self.database))
            proof = None
            if ports.backup(self.database).prove == "each":
                proof = await run.step("prove", lambda: _prove(run, ports, taken["backup"]))
            return _outcome(taken, proof)


class ProveBackup(Job, type="prove_backup"):
    """Restores a backup of one database into a throwaway server and compares every table."""

    steps: ClassVar[tuple[str, ...]] = ("prove",)

    database: str
    """The database, by its name below `databases:`."""

    async def run(self, run: RunContext) -> Outcome:
        ports = run.get(BackupPorts)
        wanted = run.args.get("backup")
        with ports.clock.busy():
            backup = await ports.store.read(
                lambda tx: backups.get(tx, wanted) if wanted else backups.latest(tx, self.database)
            )
            if backup is None or backup.deleted_at is not None:
                raise JobFailed(f"there is no backup of {self.database} to prove", retry=False)
            proof = await run.step("prove", lambda: _prove(run, ports, backup.id))
            return Outcome(proof["summary"], proof)


async def _check(run: RunContext, ports: BackupPorts, database: str) -> None:
    """Sweep what a killed process left; make sure that every storage takes an object before anything is dumped."""
    await asyncio.to_thread(ports.scratch.sweep, end_leftovers)
    for name in ports.backup(database).storages:
        storage = ports.storage(name)
        await storage.sweep(ports.clock.now())
        await storage.check()
        run.log(f"{name} ({storage.target()}) takes objects")


async def _take(run: RunContext, ports: BackupPorts, database: str) -> dict[str, Any]:
    backup = await take(run, ports, database, folder(database, run.due_at, run.id))
    return {
        "backup": backup.id,
        "database": database,
        "tables": backup.tables,
        "rows": backup.rows,
        "bytes": backup.bytes,
        "backup_seconds": backup.seconds,
    }


async def _prove(run: RunContext, ports: BackupPorts, id: str) -> dict[str, Any]:
    backup = await ports.store.read(lambda tx: backups.get(tx, id))
    if backup is None:
        raise JobFailed(f"the journal has no backup {id}", retry=False)
    await asyncio.to_thread(ports.scratch.sweep, end_leftovers)
    proof = await prove(run, ports, backup)
    await ports.store.write(lambda tx: backups.prove(tx, proof))
    if proof.verdict is BackupState.FAILED:
        raise JobFailed(
            f"the backup of {backup.database} cannot be restored as it was: {proof.summary}",
            hint=f"take a new backup now; the damaged one is {backup.id} in {backup.storage}",
            retry=False,
        )
    return {
        "backup": backup.id,
        "proof": proof.id,
        "verdict": proof.verdict.value,
        "proven": proof.verdict is BackupState.PROVEN,
        "summary": proof.summary,
        "proof_seconds": proof.seconds,
    }


def _outcome(taken: dict[str, Any], proof: dict[str, Any] | None) -> Outcome:
    size = format_size(taken["bytes"])
    summary = (
        f"{taken['database']}: {taken['rows']:,} rows in {taken['tables']} tables, {size}, "
        f"taken in {format_duration(taken['backup_seconds'])}"
    )
    if proof is None:
        return Outcome(
            f"{summary}, not proven yet", {**taken, "verdict": BackupState.TAKEN.value, "proven": False}
        )
    return Outcome(
        f"{summary}, {proof['verdict']} in {format_duration(proof['proof_seconds'])}", {**taken, **proof}
    )
