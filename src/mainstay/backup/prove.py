"""The proof: a backup is fetched, restored into a throwaway server and compared with what was counted when it was
taken.
"""

import asyncio
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from mainstay.backup.compare import Difference, Judgement, compare
from mainstay.backup.fetch import Damaged, fetched
from mainstay.backup.load import create_database, load_archive, load_roles
from mainstay.backup.look import look
from mainstay.backup.manifest import Manifest, ManifestError, load
from mainstay.backup.ports import BackupPorts
from mainstay.core.crash import point
from mainstay.core.errors import MainstayError
from mainstay.core.ids import new_id
from mainstay.core.job import RunContext
from mainstay.core.units import format_size
from mainstay.ports.objects.base import NotThere, Storage
from mainstay.ports.postgres.dsn import Dsn, PostgresError
from mainstay.ports.postgres.sandbox import Sandbox, sandbox
from mainstay.ports.postgres.tools import Toolset
from mainstay.ports.scratch import Workspace
from mainstay.store.backups import Backup, BackupState, Proof

# pg_restore names these as errors of a statement, but they are faults of this machine and say nothing of the backup.
OUR_FAULT = re.compile(
    "No space left on device|Disk quota exceeded|server closed the connection|terminating connection|out of memory|"
    "could not connect|connection to server|Read-only file system"
)
ROOM = 1.3
"""How much room a restored copy may need, as a multiple of the size of the original."""


@dataclass(frozen=True, slots=True)
class Proven:
    """A judgement with how it was reached: with which programs, how long each part took in seconds."""

    judgement: Judgement
    server: str
    seconds: dict[str, float]


async def prove(run: RunContext, ports: BackupPorts, backup: Backup) -> Proof:
    """Restore and compare a backup; give the proof, which is not yet in the journal.

    A verdict is about the backup. When it cannot be reached (no room, no programs, storage not reachable) the
    exception comes out and the backup stays what it was. Raises `MainstayError`.
    """
    begun = ports.clock.monotonic()
    storage = ports.storage(backup.storage)
    run.log(f"proving {backup.id} of {backup.database}: {backup.rows:,} rows in {backup.tables} tables")
    try:
        manifest = await load(storage, backup.path)
        _same_manifest(backup, manifest)
        proven = await _prove(run, ports, storage, manifest)
    except (Damaged, ManifestError) as fault:
        proven = Proven(_failed("object", str(fault)), "", {})
    except NotThere:
        proven = Proven(_failed("manifest", f"it is gone from {storage.target()}"), "", {})
    judgement = proven.judgement
    for difference in judgement.differences:
        run.log(f"DIFFERENT {difference}")
    for thing, why in judgement.unproven.items():
        run.log(f"unproven {thing}: {why}")
    run.log(f"{judgement.verdict.value}: {judgement.summary()}")
    point("prove.compared")
    return Proof(
        id=new_id(ports.clock.now()),
        backup=backup.id,
        at=ports.clock.now(),
        verdict=judgement.verdict,
        summary=judgement.summary(),
        seconds=round(ports.clock.monotonic() - begun, 3),
        tables=judgement.tables,
        rows=judgement.rows,
        detail=_detail(proven),
        run=run.id,
    )


def _failed(what: str, found: str) -> Judgement:
    return Judgement(BackupState.FAILED, (Difference(what, "as it was stored", found),))


def _detail(proven: Proven) -> dict[str, object]:
    return {
        "differences": [asdict(found) for found in proven.judgement.differences],
        "unproven": proven.judgement.unproven,
        "complaints": list(proven.judgement.complaints),
        "server": proven.server,
        "seconds": proven.seconds,
    }


def _same_manifest(backup: Backup, manifest: Manifest) -> None:
    if manifest.seal() != backup.manifest:
        raise ManifestError("the manifest is not the one that was written: somebody replaced it")


async def _prove(run: RunContext, ports: BackupPorts, storage: Storage, manifest: Manifest) -> Proven:
    watch = Stopwatch(ports)
    toolset = await asyncio.to_thread(
        ports.tools.server,
        max(manifest.server.major, manifest.pg_dump_major),
        manifest.schema_.extensions.keys(),
    )
    restore = await asyncio.to_thread(ports.tools.restorer, manifest.pg_dump_major, toolset)
    psql = await asyncio.to_thread(ports.tools.psql)
    with ports.scratch.workspace() as space:
        _room(manifest, space.path)
        roles = await fetched(storage, manifest.globals, space.path / "globals.sql")
        archive = await fetched(storage, manifest.dump, space.path / "dump.pgc")
        watch.lap("download")
        point("prove.downloaded")
        run.log(f"fetched {format_size(manifest.bytes)}, hashes match; restoring into {toolset}")
        async with sandbox(toolset, space) as server:
            dsn, notes = await _restored(run, server, manifest, psql, restore, roles, archive, space)
            watch.lap("restore")
            point("prove.restored")
            copy = await look(run, dsn, manifest, toolset.major, notes)
            watch.lap("compare")
    return Proven(compare(manifest, copy), str(toolset), watch.laps)


class Stopwatch:
    """Takes the time of each part."""

    def __init__(self, ports: BackupPorts) -> None:
        self._clock = ports.clock
        self._last = self._clock.monotonic()
        self.laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """The part `name` ends now."""
        now = self._clock.monotonic()
        self.laps[name] = round(now - self._last, 3)
        self._last = now


def _room(manifest: Manifest, folder: Path) -> None:
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    needed = manifest.dump.raw_bytes + ROOM * manifest.server.bytes
    if free < needed:
        raise MainstayError(
            f"no room to prove {manifest.database}: {format_size(needed)} are needed, {folder} has {format_size(free)}",
            hint="free some space, or set state_dir to a larger disk",
        )


async def _restored(
    run: RunContext,
    server: Sandbox,
    manifest: Manifest,
    psql: Toolset,
    restore: Toolset,
    roles: Path,
    archive: Path,
    space: Workspace,
) -> tuple[Dsn, list[str]]:
    await load_roles(psql, server.dsn(), roles, space.path)
    name = "proof" if manifest.name in ("postgres", "template0", "template1") else manifest.name
    foreign = await create_database(server.dsn(), name, manifest.server)
    if foreign:
        run.log(f"this machine does not know the locale {foreign}: restoring with C")
    dsn = server.dsn(name)
    done = 0

    def item() -> None:
        nonlocal done
        done += 1
        run.progress("restoring", done, len(manifest.tables), "tables")

    complaints = await load_archive(restore, dsn, archive, space.path, on_item=item)
    for line in complaints:
        run.log(f"pg_restore: {line}")
        if OUR_FAULT.search(line):
            raise PostgresError(
                f"the proof could not be finished: {line}", hint="look at the disk and the memory"
            )
    return dsn, complaints
