"""The two jobs of a database: take a backup, prove one."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from mainstay.backup.copy import copy
from mainstay.backup.data.base import Unprovable
from mainstay.backup.hooks import hooked
from mainstay.backup.manifest import MANIFEST, folder, read_manifest
from mainstay.backup.ports import BackupPorts
from mainstay.backup.prove import damaged, prove
from mainstay.backup.take import take
from mainstay.backup.tidy import check, prepare, retain
from mainstay.core.errors import MainstayError
from mainstay.core.ids import new_id
from mainstay.core.job import Job, JobFailed, Outcome, RunContext
from mainstay.core.units import format_duration, format_size
from mainstay.ports.objects.base import StorageError
from mainstay.ports.postgres.sandbox import end_leftovers
from mainstay.store import backups
from mainstay.store.backups import Backup, BackupState, Proof
from mainstay.store.base import Tx

ELSEWHERE = "prove it on a machine that may read it, with the same file and the identity or a key for reading"


class BackupPostgres(Job, type="backup_postgres"):
    """Takes a backup of one database, copies it to the other storages, proves it and deletes what is too old.

    A storage that fails does not keep the others from theirs; the run says at its end what is missing where.
    """

    steps: ClassVar[tuple[str, ...]] = ("check", "take", "copy", "prove", "retain", "rest")

    database: str
    """The database, by its name below `databases:`."""

    async def run(self, run: RunContext) -> Outcome:
        ports, name = run.get(BackupPorts), self.database
        with ports.clock.busy():
            ready = await run.step("check", lambda: check(run, ports, name))
            taken = await run.step("take", lambda: _take(run, ports, name, ready))
            copied = await run.step("copy", lambda: _copy(run, ports, name, taken, ready))
            proof = await run.step("prove", lambda: _prove_each(run, ports, name, taken, copied["made"]))
            tidied = await run.step("retain", lambda: _retain(run, ports, name, ready))
            faults = {**ready["faults"], **taken["faults"], **copied["faults"], **tidied["faults"]}
            await run.step(
                "rest", lambda: _rest(run, ports, name, taken["backup"], (proof or {}).get("proof"), faults)
            )
            outcome = _outcome(taken, proof, tidied)
            if taken.get("hook"):
                raise JobFailed(f"{outcome.summary}, but {taken['hook']}", retry=False)
            return outcome


class BackupData(BackupPostgres, type="backup_data"):
    """Takes a backup of something below `data:`, copies it to the other storages, proves it, deletes what is too old.

    A storage that fails does not keep the others from theirs; the run says at its end what is missing where.
    """

    database: str
    """What is backed up, by its name below `data:`."""


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


async def _take(run: RunContext, ports: BackupPorts, database: str, ready: dict[str, Any]) -> dict[str, Any]:
    """Dump between the programs that are to run before and after. Cut off in between, all of it is repeated."""
    rules = ports.backup(database)
    async with hooked(run, database, rules.before, rules.after) as hooks:
        taken = await _dump(run, ports, database, ready)
    return {**taken, "hook": hooks.fault}


async def _dump(run: RunContext, ports: BackupPorts, database: str, ready: dict[str, Any]) -> dict[str, Any]:
    """Dump into the first storage that takes it."""
    faults: dict[str, str] = {}
    place = folder(database, run.due_at, run.id)
    *others, last = ready["ready"]
    for name in (*others, last):
        try:
            backup = await take(run, ports, database, place, name)
            break
        except StorageError as fault:
            if name == last:
                raise
            run.log(f"no backup in {name}: {fault}")
            faults[name] = fault.what
    return {
        "backup": backup.id,
        "database": database,
        "contents": read_manifest(backup.manifest).contents,
        "tables": backup.tables,
        "rows": backup.rows,
        "bytes": backup.bytes,
        "backup_seconds": backup.seconds,
        "faults": faults,
    }


async def _copy(
    run: RunContext, ports: BackupPorts, database: str, taken: dict[str, Any], ready: dict[str, Any]
) -> dict[str, Any]:
    """Copy to every further storage; one that fails does not keep the others from theirs."""
    backup = await _get(ports, taken["backup"])
    made: list[str] = []
    faults: dict[str, str] = {}
    for name in ready["ready"]:
        if name == backup.storage or name in taken["faults"]:
            continue
        try:
            made.append((await copy(run, ports, backup, name)).id)
        except MainstayError as fault:
            run.log(f"no copy in {name}: {fault}")
            faults[name] = fault.what
    return {"made": made, "faults": faults}


async def _rest(
    run: RunContext, ports: BackupPorts, database: str, id: str, proof: str | None, faults: dict[str, str]
) -> list[str]:
    """Try once more what failed in single storages; when it still does, the run fails, and tries again later."""
    backup = await _get(ports, id)
    without: dict[str, str] = {}
    faulty: dict[str, str] = {}
    made: list[str] = []
    for name in faults:
        there = name == backup.storage
        try:
            offset = await prepare(run, ports, database, name)
            if not there:
                made.append((await copy(run, ports, backup, name)).id)
                there = True
            await retain(run, ports, database, name, offset)
        except MainstayError as fault:
            (faulty if there else without)[name] = fault.what
    await _vouch(ports, proof, made)
    if without or faulty:
        having = [name for name in ports.backup(database).storages if name not in without]
        told = [f"{database} is backed up in {', '.join(having)}"]
        told += [f"but not in {name}: {why}" for name, why in without.items()]
        told += [f"but something is wrong with {name}: {why}" for name, why in faulty.items()]
        raise JobFailed(", ".join(told))
    return made


async def _vouch(ports: BackupPorts, proof: str | None, copies: Sequence[str]) -> None:
    """Let a proof hold for copies that were made after it, if they are the same."""
    if proof is None or not copies:
        return
    found = await ports.store.read(lambda tx: backups.proof(tx, proof))
    if found is not None:
        same = [
            replace(found, id=new_id(found.at), backup=id_) for id_ in await _same_bytes(ports, found, copies)
        ]
        await ports.store.write(lambda tx: _keep(tx, same))


async def _prove_each(
    run: RunContext, ports: BackupPorts, database: str, taken: dict[str, Any], copies: list[str]
) -> dict[str, Any] | None:
    """Prove the new backup in the first storage from which it can be read; the copies count if they are the same."""
    if ports.backup(database).prove != "each":
        return None
    made = [await _get(ports, each) for each in (taken["backup"], *copies)]
    readable = [each for each in made if ports.storage(each.storage).unreadable() is None]
    if not readable:
        why = "; ".join(str(ports.storage(each.storage).unreadable()) for each in made)
        run.log(f"unproven because {why}")
        return {"unproven": why}
    for each in readable:
        others = [other.id for other in made if other.id != each.id]
        try:
            return await _prove(run, ports, each, others)
        except Unprovable as fault:
            run.log(f"unproven because {fault}")
            return {"unproven": fault.what}
        except StorageError as fault:
            if each is readable[-1]:
                raise
            run.log(f"not proven from {each.storage}: {fault}")
    raise AssertionError("unreachable")


async def _prove_latest(run: RunContext, ports: BackupPorts, database: str) -> list[dict[str, Any]]:
    wanted = run.args.get("backup")
    if wanted:
        backup = await _get(ports, str(wanted))
        why = ports.storage(backup.storage).unreadable()
        if why is not None:
            raise JobFailed(f"{backup.id} cannot be proven here: {why}", hint=ELSEWHERE, retry=False)
        return [await _prove(run, ports, backup)]
    proofs: list[dict[str, Any]] = []
    unreadable: list[str] = []
    budget = ports.backup(database).prove_budget
    begun = ports.clock.monotonic()
    for backup, expected in await _due(ports, database):
        why = ports.storage(backup.storage).unreadable()
        if why is not None:
            run.log(f"unproven because {why}")
            unreadable.append(why)
            continue
        if proofs and budget is not None and ports.clock.monotonic() - begun + expected > budget:
            run.log(
                f"{backup.id} in {backup.storage} is left for the next time: no room in {format_duration(budget)}"
            )
            continue
        try:
            proofs.append(await _prove(run, ports, backup))
        except Unprovable as fault:
            run.log(f"unproven because {fault}")
            unreadable.append(fault.what)
    if not proofs and unreadable:
        raise JobFailed(f"unproven because {'; '.join(unreadable)}", hint=ELSEWHERE, retry=False)
    if not proofs:
        raise JobFailed(f"there is no backup of {database} to prove", hint="take one first", retry=False)
    return proofs


async def _due(ports: BackupPorts, database: str) -> list[tuple[Backup, float]]:
    """Give the newest backup in each storage and how many seconds its proof may take.

    The storage comes first whose last proof is the longest ago.
    """
    due: list[tuple[float, Backup, float]] = []
    known = await ports.store.read(lambda tx: backups.of(tx, database))
    for name in ports.backup(database).storages:
        there = [each for each in known if each.storage == name]
        last = await ports.store.read(lambda tx, name=name: backups.last_proof_in(tx, database, name))  # type: ignore[misc]
        if there:
            due.append((last.at if last else 0.0, there[0], last.seconds if last else 0.0))
    return [(backup, seconds) for _, backup, seconds in sorted(due, key=lambda each: each[0])]


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

    None does when the tried one was damaged: a copy is what it was then, and may be the last good one. Nor does one
    that was encrypted for others: nobody has tried to open it.
    """
    if damaged(proof):
        return []
    tried = await _get(ports, proof.backup)
    made = [await _get(ports, each) for each in copies]
    return [
        each.id
        for each in made
        if ports.storage(each.storage).read_back
        and not ports.storage(each.storage).write_only
        and (not each.kept or _objects(each) == _objects(tried))
    ]


def _objects(backup: Backup) -> dict[str, tuple[int, str]]:
    return {name: weight for name, weight in backup.kept.items() if name != MANIFEST}


def _keep(tx: Tx, proofs: Sequence[Proof]) -> None:
    for proof in proofs:
        backups.prove(tx, proof)


async def _retain(
    run: RunContext, ports: BackupPorts, database: str, ready: dict[str, Any]
) -> dict[str, Any]:
    """Delete from each storage what the rules let go."""
    gone, faults = 0, {}
    for name in ready["ready"]:
        try:
            gone += await retain(run, ports, database, name, ready["offsets"].get(name))
        except StorageError as fault:
            run.log(f"nothing more is deleted from {name}: {fault}")
            faults[name] = fault.what
    return {"deleted": gone, "faults": faults}


def _outcome(taken: dict[str, Any], proof: dict[str, Any] | None, tidied: dict[str, Any]) -> Outcome:
    size = format_size(taken["bytes"])
    summary = (
        f"{taken['database']}: {taken['contents']}, {size}, "
        f"taken in {format_duration(taken['backup_seconds'])}"
    )
    data = {name: value for name, value in taken.items() if name not in ("faults", "contents", "hook")} | {
        "deleted": tidied["deleted"]
    }
    if proof is None or "unproven" in proof:
        why = "not proven yet" if proof is None else f"unproven because {proof['unproven']}"
        return Outcome(f"{summary}, {why}", {**data, "verdict": BackupState.TAKEN.value, "proven": False})
    return Outcome(
        f"{summary}, {proof['verdict']} in {format_duration(proof['proof_seconds'])}",
        {**data, **proof},
    )
