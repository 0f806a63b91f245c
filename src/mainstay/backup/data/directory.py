"""A directory: every file, streamed as one archive, with a list of checksums beside it."""

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from mainstay.backup.compare import Judgement
from mainstay.backup.data.archive import CHANGED, Archiver
from mainstay.backup.data.base import Landed, Landing, Taken, Taking, Trial
from mainstay.backup.data.files import Files
from mainstay.backup.data.landing import land_at, look_at
from mainstay.backup.data.stream import file_written, written
from mainstay.backup.data.tree import Entry, Tally, differences, excluder, pairs, read_tree, size_of
from mainstay.backup.data.unpack import unpack
from mainstay.backup.dump import Meter
from mainstay.backup.manifest import DataManifest
from mainstay.backup.together import together
from mainstay.core.errors import MainstayError
from mainstay.core.units import format_size

TREE = "tree.tar.zst"
LISTING = "files.jsonl.zst"
ROOM = 1.05
"""How much room a restored copy may need, as a multiple of the size of its files."""


class DirectoryData(Files, type="directory", shorthand="path"):
    """Every file below a directory: contents, links, modes, owners and times, in one compressed `tar`.

    No full-size copy lies on this machine. The proof unpacks it and compares every entry and the SHA-256 of every file.
    A file that changed while it was read is named, and the backup counts as partially proven. Sockets, pipes, devices,
    access control lists and extended attributes are left out.
    """

    async def take(self, taking: Taking) -> Taken:
        await self.examine()
        at, listing = taking.clock.now(), taking.folder / "files.jsonl"
        archiver = Archiver(self.path, excluder(self.exclude), listing)
        meter = Meter(on_bytes=lambda done: taking.run.progress("reading", done, None, "bytes"))
        size = await asyncio.to_thread(size_of, self.path, excluder(self.exclude))
        await taking.put(TREE, written(archiver.write, meter, taking.rules.nice), meter, size // 3)
        meter = Meter()
        await taking.put(LISTING, written(file_written(listing), meter), meter)
        if archiver.vanished:
            taking.run.log(f"{archiver.vanished:,} entries vanished before they were read")
        if archiver.left:
            taking.run.log(f"{archiver.left:,} sockets, pipes or devices are left out")
        return Taken(
            at=at,
            program="tar",
            said=archiver.tally.said,
            counted=archiver.tally.counted,
            unproven=dict.fromkeys(archiver.changed, CHANGED),
            facts={"bytes": str(archiver.tally.bytes), "exclude": ", ".join(self.exclude)},
        )

    @classmethod
    async def tried(cls, trial: Trial) -> Judgement:
        room_for(trial.manifest, trial.folder)
        root = trial.folder / "tree"
        try:
            return await _restored(trial, root)
        finally:
            await asyncio.to_thread(let_go, root)

    @classmethod
    async def landing(cls, manifest: DataManifest, into: str, *, replace: bool) -> Landing:
        return await asyncio.to_thread(lambda: look_at(into, "directory", replace=replace))

    @classmethod
    async def land(cls, trial: Trial, into: str, *, replace: bool) -> Landed:
        await asyncio.to_thread(lambda: room_for(trial.manifest, Path(into).absolute().parent))
        return await land_at(trial, into, lambda draft: _restored(trial, draft))


def room_for(manifest: DataManifest, folder: Path) -> None:
    """Make sure that a copy fits into a folder. Raises `MainstayError`."""
    disk = os.statvfs(folder)
    free, needed = disk.f_bavail * disk.f_frsize, int(ROOM * int(manifest.facts.get("bytes", "0")))
    if free < needed:
        raise MainstayError(
            f"no room for a copy of {manifest.database}: {format_size(needed)} are needed, "
            f"{folder} has {format_size(free)}",
            hint="free some space, or put state_dir on a larger disk",
        )


async def _restored(trial: Trial, root: Path) -> Judgement:
    """Unpack into a new directory and compare it with the list."""
    listing = await trial.file(LISTING)
    source, sink = os.pipe()

    await together(trial.feed(TREE, sink), asyncio.to_thread(_unpack, source, root))
    trial.lap("restore")
    trial.told_to.log(f"unpacked {trial.manifest.said}; comparing every file")
    total = int(trial.manifest.facts.get("bytes", "0"))

    def read(done: int) -> None:
        trial.told_to.progress("comparing", done, total, "bytes")

    return await asyncio.to_thread(compared, trial.manifest, listing, root, read)


def let_go(root: Path) -> None:
    """Make every directory of a copy such that it can be deleted, by others than root, too."""
    if os.geteuid() != 0:
        for folder, _, _ in os.walk(root, onerror=None):
            for path in Path(folder).iterdir():
                if path.is_dir() and not path.is_symlink():
                    path.chmod(0o700)


def _unpack(source: int, root: Path) -> None:
    with os.fdopen(source, "rb", 1 << 20) as stream:
        unpack(stream, root)


def compared(
    manifest: DataManifest,
    listing: Path,
    root: Path,
    on_bytes: Callable[[int], None],
    *,
    witness: bool = False,
) -> Judgement:
    """Compare a restored tree with its list; with a `witness`'s, which need not name everything nor every checksum."""
    from mainstay.backup.data.prove import judge

    tally, owners = Tally(), os.geteuid() == 0
    foreign = 0

    def expected(lines: Iterable[bytes]) -> Iterator[Entry]:
        nonlocal foreign
        for line in lines:
            entry = Entry.parse(line)
            foreign += not owners and entry.uid != os.geteuid()
            yield entry

    def found(seen: Iterable[Entry]) -> Iterator[Entry]:
        for entry in seen:
            tally.add(entry)
            yield entry

    with listing.open("rb") as lines, listing.open("rb") as again:
        copy = read_tree(root, on_bytes)
        if witness:
            copy = _as_witnessed(copy, map(Entry.parse, again))
        told, count = differences(expected(lines), found(copy), owners=owners)
    doubts = {"owners": f"only root can give {foreign:,} files back to their owners"} if foreign else {}
    if count > len(told):
        doubts["differences"] = f"{count - len(told):,} more differences are not listed"
    return judge(manifest, tally.counted, tuple(told), doubts)


def _as_witnessed(copy: Iterator[Entry], listed: Iterator[Entry]) -> Iterator[Entry]:
    """Of a copy, give what is on the list, without a checksum where the list has none."""
    for there, seen in pairs(copy, listed, lambda entry: entry.place):
        if there is not None and seen is not None:
            yield there if seen.sha256 else there._replace(sha256="")
