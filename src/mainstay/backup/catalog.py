"""What lies in the storages and what the journal knows of it, brought together."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from mainstay.backup.label import found
from mainstay.backup.manifest import MANIFEST, database_folder
from mainstay.backup.ports import BackupPorts
from mainstay.backup.retain import Candidate, Plan, plan
from mainstay.backup.take import record_of
from mainstay.core.crash import point
from mainstay.core.errors import MainstayError
from mainstay.core.run import RunState
from mainstay.ports.objects.base import DAY, Denied, Entry, Storage
from mainstay.store import backups
from mainstay.store.backups import Backup, BackupState

ENDED = {state.value for state in RunState if state.ended}


@dataclass
class Place:
    """A folder in which a run left something."""

    path: str
    entries: list[Entry] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether it has a manifest; without one it is no backup."""
        return any(entry.path == f"{self.path}/{MANIFEST}" for entry in self.entries)

    @property
    def run(self) -> str:
        """The run that made it."""
        return self.path.rpartition("-")[2]


async def survey(storage: Storage, database: str) -> list[Place]:
    """Give every folder with something of a database in a storage. Raises `StorageError`."""
    places: dict[str, Place] = {}
    home = database_folder(database)
    async for entry in storage.list(home):
        name = entry.path.removeprefix(f"{home}/").split("/")[0]
        places.setdefault(name, Place(f"{home}/{name}")).entries.append(entry)
    return list(places.values())


async def sweep_orphans(ports: BackupPorts, database: str, name: str, current: str) -> int:
    """Delete what runs left that ended without a manifest; give how many folders. `current` is the run that asks."""
    swept = 0
    for place in await survey(ports.storage(name), database):
        if place.complete or place.run == current:
            continue
        state = await ports.store.read(lambda tx, run=place.run: backups.run_state(tx, run))  # type: ignore[misc]
        newest = max(entry.modified for entry in place.entries)
        if state in ENDED or (state is None and ports.clock.now() - newest > DAY):
            await _delete(ports.storage(name), place.entries)
            swept += 1
    return swept


async def adopt(ports: BackupPorts, database: str, name: str) -> list[Backup]:
    """Record the backups in a storage that the journal does not know, as taken; for a journal that was lost.

    Folders whose manifest cannot be read are left alone. Raises `StorageError`.
    """
    adopted: list[Backup] = []
    for place in await survey(ports.storage(name), database):
        known = await ports.store.read(lambda tx, path=place.path: backups.at(tx, name, path))  # type: ignore[misc]
        if not place.complete or known is not None:
            continue
        there = await found(ports.storage(name), place.path)
        if there is None:
            continue
        backup = record_of(there[0], name, place.path, None, there[1])
        await ports.store.write(lambda tx, backup=backup: backups.put(tx, backup))  # type: ignore[misc]
        adopted.append(backup)
    return adopted


async def retention(
    ports: BackupPorts, database: str, name: str, offset: float | None = None
) -> tuple[Plan, dict[str, Backup]]:
    """Say which backups of a database may go from a storage, and give those that are there by their id.

    Only what really lies there counts: a proven backup that somebody deleted protects nothing. `offset` is by how many
    seconds the storage's clock is ahead of ours, where it has one.
    """
    settings = ports.backup(database)
    there = {place.path for place in await survey(ports.storage(name), database) if place.complete}
    known = await ports.store.read(lambda tx: backups.of(tx, database))
    present = {each.id: each for each in known if each.storage == name and each.path in there}
    candidates = [Candidate(each.id, each.taken_at, each.state, each.bytes) for each in present.values()]
    zone = settings.timezone or ports.timezone
    return plan(candidates, settings.keep, ports.clock.now(), zone, offset), present


async def vanished(ports: BackupPorts, database: str, name: str) -> list[Backup]:
    """Give the backups that the journal knows and the storage has not; they are marked as failed."""
    there = {place.path for place in await survey(ports.storage(name), database) if place.complete}
    known = await ports.store.read(lambda tx: backups.of(tx, database))
    lost = [each for each in known if each.storage == name and each.path not in there]
    for each in lost:
        if each.state is not BackupState.FAILED:
            await ports.store.write(lambda tx, lost=each.id: backups.judge(tx, lost, BackupState.FAILED))  # type: ignore[misc]
    return lost


async def returned(ports: BackupPorts, database: str, name: str) -> list[Backup]:
    """Give the backups that were missed and lie in the storage again, as under a disk that was not mounted.

    They count as taken: what a proof said of them was about objects that were away since.
    """
    there = {place.path for place in await survey(ports.storage(name), database) if place.complete}
    known = await ports.store.read(lambda tx: backups.of(tx, database))
    back = []
    for each in known:
        if each.storage != name or each.path not in there or each.state is not BackupState.FAILED:
            continue
        proofs = await ports.store.read(lambda tx, back=each.id: backups.proofs(tx, back))  # type: ignore[misc]
        if not proofs or proofs[0].verdict is not BackupState.FAILED:
            await ports.store.write(lambda tx, back=each.id: backups.judge(tx, back, BackupState.TAKEN))  # type: ignore[misc]
            back.append(each)
    return back


async def delete(ports: BackupPorts, backup: Backup, entries: list[Entry] | None = None) -> None:
    """Delete a backup: its record, then its objects. Raises `Denied` when we may not, and it is still there.

    When it is cut off in between, `finish_deletions` does the rest. `entries` are its objects, if they are known.
    Raises `StorageError`.
    """
    await ports.store.write(lambda tx: backups.deleted(tx, backup.id, ports.clock.now()))
    if entries is None:
        entries = [entry async for entry in ports.storage(backup.storage).list(backup.path)]
    await _delete_or_keep(ports, backup, entries)


async def finish_deletions(ports: BackupPorts, database: str, name: str) -> None:
    """Delete what is left in a storage of backups that the journal calls deleted. Raises `StorageError`.

    One that we may not delete after all is a backup again.
    """
    for place in await survey(ports.storage(name), database):
        known = await ports.store.read(lambda tx, path=place.path: backups.at(tx, name, path))  # type: ignore[misc]
        if known is not None and known.deleted_at is not None:
            with suppress(Denied):
                await _delete_or_keep(ports, known, place.entries)


async def _delete_or_keep(ports: BackupPorts, backup: Backup, entries: list[Entry]) -> None:
    try:
        await _delete(ports.storage(backup.storage), entries)
    except Denied:
        # Its manifest goes first: when even that may not go, everything is still there.
        if any(entry.path == f"{backup.path}/{MANIFEST}" for entry in entries):
            await ports.store.write(lambda tx: backups.undelete(tx, backup.id))
        raise


async def forget(ports: BackupPorts, id: str) -> Backup:
    """Delete one backup by hand. Raises `MainstayError` when it is the last proven one of its storage."""
    backup = await ports.store.read(lambda tx: backups.get(tx, id))
    if backup is None or backup.deleted_at is not None:
        raise MainstayError(f"there is no backup {id}", hint="mainstay backup list")
    others = await ports.store.read(lambda tx: backups.of(tx, backup.database))
    proven = [
        each.id for each in others if each.storage == backup.storage and each.state is BackupState.PROVEN
    ]
    if proven == [id]:
        raise MainstayError(
            f"{id} is the last proven backup of {backup.database} in {backup.storage}",
            hint="prove another one first",
        )
    await delete(ports, backup)
    return backup


async def _delete(storage: Storage, entries: Iterable[Entry]) -> None:
    # Without its manifest it is no backup any more, so that goes first.
    for entry in sorted(entries, key=lambda entry: not entry.path.endswith(f"/{MANIFEST}")):
        await storage.delete(entry.path, sealed=entry.sealed)
        point("retain.deleted")
