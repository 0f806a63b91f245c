"""The two jobs that keep a database's backups in order: delete what is too old, verify the bytes of the rest."""

from typing import Any, ClassVar

from mainstay.backup.ports import BackupPorts
from mainstay.backup.tidy import prepare, retain
from mainstay.backup.verify import Pace, verify
from mainstay.core.errors import MainstayError
from mainstay.core.job import Job, JobFailed, Outcome, RunContext
from mainstay.core.units import format_size
from mainstay.store import backups
from mainstay.store.backups import Backup, BackupState


class PruneBackups(Job, type="prune_backups"):
    """Deletes the backups of one database that its `keep` lets go, as every backup does at its end."""

    steps: ClassVar[tuple[str, ...]] = ("retain",)

    database: str
    """The database, by its name below `databases:`."""

    async def run(self, run: RunContext) -> Outcome:
        ports = run.get(BackupPorts)
        found = await run.step("retain", lambda: _prune(run, ports, self.database))
        if found["faults"]:
            raise JobFailed("; ".join(found["faults"]))
        return Outcome(f"{self.database}: {found['deleted']} backups deleted", {"deleted": found["deleted"]})


class VerifyBackups(Job, type="verify_backups"):
    """Reads every stored byte of one database's backups and compares it with its checksum.

    That needs no restore, no identity and no room. The one that was not looked at for the longest time comes first, and
    a run that was cut off goes on where it stopped. With the argument `backup` it verifies that one.
    """

    steps: ClassVar[tuple[str, ...]] = ("verify",)

    database: str
    """The database, by its name below `databases:`."""

    async def run(self, run: RunContext) -> Outcome:
        ports = run.get(BackupPorts)
        found = await run.step("verify", lambda: _verify(run, ports, self.database))
        damaged = await _damaged(ports, self.database, run.id)
        if damaged:
            raise JobFailed(
                f"{len(damaged)} backups of {self.database} are damaged: {', '.join(damaged)}",
                hint=f"mainstay logs verify:{self.database} says where; take a new one now, delete nothing",
                retry=False,
            )
        if found["faults"]:
            raise JobFailed("; ".join(found["faults"]))
        return Outcome(
            f"{self.database}: {found['verified']} backups, {format_size(found['bytes'])} as they were stored"
            + (f", {found['skipped']} cannot be read from here" if found["skipped"] else ""),
            {name: found[name] for name in ("verified", "bytes", "skipped")},
        )


async def _prune(run: RunContext, ports: BackupPorts, database: str) -> dict[str, Any]:
    deleted, faults = 0, []
    for name in ports.backup(database).storages:
        try:
            offset = await prepare(run, ports, database, name)
            deleted += await retain(run, ports, database, name, offset)
        except MainstayError as fault:
            run.log(f"nothing more is deleted from {name}: {fault}")
            faults.append(f"{name}: {fault.what}")
    return {"deleted": deleted, "faults": faults}


async def _verify(run: RunContext, ports: BackupPorts, database: str) -> dict[str, Any]:
    wanted = await _wanted(run, ports, database)
    readable = [each for each in wanted if not ports.storage(each.storage).write_only]
    total = sum(each.bytes for each in readable)
    pace = Pace(run, ports, _rate(run, ports, database))
    faults: dict[str, str] = {}
    for each in readable:
        if each.storage in faults:
            continue
        try:
            await verify(run, ports, each, pace, total)
        except MainstayError as fault:
            run.log(f"{each.storage} cannot be asked: {fault}")
            faults[each.storage] = f"{each.storage}: {fault.what}"
    for name, wrong in pace.looked.items():
        if wrong:
            faults[name] = (
                f"what the backups in {name} share is damaged, take a new one now: {'; '.join(wrong)}"
            )
    return {
        "verified": len(readable),
        "bytes": pace.done,
        "skipped": len(wanted) - len(readable),
        "faults": list(faults.values()),
    }


async def _wanted(run: RunContext, ports: BackupPorts, database: str) -> list[Backup]:
    """Give the backups to verify: all whose bytes are not known to be bad and were not looked at by this very run."""
    known = await ports.store.read(lambda tx: backups.of(tx, database))
    one = run.args.get("backup")
    if one:
        return [each for each in known if each.id == one]
    left = [
        each
        for each in known
        if each.storage in ports.backup(database).storages
        and each.state is not BackupState.FAILED
        and (each.verified_at or 0.0) < run.due_at
    ]
    return sorted(left, key=lambda each: (each.verified_at or 0.0, -each.taken_at))


def _rate(run: RunContext, ports: BackupPorts, database: str) -> int | None:
    rate = run.args.get("rate")
    return int(rate) if rate else ports.backup(database).verify_rate


async def _damaged(ports: BackupPorts, database: str, run: str) -> list[str]:
    """Give the backups that this run found damaged, before it was cut off or after."""
    found = []
    for each in await ports.store.read(lambda tx: backups.of(tx, database)):
        proofs = await ports.store.read(lambda tx, id_=each.id: backups.proofs(tx, id_))  # type: ignore[misc]
        if proofs and (proofs[0].run, proofs[0].verdict) == (run, BackupState.FAILED):
            found.append(f"{each.id} in {each.storage}")
    return found
