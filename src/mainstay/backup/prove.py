"""The proof: a backup is fetched, restored into a throwaway server and compared with what was counted when it was
taken.
"""

import asyncio
from dataclasses import asdict
from typing import Any

from mainstay.backup.compare import AS_STORED, Difference, Judgement
from mainstay.backup.data.prove import prove_data
from mainstay.backup.fetch import Damaged, unlike
from mainstay.backup.label import own_manifest, weight_of
from mainstay.backup.manifest import MANIFEST, DataManifest, Manifest, ManifestError, read_manifest
from mainstay.backup.ports import BackupPorts
from mainstay.backup.stopwatch import Proven, Stopwatch
from mainstay.backup.trial import Kit, Trial
from mainstay.core.crash import point
from mainstay.core.ids import new_id
from mainstay.core.job import RunContext
from mainstay.core.units import format_size
from mainstay.ports.objects.base import NotThere, Storage
from mainstay.ports.objects.seal import NoKey
from mainstay.ports.postgres.sandbox import sandbox
from mainstay.store.backups import Backup, BackupState, Proof

OBJECTS = ("object", "manifest")
"""What differs when something in the storage is damaged or gone."""
SHOWN = 100
"""Lines of a kind in the log; the proof keeps all."""


async def prove(run: RunContext, ports: BackupPorts, backup: Backup) -> Proof:
    """Restore and compare a backup; give the proof, which is not yet in the journal.

    A verdict is about the backup. When it cannot be reached (no room, no programs, storage not reachable) the
    exception comes out and the backup stays what it was. Raises `MainstayError`.
    """
    begun = ports.clock.monotonic()
    storage = ports.storage(backup.storage)
    run.log(f"proving {backup.id} of {backup.database}: {read_manifest(backup.manifest).contents}")
    try:
        manifest = await own_manifest(storage, backup)
        if isinstance(manifest, DataManifest):
            proven = await prove_data(run, ports, storage, backup, manifest)
        else:
            proven = await _prove(run, ports, storage, backup, manifest)
    except (Damaged, ManifestError) as fault:
        proven = Proven(_failed("object", str(fault)), "", {})
    except NoKey:
        changed = await unlike(storage, f"{backup.path}/{MANIFEST}", weight_of(backup, MANIFEST))
        if changed is None:
            raise
        proven = Proven(_failed("object", changed), "", {})
    except NotThere:
        proven = Proven(_failed("manifest", f"its manifest is gone from {storage.target()}"), "", {})
    judgement = proven.judgement
    for difference in judgement.differences[:SHOWN]:
        run.log(f"DIFFERENT {difference}")
    for thing, why in list(judgement.unproven.items())[:SHOWN]:
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


def damaged(proof: Proof) -> bool:
    """Whether it failed because of what lies in the storage, before anything was restored."""
    found: Any = proof.detail["differences"]
    return any(each["what"] in OBJECTS for each in found)


def _failed(what: str, found: str) -> Judgement:
    return Judgement(BackupState.FAILED, (Difference(what, AS_STORED, found),))


def _detail(proven: Proven) -> dict[str, object]:
    return {
        "differences": [asdict(found) for found in proven.judgement.differences],
        "unproven": proven.judgement.unproven,
        "complaints": list(proven.judgement.complaints),
        "server": proven.server,
        "seconds": proven.seconds,
    }


async def _prove(
    run: RunContext, ports: BackupPorts, storage: Storage, backup: Backup, manifest: Manifest
) -> Proven:
    watch = Stopwatch(ports)
    kit = await asyncio.to_thread(Kit.choose, ports.tools, manifest)
    with ports.scratch.workspace() as space:
        trial = Trial(backup, manifest, storage, kit, space.path, run)
        roles, archive = await trial.fetch()
        watch.lap("download")
        point("prove.downloaded")
        run.log(f"fetched {format_size(manifest.bytes)}, hashes match; restoring into {kit.server}")
        async with sandbox(kit.server, space) as server:
            dsn, complaints = await trial.restore(server, roles, archive)
            watch.lap("restore")
            judgement = await trial.judge(dsn, complaints)
            watch.lap("compare")
    return Proven(judgement, str(kit.server), watch.laps)
