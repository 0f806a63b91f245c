"""Base backups out of the storage into a data directory: resumable, verified by PostgreSQL's own programs."""

import asyncio
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mainstay.backup.fetch import Damaged, fetch
from mainstay.backup.look import Narrator
from mainstay.backup.physical.base import MANIFEST
from mainstay.backup.physical.cluster import Cluster
from mainstay.backup.physical.plan import Route
from mainstay.backup.physical.record import Base
from mainstay.backup.physical.tar import Unpacker
from mainstay.backup.physical.verify import differences
from mainstay.core.crash import point
from mainstay.core.errors import MainstayError
from mainstay.core.units import format_size
from mainstay.ports.objects.base import Storage

WORK = "mainstay_restore"
"""Folder in the data directory in which a restore keeps what it needs until it is done."""
STATE = "state.json"
"""Says in it how far the restore has come."""
ROOM = 1.1
KILLED = 128
"""From this exit code on a program was ended by a signal."""


@dataclass
class Progress:
    """How far a restore has come; written down, so that it can be taken up again."""

    file: Path
    base: str
    target: str
    unpacked: int = 0
    """Backups of the chain that are complete."""
    part: int = 0
    offset: int = 0
    """Where to begin in the next one: a part, and a byte of what is in it."""
    verified: bool = False
    replaying: bool = False
    """Whether the server was told to replay. It takes its signal away itself when it is through."""
    recovered: bool = False

    @classmethod
    def open(cls, data: Path, route: Route) -> "Progress":
        """Begin in an empty directory, or go on in one where this very restore was begun. Raises `MainstayError`."""
        file = data / WORK / STATE
        fresh = cls(file, route.base.id, f"{route.target.settings()} on {route.timeline}")
        if file.is_file():
            kept = _noted(file)
            if (kept.pop("base"), kept.pop("target")) != (fresh.base, fresh.target):
                raise MainstayError(
                    f"another restore was begun in {data}", hint="delete it, or name another directory"
                )
            return cls(file, fresh.base, fresh.target, **kept)
        work = data / WORK
        if (data / "PG_VERSION").exists() and work.is_dir() and not any(work.iterdir()):
            work.rmdir()  # the last thing that a restore takes away
            raise MainstayError(
                f"the restore that was begun in {data} is whole and checked; it was killed only before it said so",
                hint="start the server there, or name another directory",
            )
        if data.exists() and any(each.name != WORK for each in data.iterdir()):
            raise MainstayError(
                f"{data} is not empty", hint="name a directory that is empty or not there yet"
            )
        return fresh

    @property
    def begun(self) -> bool:
        """Whether something of it is there already."""
        return self.file.is_file()

    def keep(self) -> None:
        """Write it down."""
        body = {key: value for key, value in vars(self).items() if key != "file"}
        new = self.file.with_suffix(".new")
        with new.open("w") as file:
            file.write(json.dumps(body))
            file.flush()
            os.fsync(file.fileno())
        new.rename(self.file)


def _noted(file: Path) -> dict[str, Any]:
    try:
        kept: dict[str, Any] = json.loads(file.read_text())
    except ValueError:
        raise MainstayError(
            f"{file} is damaged, so nobody knows how far the restore came",
            hint="delete the directory, or name another one",
        ) from None
    return kept


async def materialise(told_to: Narrator, route: Route, cluster: Cluster, progress: Progress) -> None:
    """Fill the data directory from the base backups. Raises `Damaged`, `MainstayError`."""
    data = cluster.data
    _prepare(route, cluster, progress)
    point("restore.prepared")
    while progress.unpacked < len(route.chain):
        base = route.chain[progress.unpacked]
        folder = data if len(route.chain) == 1 else data / WORK / f"base-{progress.unpacked}"
        await _unpack(told_to, route, base, cluster, progress, folder)
        progress.unpacked, progress.part, progress.offset = progress.unpacked + 1, 0, 0
        progress.keep()
        point("restore.unpacked")
    if progress.verified:
        return
    if len(route.chain) > 1:
        await _combine(told_to, cluster, len(route.chain))
    await _verify(told_to, cluster, data, ignore=True)
    progress.verified = True
    progress.keep()
    point("restore.verified")
    # Not before: who is killed while they go has to combine them once more.
    for number in range(len(route.chain)) if len(route.chain) > 1 else ():
        await asyncio.to_thread(shutil.rmtree, data / WORK / f"base-{number}", ignore_errors=True)


def _prepare(route: Route, cluster: Cluster, progress: Progress) -> None:
    data = cluster.data
    for folder in (data, data / WORK, data / WORK / "wal"):
        _folder(cluster, folder)
    if progress.begun:
        return
    times = 1 if len(route.chain) == 1 else 2
    needed = int(ROOM * (times * sum(base.raw_bytes for base in route.chain))) + sum(
        s.size for s in route.segments
    )
    disk = os.statvfs(data)
    if disk.f_bavail * disk.f_frsize < needed:
        raise MainstayError(
            f"{format_size(needed)} are needed, {data} has {format_size(disk.f_bavail * disk.f_frsize)}",
            hint="name a directory on a larger disk",
        )
    progress.keep()


def _folder(cluster: Cluster, folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    cluster.owner.take(folder)


async def _unpack(
    told_to: Narrator, route: Route, base: Base, cluster: Cluster, progress: Progress, folder: Path
) -> None:
    _folder(cluster, folder)
    done = sum(each.bytes for each in route.chain[: progress.unpacked])
    unpacker = Unpacker(folder, cluster.owner.take)
    starts = [sum(part.raw_bytes for part in base.parts[:n]) for n in range(len(base.parts) + 1)]
    begin = starts[progress.part] + progress.offset
    unpacker.position = unpacker.boundary = begin
    try:
        for number in range(progress.part, len(base.parts)):
            part = base.parts[number]
            before = done + sum(each.bytes for each in base.parts[:number])

            def got(bytes: int, before: int = before) -> None:
                told_to.progress("fetching", before + bytes, route.base_bytes, "bytes")

            skip = progress.offset if number == progress.part else 0
            await _feed(route.archive.storage, part, unpacker, skip, got)
            # The file that is under way is written anew from its beginning, wherever that is.
            progress.part = max(n for n, start in enumerate(starts) if start <= unpacker.boundary)
            progress.offset = unpacker.boundary - starts[progress.part]
            progress.keep()
            point("restore.part")
            # What is kept is where to begin after a crash; we go on with the next part.
            progress.part, progress.offset = number + 1, 0
    finally:
        unpacker.close()
    if begin < starts[-1] and not unpacker.ended:
        raise Damaged(f"the archive of base backup {base.id} ends too early")


async def _feed(storage: Storage, part: Any, unpacker: Unpacker, skip: int, got: Any) -> None:
    """Unpack a part of an archive through a pipe: its own checksums are looked at before it is believed."""
    source, sink = os.pipe()

    def drain() -> None:
        left = skip
        with os.fdopen(source, "rb", buffering=0) as pipe:
            while data := pipe.read(1 << 18):
                if left >= len(data):
                    left -= len(data)
                    continue
                unpacker.take(data[left:])
                left = 0

    async def pour() -> None:
        try:
            await fetch(storage, part, sink, got)
        finally:
            os.close(sink)

    draining = asyncio.ensure_future(asyncio.to_thread(drain))
    try:
        await pour()
    except BrokenPipeError:
        pass  # the other side gave up, and says why
    finally:
        await draining


async def _combine(told_to: Narrator, cluster: Cluster, count: int) -> None:
    work = cluster.data / WORK
    made = work / "combined"
    shutil.rmtree(made, ignore_errors=True)
    folders = [str(work / f"base-{n}") for n in range(count)]
    if not cluster.tools.has("pg_combinebackup"):
        raise MainstayError(
            f"{cluster.tools} has no pg_combinebackup", hint="install the server's whole package"
        )
    for folder in folders:
        await _verify(told_to, cluster, Path(folder), ignore=False)
    code, said = await cluster.tool(
        "pg_combinebackup", "--manifest-checksums=SHA256", "-o", str(made), *folders
    )
    if code:
        raise Damaged(f"the incremental backups cannot be combined: {said[-400:]}")
    point("restore.combined")
    await asyncio.to_thread(_move, made, cluster.data)
    shutil.rmtree(made)
    told_to.log(f"combined {count} backups")


def _move(made: Path, data: Path) -> None:
    for each in made.iterdir():
        target = data / each.name
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        each.rename(target)
        point("restore.moved")


async def _verify(told_to: Narrator, cluster: Cluster, folder: Path, *, ignore: bool) -> None:
    ignored = ["--ignore", WORK] if ignore else []
    options = ["--no-parse-wal", "--exit-on-error", *ignored]
    code, said = await cluster.tool("pg_verifybackup", *options, str(folder))
    if code >= KILLED:
        # It fell over itself, which says nothing of the backup. One build of PostgreSQL 18 always does.
        told_to.log(f"pg_verifybackup of {cluster.tools} crashed; comparing without it")
        said = "; ".join(await asyncio.to_thread(differences, folder))
        code = 1 if said else 0
    if code:
        raise Damaged(f"the base backup is not what was read: {said[-400:]}")
    told_to.log(f"every file equals {MANIFEST}")
