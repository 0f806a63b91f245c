"""Are the stored bytes still those that were stored? Read and compared with their checksums, without a restore."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import asdict

from mainstay.backup.compare import AS_STORED, Difference
from mainstay.backup.data.take import cache_of
from mainstay.backup.fetch import changed
from mainstay.backup.label import weight_of
from mainstay.backup.manifest import MANIFEST, DataManifest, ManifestError, SomeManifest, load, read_manifest
from mainstay.backup.ports import BackupPorts
from mainstay.core.ids import new_id
from mainstay.core.job import RunContext
from mainstay.ports.objects.base import NotThere, Storage, Weight
from mainstay.store import backups
from mainstay.store.backups import Backup, BackupState, Proof


class Pace:
    """Reads no faster than so many bytes per second, over everything that it reads."""

    def __init__(self, run: RunContext, ports: BackupPorts, rate: int | None) -> None:
        self._run, self._clock, self._rate = run, ports.clock, rate
        self._begun = ports.clock.monotonic()
        self.done = 0
        self.looked: dict[str, list[str]] = {}
        """What was found where one look is for all backups of a storage."""

    async def weigh(self, storage: Storage, path: str, total: int) -> Weight:
        """Give the size and the hash of an object as it lies there. Raises `NotThere`, `StorageError`."""
        size, sha256 = 0, hashlib.sha256()
        async for chunk in storage.get_as_is(path):
            size += len(chunk)
            self.done += len(chunk)
            await asyncio.to_thread(sha256.update, chunk)
            self._run.progress("verifying", self.done, max(total, self.done), "bytes")
            await self._wait()
        return Weight(size, sha256.hexdigest())

    async def _wait(self) -> None:
        if self._rate:
            ahead = self.done / self._rate - (self._clock.monotonic() - self._begun)
            if ahead > 0:
                await self._clock.sleep(ahead)


async def verify(run: RunContext, ports: BackupPorts, backup: Backup, pace: Pace, total: int) -> str | None:
    """Compare every stored byte of a backup with its checksum; give what is wrong, or None, and write it down.

    Raises `StorageError` when the storage cannot be asked.
    """
    storage = ports.storage(backup.storage)
    found = [wrong async for wrong in _differences(storage, backup, pace, total)]
    found += await _elsewhere(ports, storage, backup, pace)
    shared = pace.looked.get(backup.storage)
    if shared and not found:
        # Which backups need what is damaged is not known. One that failed is deleted, so none is called that.
        run.log(f"not certain whether {backup.id} is whole: {'; '.join(shared)}")
        return "; ".join(shared)
    now = ports.clock.now()
    if not found:
        await ports.store.write(lambda tx: backups.verified(tx, backup.id, now))
        return None
    wrong = "; ".join(found)
    run.log(f"DAMAGED {backup.id} in {backup.storage}: {wrong}")
    detail = {"differences": [asdict(Difference("object", AS_STORED, each)) for each in found]}
    proof = Proof(
        new_id(now), backup.id, now, BackupState.FAILED, f"verified: {wrong}", 0.0, 0, 0, detail, run.id
    )
    await ports.store.write(lambda tx: backups.prove(tx, proof))
    return wrong


async def _elsewhere(ports: BackupPorts, storage: Storage, backup: Backup, pace: Pace) -> list[str]:
    """Say what a backup lacks beside its pieces, as far as its type is still in the file; look at what all share."""
    dataset, manifest = ports.data.get(backup.database), read_manifest(backup.manifest)
    if dataset is None or not isinstance(manifest, DataManifest) or manifest.kind != dataset.type_name:
        return []
    if backup.storage not in pace.looked:
        pace.looked[backup.storage] = await dataset.sound(backup.database, storage, cache_of(ports))
    return await dataset.lacks(backup.database, storage, manifest)


async def _differences(storage: Storage, backup: Backup, pace: Pace, total: int) -> AsyncIterator[str]:
    manifest = read_manifest(backup.manifest)
    path = f"{backup.path}/{MANIFEST}"
    expected = {
        piece.path: weight_of(backup, piece.path) or Weight(piece.bytes, piece.sha256)
        for piece in manifest.objects
    }
    sealed = weight_of(backup, path)
    if sealed is not None:
        expected[path] = sealed
    for name, stored in expected.items():
        try:
            there = await pace.weigh(storage, name, total)
        except NotThere:
            yield f"{name} is gone from {storage.target()}"
            continue
        if there != stored:
            yield changed(storage, name, there, stored)
    if sealed is None:
        async for wrong in _manifest(storage, backup, manifest):
            yield wrong


async def _manifest(storage: Storage, backup: Backup, manifest: SomeManifest) -> AsyncIterator[str]:
    try:
        if await load(storage, backup.path) != manifest:
            yield "the manifest is not the one that was written: somebody replaced it"
    except NotThere:
        yield f"the manifest is gone from {storage.target()}"
    except ManifestError as fault:
        yield str(fault)
