"""The same backup in a second storage: streamed from the first, compared with what the manifest says."""

from collections.abc import AsyncIterator, Callable

from mainstay.backup.fetch import Damaged
from mainstay.backup.label import found, publish, weight_of
from mainstay.backup.manifest import Piece, read_manifest
from mainstay.backup.paced import paced
from mainstay.backup.ports import BackupPorts
from mainstay.backup.take import record, record_of
from mainstay.core.job import RunContext
from mainstay.core.units import format_size
from mainstay.ports.objects.base import Storage, Weight
from mainstay.ports.objects.seal import same_recipients
from mainstay.store.backups import Backup

Held = Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]]
"""Holds a stream back."""


async def copy(run: RunContext, ports: BackupPorts, backup: Backup, name: str) -> Backup:
    """Copy a backup to another storage and record it there. Repeating it is safe. Raises `MainstayError`.

    From one encrypted storage to another for the same recipients it goes as it is, which needs no identity.
    """
    here, there = ports.storage(backup.storage), ports.storage(name)
    manifest = read_manifest(backup.manifest)
    done = await found(there, backup.path)
    if done is None or done[0] != manifest:
        await there.sweep(ports.clock.now(), backup.path, age=0)  # nobody else writes there
        limit = ports.backup(backup.database).limit

        def held(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
            return paced(chunks, limit, ports.clock)

        weights = {}
        for piece in manifest.objects:
            weights[piece.path.rpartition("/")[2]] = await _piece(here, there, piece, backup, held)
        done = manifest, await publish(there, backup.path, manifest, weights)
        run.log(f"copied {format_size(manifest.bytes)} to {there.target()}")
    return await record(ports, record_of(manifest, name, backup.path, run.id, done[1]))


async def _piece(here: Storage, there: Storage, piece: Piece, backup: Backup, held: Held) -> Weight:
    kept = weight_of(backup, piece.path)
    if kept is not None and here.encrypt and same_recipients(there.encrypt, here.encrypt.recipients):
        weight = await there.put_as_is(piece.path, held(here.get_as_is(piece.path)), kept.bytes, sealed=True)
        same = weight == kept
    else:
        stored = await there.put(piece.path, held(here.get(piece.path)), piece.bytes)
        weight = stored.kept
        same = (stored.bytes, stored.sha256) == (piece.bytes, piece.sha256)
    if not same:
        await there.delete(piece.path)
        raise Damaged(f"{piece.path} in {here.target()} is not what was stored there a moment ago")
    return weight
