"""A directory by restic: only what changed since the last backup is read and stored."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from mainstay.backup.compare import Judgement
from mainstay.backup.data.base import DataError, Landed, Landing, Taken, Taking, Trial
from mainstay.backup.data.directory import LISTING, compared, let_go, room_for
from mainstay.backup.data.files import Files
from mainstay.backup.data.landing import land_at, look_at
from mainstay.backup.data.restic_program import Done, Restic, ResticFault, as_argument, summary
from mainstay.backup.data.stable import Witness
from mainstay.backup.data.stream import file_written, written
from mainstay.backup.data.tree import Entry, excluder, printable
from mainstay.backup.dump import Meter
from mainstay.backup.manifest import DataManifest
from mainstay.core.job import RunContext
from mainstay.core.run import RunState
from mainstay.core.secret import Secret
from mainstay.ports.objects.base import Storage
from mainstay.store import backups

if TYPE_CHECKING:
    from mainstay.backup.ports import BackupPorts

ENDED = {state.value for state in RunState if state.ended}
SOME_UNREADABLE = 3


class ResticData(Files, type="restic"):
    """Every file below a directory, incrementally and without storing equal pieces twice, by `restic`.

    Its repository lies in the storage, in `.mainstay/restic/NAME`: a directory, or a bucket whose key may delete.
    restic encrypts it with `password`, whatever `encrypt` says. Snapshots go when `keep` lets their backups go.
    mainstay looks at the directory before and after, and lists what held still, with checksums of 200 files. The proof
    runs `restic check`, restores the snapshot and compares it with that list; `verify` reads the whole repository.
    """

    one_storage: ClassVar[bool] = True

    password: Secret = Field(examples=[{"secret": "restic_password"}])
    """What opens the repository. Without it nothing comes back: keep it elsewhere, too."""

    async def take(self, taking: Taking) -> Taken:
        await self.examine()
        at = taking.clock.now()
        repository = Restic(taking.storage, taking.name, self.password, taking.folder, taking.cache)
        info = await asyncio.to_thread(self.path.stat)
        witness = Witness(self.path, excluder(self.exclude), taking.folder)
        await asyncio.to_thread(witness.before)
        done = await self._snapshot(taking, repository)
        listing = await asyncio.to_thread(witness.after)
        snapshot = summary(done.text)
        # Of what it could not read, that which held still was there to be read; the rest came and went.
        there = await asyncio.to_thread(_listed, listing, done.unread(self.path))
        if there:
            await repository.run("forget", str(snapshot["snapshot_id"]))
            raise DataError(
                f"restic could not read {len(there)} entries, such as {printable(there[0])}",
                hint="let mainstay read them, or leave them out with `exclude`",
            )
        meter = Meter()
        await taking.put(LISTING, written(file_written(listing), meter, taking.rules.nice), meter)
        counted, unproven = witness.tally.counted, {}
        if witness.moved:
            taking.run.log(f"{witness.moved:,} entries changed meanwhile; they are not compared")
            unproven = {} if counted else {"entries": "none held still, so there is nothing to compare"}
        return Taken(
            at=at,
            program="restic",
            said=f"{witness.tally.said}, {witness.read} of them read",
            counted=counted,
            unproven=unproven,
            facts={
                "snapshot": str(snapshot["snapshot_id"]),
                "bytes": str(witness.tally.bytes),
                "mode": oct(info.st_mode & 0o7777),
                "uid": str(info.st_uid),
                "gid": str(info.st_gid),
            },
            besides=int(snapshot["data_added"]),
        )

    async def _snapshot(self, taking: Taking, repository: Restic) -> Done:
        leave = [word for each in self.exclude for word in ("--exclude", as_argument(self.path, each))]
        limit = ["--limit-upload", str(max(1, taking.rules.limit // 1024))] if taking.rules.limit else []
        words = [
            "backup",
            "--json",
            "--host",
            taking.name,
            "--tag",
            f"run:{taking.run.id}",
            *leave,
            *limit,
            ".",
        ]
        taking.run.progress("reading", 0, None, "bytes")
        return await repository.prepared(
            *words, cwd=self.path, nice=taking.rules.nice, fine=(0, SOME_UNREADABLE), make=True
        )

    async def tidy(self, run: RunContext, ports: "BackupPorts", name: str, storage: str) -> None:
        """Forget the snapshots whose backups were deleted, or were never finished."""
        async with _private() as folder:
            repository = Restic(ports.storage(storage), name, self.password, folder)
            old = []
            for made_by, snapshot in await repository.snapshots():
                backup = await ports.store.read(lambda tx, id_=made_by: backups.get(tx, id_))  # type: ignore[misc]
                state = await ports.store.read(lambda tx, id_=made_by: backups.run_state(tx, id_))  # type: ignore[misc]
                # What the journal does not know at all may be of a journal that was lost, and stays.
                gone = backup.deleted_at is not None if backup else state in ENDED
                old += [snapshot] if gone and made_by != run.id else []
            if old:
                await repository.prepared("forget", "--prune", *old)
                run.log(f"{len(old)} snapshots of restic forgotten in {storage}")

    async def sound(self, name: str, storage: Storage, cache: Path) -> list[str]:
        async with _private() as folder:
            try:
                await Restic(storage, name, self.password, folder).prepared("check", "--read-data")
            except ResticFault as fault:
                if not fault.damage:
                    raise
                return [fault.what]
        return []

    async def lacks(self, name: str, storage: Storage, manifest: DataManifest) -> list[str]:
        wanted = manifest.facts["snapshot"]
        async with _private() as folder:
            try:
                known = await Restic(storage, name, self.password, folder).snapshots()
            except ResticFault as fault:
                if not fault.damage:
                    raise
                return [fault.what]
        there = any(snapshot.startswith(wanted) for _, snapshot in known)
        return [] if there else [f"restic has no snapshot {wanted} any more"]

    @classmethod
    async def tried(cls, trial: Trial) -> Judgement:
        await asyncio.to_thread(room_for, trial.manifest, trial.folder)
        repository = _repository(trial)
        try:
            await repository.prepared("check")
        except ResticFault as fault:
            return _broken(trial, fault)
        trial.lap("download")
        root = trial.folder / "tree"
        try:
            return await _restored(trial, repository, root)
        finally:
            await asyncio.to_thread(let_go, root)

    @classmethod
    async def landing(cls, manifest: DataManifest, into: str, *, replace: bool) -> Landing:
        return await asyncio.to_thread(lambda: look_at(into, "directory", replace=replace))

    @classmethod
    async def land(cls, trial: Trial, into: str, *, replace: bool) -> Landed:
        repository = _repository(trial)
        await asyncio.to_thread(lambda: room_for(trial.manifest, Path(into).absolute().parent))

        async def fill(draft: Path) -> Judgement:
            judgement = await _restored(trial, repository, draft)
            await asyncio.to_thread(_open, trial.manifest, draft)
            return judgement

        return await land_at(trial, into, fill)


def _open(manifest: DataManifest, root: Path) -> None:
    """Give the directory itself the mode and, as root, the owner that it had: restic has only what is in it."""
    facts = manifest.facts
    if "mode" not in facts:
        return
    if os.geteuid() == 0:
        os.chown(root, int(facts["uid"]), int(facts["gid"]))
    root.chmod(int(facts["mode"], 8))


def _listed(listing: Path, paths: set[str]) -> list[str]:
    """Give those of some paths that are on a list."""
    if not paths:
        return []
    with listing.open("rb") as lines:
        return [entry.path for entry in map(Entry.parse, lines) if entry.path in paths]


@asynccontextmanager
async def _private() -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mainstay-restic-") as folder:
        yield Path(folder)


def _repository(trial: Trial) -> Restic:
    if not isinstance(trial.dataset, ResticData):
        raise DataError(
            f"nobody knows the password of {trial.backup.database}'s repository",
            hint=f"it belongs below data: {trial.backup.database}: restic: in the file",
        )
    return Restic(trial.storage, trial.backup.database, trial.dataset.password, trial.folder)


async def _restored(trial: Trial, repository: Restic, root: Path) -> Judgement:
    """Restore the snapshot into a new directory and compare it with what the witness saw."""
    listing = await trial.file(LISTING)
    await asyncio.to_thread(root.mkdir, 0o700)
    try:
        await repository.run("restore", trial.manifest.facts["snapshot"], "--target", str(root))
    except ResticFault as fault:
        return _broken(trial, fault)
    trial.lap("restore")
    trial.told_to.log("restored by restic; comparing with what was seen beside it")
    total = int(trial.manifest.facts.get("bytes", "0"))

    def read(done: int) -> None:
        trial.told_to.progress("comparing", done, max(done, total), "bytes")

    return await asyncio.to_thread(compared, trial.manifest, listing, root, read, witness=True)


def _broken(trial: Trial, fault: ResticFault) -> Judgement:
    """Judge a backup whose repository is damaged. Raises the fault when it says nothing about that."""
    from mainstay.backup.compare import AS_STORED, Difference
    from mainstay.backup.data.prove import judge

    if not fault.damage:
        raise fault
    return judge(trial.manifest, trial.manifest.counted, (Difference("object", AS_STORED, fault.what),))
