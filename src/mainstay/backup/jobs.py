"""The two jobs of a database: take a backup, prove one."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from mainstay.backup.catalog import (
    adopt,
    delete,
    finish_deletions,
    retention,
    returned,
    sweep_orphans,
    vanished,
)
from mainstay.backup.copy import copy
from mainstay.backup.manifest import folder
from mainstay.backup.ports import BackupPorts
from mainstay.backup.prove import damaged, prove
from mainstay.backup.take import take
from mainstay.core.errors import MainstayError
from mainstay.core.ids import new_id
from mainstay.core.job import Job, JobFailed, Outcome, RunContext
from mainstay.core.units import format_duration, format_size
from mainstay.ports.postgres.sandbox import end_leftovers
from mainstay.store import backups
from mainstay.store.backups import Backup, BackupState, Proof
from mainstay.store.base import Tx


class BackupPostgres(Job, type="backup_postgres"):
    """Takes a backup of one database, copies it to the other storages, proves it and deletes what is too old."""

    steps: ClassVar[tuple[str, ...]] = ("check", "take", "copy", "prove", "retain")

    database: str
    """The database, by its name below `databases:`."""

    async def run(self, run: RunContext) -> Outcome:
        ports, name = run.get(BackupPorts), self.database
        with ports.clock.busy():
            await run.step("check", lambda: _check(run, ports, name))
            taken = await run.step("take", lambda: _take(run, ports, name))
            copies = await run.step("copy", lambda: _copy(run, ports, name, taken["backup"]))
            proof = await run.step("prove", lambda: _prove_each(run, ports, name, taken["backup"], copies))
            gone = await run.step("retain", lambda: _retain(run, ports, name))
            return _outcome(taken, proof, gone)


class ProveBackup(Job, type="prove_backup"):
    """Restores the latest backup of one database from each storage into a throwaway server and compares every table.

    With the argument `backup` it proves that one.
    """

    steps: ClassVar[tuple[str, ...]] = ("prove",)

    database: str
    """The database, by its name below `databases:`."""

    async def run(self, run: RunContext) -> Outcome:
        ports = run.get(BackupPorts)
        with ports.clock.busy():
            proofs = await run.step("prove", lambda: _prove_latest(run, ports, self.database))
            return Outcome("; ".join(proof["summary"] for proof in proofs), {"proofs": proofs, **proofs[0]})


async def _check(run: RunContext, ports: BackupPorts, database: str) -> None:
    """Sweep what a killed process left; make sure that every storage takes an object before anything is dumped."""
    await asyncio.to_thread(ports.scratch.sweep, end_leftovers)
    for name in ports.backup(database).storages:
        storage = ports.storage(name)
        await storage.check()  # before the sweep: it says best what is wrong with a storage
        swept = await storage.sweep(ports.clock.now()) + await sweep_orphans(ports, database, name, run.id)
        run.log(f"{name} ({storage.target()}) takes objects{f', {swept} leftovers swept' if swept else ''}")


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


async def _copy(run: RunContext, ports: BackupPorts, database: str, id: str) -> list[str]:
    """Copy to every further storage; one that fails does not keep the others from theirs."""
    backup = await _get(ports, id)
    made: list[str] = []
    faults: list[str] = []
    for name in ports.backup(database).storages[1:]:
        try:
            made.append((await copy(run, ports, backup, name)).id)
        except MainstayError as fault:
            run.log(f"no copy in {name}: {fault}")
            faults.append(f"{name}: {fault.what}")
    if faults:
        raise JobFailed(f"{database} is backed up in {backup.storage}, but not in {'; '.join(faults)}")
    return made


async def _prove_each(
    run: RunContext, ports: BackupPorts, database: str, id: str, copies: list[str]
) -> dict[str, Any] | None:
    if ports.backup(database).prove != "each":
        return None
    return await _prove(run, ports, await _get(ports, id), copies)


async def _prove_latest(run: RunContext, ports: BackupPorts, database: str) -> list[dict[str, Any]]:
    wanted = run.args.get("backup")
    if wanted:
        return [await _prove(run, ports, await _get(ports, str(wanted)))]
    proofs = []
    for name in ports.backup(database).storages:
        latest = await ports.store.read(lambda tx, name=name: backups.latest(tx, database, name))  # type: ignore[misc]
        if latest is not None:
            proofs.append(await _prove(run, ports, latest))
    if not proofs:
        raise JobFailed(f"there is no backup of {database} to prove", hint="take one first", retry=False)
    return proofs


async def _get(ports: BackupPorts, id: str) -> Backup:
    backup = await ports.store.read(lambda tx: backups.get(tx, id))
    if backup is None or backup.deleted_at is not None:
        raise JobFailed(f"there is no backup {id}", retry=False)
    return backup


async def _prove(
    run: RunContext, ports: BackupPorts, backup: Backup, copies: Sequence[str] = ()
) -> dict[str, Any]:
    """Prove a backup and its `copies`, as far as what is found holds for their bytes, too."""
    await asyncio.to_thread(ports.scratch.sweep, end_leftovers)
    proof = await prove(run, ports, backup)
    same = await _same_bytes(ports, proof, copies)
    proofs = [proof, *(replace(proof, id=new_id(proof.at), backup=each) for each in same)]
    await ports.store.write(lambda tx: _keep(tx, proofs))
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
        "summary": f"{backup.database}: {proof.summary}",
        "proof_seconds": proof.seconds,
    }


async def _same_bytes(ports: BackupPorts, proof: Proof, copies: Sequence[str]) -> list[str]:
    """Give the copies that have the bytes that were tried: they were read back a moment ago.

    None does when the tried one was damaged: a copy is what it was then, and may be the last good one.
    """
    if damaged(proof):
        return []
    made = [await _get(ports, each) for each in copies]
    return [each.id for each in made if ports.storage(each.storage).read_back]


def _keep(tx: Tx, proofs: Sequence[Proof]) -> None:
    for proof in proofs:
        backups.prove(tx, proof)


async def _retain(run: RunContext, ports: BackupPorts, database: str) -> int:
    """Delete from each storage what the rules let go; give how many."""
    gone = 0
    for name in ports.backup(database).storages:
        await finish_deletions(ports, database, name)
        for lost in await vanished(ports, database, name):
            run.log(f"MISSING {lost.id}: somebody deleted it from {name}")
        for back in await returned(ports, database, name):
            run.log(f"{back.id} is in {name} again")
        for found in await adopt(ports, database, name):
            run.log(f"found {found.id} in {name}, which the journal did not know")
        plan, present = await retention(ports, database, name)
        if plan.refused:
            run.log(f"nothing is deleted from {name}: {plan.refused}")
        for each in plan.delete:
            await delete(ports, present[each])
            run.log(f"deleted {each} from {name}")
        gone += len(plan.delete)
    return gone


def _outcome(taken: dict[str, Any], proof: dict[str, Any] | None, gone: int) -> Outcome:
    size = format_size(taken["bytes"])
    summary = (
        f"{taken['database']}: {taken['rows']:,} rows in {taken['tables']} tables, {size}, "
        f"taken in {format_duration(taken['backup_seconds'])}"
    )
    if proof is None:
        return Outcome(
            f"{summary}, not proven yet",
            {**taken, "verdict": BackupState.TAKEN.value, "proven": False, "deleted": gone},
        )
    return Outcome(
        f"{summary}, {proof['verdict']} in {format_duration(proof['proof_seconds'])}",
        {**taken, **proof, "deleted": gone},
    )
