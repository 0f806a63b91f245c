"""Proving, and restoring, a backup of other data than PostgreSQL's."""

from collections.abc import Mapping

from mainstay.backup.compare import Difference, Judgement
from mainstay.backup.data.base import Landed, Landing, Trial, dataset_type
from mainstay.backup.fingerprint import Counted
from mainstay.backup.label import own_manifest
from mainstay.backup.look import Narrator
from mainstay.backup.manifest import DataManifest
from mainstay.backup.ports import BackupPorts
from mainstay.backup.stopwatch import Proven, Stopwatch
from mainstay.core.crash import point
from mainstay.core.errors import MainstayError
from mainstay.core.job import RunContext
from mainstay.ports.objects.base import Storage
from mainstay.store import backups
from mainstay.store.backups import Backup, BackupState


def judge(
    manifest: DataManifest,
    found: Mapping[str, Counted],
    differences: tuple[Difference, ...] = (),
    unproven: Mapping[str, str] | None = None,
) -> Judgement:
    """Compare what a restored copy holds with the manifest; `differences` are what else is not as it was."""
    known = manifest.counted.keys() | found.keys()
    parts = {name: (manifest.counted.get(name), found.get(name)) for name in sorted(known)}
    wrong = [
        Difference(name, _said(expected), _said(there))
        for name, (expected, there) in parts.items()
        if expected != there
    ]
    # What says more comes first; sums alone only say that something is not as it was.
    all_ = (*differences, *wrong)
    doubts = {**manifest.unproven, **(unproven or {})}
    verdict = BackupState.FAILED if all_ else BackupState.PARTIAL if doubts else BackupState.PROVEN
    return Judgement(verdict, all_, doubts, (), manifest.parts, manifest.rows, manifest.said)


def _said(counted: Counted | None) -> str:
    return "missing" if counted is None else f"{counted.rows:,} with checksum {counted.sum[:16]}"


async def prove_data(
    run: RunContext, ports: BackupPorts, storage: Storage, backup: Backup, manifest: DataManifest
) -> Proven:
    """Restore a backup in a scratch directory and compare it. Raises `MainstayError`, `Damaged`."""
    watch, kind = Stopwatch(ports), dataset_type(manifest.kind)
    with ports.scratch.workspace() as space:
        trial = Trial(
            backup, manifest, storage, space, run, ports.clock, watch.lap, ports.data.get(backup.database)
        )
        judgement = await kind.tried(trial)
        watch.lap("compare")
    point("prove.restored")
    return Proven(judgement, manifest.program, watch.laps)


async def _known(ports: BackupPorts, id: str) -> tuple[Backup, DataManifest]:
    backup = await ports.store.read(lambda tx: backups.get(tx, id))
    if backup is None or backup.deleted_at is not None:
        raise MainstayError(f"there is no backup {id}", hint="mainstay backup list")
    manifest = await own_manifest(ports.storage(backup.storage), backup)
    if not isinstance(manifest, DataManifest):
        raise MainstayError(f"{id} is a backup of a database", hint="name one as postgresql://...")
    return backup, manifest


async def plan_data(ports: BackupPorts, id: str, into: str, *, replace: bool) -> tuple[DataManifest, Landing]:
    """Say what a restore would do; change nothing. Raises `MainstayError`."""
    _, manifest = await _known(ports, id)
    return manifest, await dataset_type(manifest.kind).landing(manifest, into, replace=replace)


async def restore_data(told_to: Narrator, ports: BackupPorts, id: str, into: str, *, replace: bool) -> Landed:
    """Restore a backup and compare the copy with it. Raises `MainstayError`."""
    backup, manifest = await _known(ports, id)
    kind = dataset_type(manifest.kind)
    landing = await kind.landing(manifest, into, replace=replace)
    if landing.refused:
        raise MainstayError(f"nothing is restored: {landing.refused}", hint=landing.remedy)
    with ports.scratch.workspace() as space:
        trial = Trial(
            backup, manifest, ports.storage(backup.storage), space, told_to, ports.clock,
            dataset=ports.data.get(backup.database),
        )  # fmt: skip
        done = await kind.land(trial, into, replace=replace)
    told_to.log(done.judgement.summary())
    return done
