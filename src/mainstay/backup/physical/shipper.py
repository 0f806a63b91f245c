"""From the spool to the storage: whole segments in order, then what is new of the unfinished one."""

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path

from mainstay.backup.physical.archive import Archive
from mainstay.backup.physical.layout import HISTORY, SEGMENT, Segment
from mainstay.core.crash import point
from mainstay.ports.objects.base import StorageError

PARTIAL, NEW = ".partial", ".new"
ABREAST = 3
"""So many segments are compressed and uploaded at once."""


@dataclass(slots=True)
class Spool:
    """What lies in a folder into which pg_receivewal writes, sorted by name."""

    folder: Path
    whole: list[str] = field(default_factory=list)
    partial: str | None = None
    histories: list[str] = field(default_factory=list)

    @classmethod
    def look(cls, folder: Path) -> "Spool":
        """List a folder; one that is not there is empty."""
        found = cls(folder)
        names = sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []
        found.whole = [name for name in names if SEGMENT.fullmatch(name)]
        found.histories = [name for name in names if HISTORY.fullmatch(name)]
        partials = [name.removesuffix(PARTIAL) for name in names if name.endswith(PARTIAL)]
        found.partial = max((name for name in partials if SEGMENT.fullmatch(name)), default=None)
        return found

    @property
    def tip(self) -> str | None:
        """The newest segment, whole or not."""
        return max([*self.whole[-1:], *([self.partial] if self.partial else [])], default=None)

    def end(self, timeline: int, size: int) -> int:
        """Give the position up to which there is log of a timeline, 0 for none; `size` is that of a segment."""
        wholes = [Segment.named(name, size) for name in self.whole[-1:]]
        ends = [each.end for each in wholes if each.timeline == timeline]
        if self.partial is not None and int(self.partial[:8], 16) == timeline:
            data, _ = _news(self.folder / f"{self.partial}{PARTIAL}", 0)
            ends.append(Segment.named(self.partial, size).start + len(data))
        return max(ends, default=0)

    def mend(self, size: int) -> None:
        """Delete an unfinished segment without its full size: a full disk left it, and the receiver refuses it."""
        for file in self.folder.glob(f"*{PARTIAL}"):
            if file.stat().st_size not in (0, size):
                file.unlink()
        for file in self.folder.glob(f"*{NEW}"):
            file.unlink()  # we were killed before it was planted

    def clear(self) -> None:
        """Delete everything in it."""
        for file in self.folder.iterdir() if self.folder.is_dir() else ():
            file.unlink(missing_ok=True)


class Shipper:
    """Ships one server's log. `floor` is the position below which everything is in the storage, in whole segments,
    `tip` the one below which everything is there at all; both None until something was shipped.
    """

    def __init__(self, archive: Archive, folder: Path) -> None:
        self.archive = archive
        self.folder = folder
        self.floor: int | None = None
        self.tip: int | None = None
        self.newest: str | None = None
        """The last segment that is there whole."""
        self.backlog = 0
        """Whole segments that wait."""
        self._kept: set[str] = set()
        self._offsets: dict[str, int] = {}
        self._tidy: list[str] = []
        self._turn = asyncio.Lock()

    async def ship(self) -> bool:
        """Ship what is new; give whether there was anything. Raises `StorageError`, `OSError`."""
        async with self._turn:
            spool = await asyncio.to_thread(Spool.look, self.folder)
            for name in spool.histories:
                await self._history(name)
            news = await self._wholes(spool)
            if spool.partial is not None:
                news = await self._partial(spool.partial) or news
            await self._clean(spool)
            return news

    async def begin_anew(self) -> None:
        """Forget what was shipped and delete the spool: the log is followed from another place on."""
        async with self._turn:
            await asyncio.to_thread(Spool(self.folder).clear)
            self.floor = self.tip = None
            self._kept.clear()
            self._offsets.clear()

    async def _history(self, name: str) -> None:
        found = HISTORY.fullmatch(name)
        if found is not None and name not in self._kept:
            await self.archive.put_history(int(found[1], 16), (self.folder / name).read_bytes())
            self._kept.add(name)

    async def _wholes(self, spool: Spool) -> bool:
        waiting = [name for name in spool.whole if name not in self._kept]
        self.backlog = len(waiting)
        for start in range(0, len(waiting), ABREAST):
            some = waiting[start : start + ABREAST]
            await asyncio.gather(*(self._whole(name) for name in some))
            self._kept.update(some)
            self.backlog -= len(some)
            self._reach(some[-1])
            point("wal.shipped")
        return bool(waiting)

    def _reach(self, name: str) -> None:
        segment = Segment.named(name, (self.folder / name).stat().st_size)
        self.floor = segment.end
        self.tip = max(self.tip or 0, segment.end)
        self.newest = name

    async def _whole(self, name: str) -> None:
        data = await asyncio.to_thread((self.folder / name).read_bytes)
        await self.archive.put_whole(name, data)
        point("wal.whole")
        self._tidy.append(name)
        self._offsets.pop(name, None)

    async def _partial(self, name: str) -> bool:
        start = self._offsets.get(name, 0)
        try:
            data, size = await asyncio.to_thread(_news, self.folder / f"{name}{PARTIAL}", start)
        except FileNotFoundError:
            return False  # it is whole now
        if not data:
            return False
        await self.archive.put_part(name, start, data)
        self._offsets[name] = start + len(data)
        # A record is filled up with zeros to a multiple of 8, which are there without being shipped.
        self.tip = Segment.named(name, size).start + -(-(start + len(data)) // 8) * 8
        point("wal.part_shipped")
        return True

    async def _clean(self, spool: Spool) -> None:
        """Delete what is in the storage: here all but the newest segment, there the pieces of whole ones."""
        for name in spool.whole[:-1]:
            if name in self._kept:
                (self.folder / name).unlink(missing_ok=True)
                point("wal.cleaned")
        try:
            while self._tidy:
                await self.archive.drop_parts(self._tidy[-1])
                self._tidy.pop()
        except StorageError:
            self._tidy.clear()  # a key that may not delete; retention's key clears it away


def _news(file: Path, start: int) -> tuple[bytes, int]:
    """Give what was written into a file of zeros since `start`, and the file's size.

    The end is looked for first and the bytes are read after that: what was written up to there stands by then, however
    the writer went on meanwhile.
    """
    handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(handle).st_size
        length = len(_read(handle, start, size).rstrip(b"\0"))
        return _read(handle, start, start + length), size
    finally:
        os.close(handle)


def _read(handle: int, start: int, end: int) -> bytes:
    parts: list[bytes] = []
    while start < end:
        data = os.pread(handle, min(1 << 20, end - start), start)
        if not data:
            break
        parts.append(data)
        start += len(data)
    return b"".join(parts)


def systems(folder: Path) -> list[str]:
    """Give the servers that have a spool below a folder."""
    return sorted(each.name for each in folder.iterdir() if each.is_dir())


def plant(folder: Path, name: str, data: bytes) -> None:
    """Put a whole segment where the receiver looks for the end of what it has, and nothing else."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    Spool(folder).clear()
    new = folder / f"{name}{NEW}"
    new.write_bytes(data)
    point("stream.seeded")
    new.rename(folder / name)
