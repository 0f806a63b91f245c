"""The same backup in a second storage: streamed from the first, compared with what the manifest says."""

from mainstay.backup.fetch import Damaged
from mainstay.backup.manifest import Piece, load, save
from mainstay.backup.ports import BackupPorts
from mainstay.backup.take import finished, record
from mainstay.core.job import RunContext
from mainstay.core.units import format_size
from mainstay.ports.objects.base import Storage
from mainstay.store.backups import Backup


async def copy(run: RunContext, ports: BackupPorts, backup: Backup, name: str) -> Backup:
    """Copy a backup to another storage and record it there. Repeating it is safe. Raises `MainstayError`."""
    here, there = ports.storage(backup.storage), ports.storage(name)
    manifest = await load(here, backup.path)
    if await finished(there, backup.path) != manifest:
        await there.sweep(ports.clock.now(), backup.path, age=0)  # nobody else writes there
        for piece in (manifest.dump, manifest.globals):
            await _piece(here, there, piece)
        await save(there, backup.path, manifest)
        run.log(f"copied {format_size(manifest.bytes)} to {there.target()}")
    return await record(ports, manifest, name, backup.path, run.id)


async def _piece(here: Storage, there: Storage, piece: Piece) -> None:
    stored = await there.put(piece.path, here.get(piece.path), piece.bytes)
    if (stored.bytes, stored.sha256) != (piece.bytes, piece.sha256):
        await there.delete(piece.path)
        raise Damaged(f"{piece.path} in {here.target()} is not what was stored there a moment ago")
