"""The log in a storage: whole segments, pieces of the one that is being written, histories. Names carry hashes."""

import asyncio
import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

from mainstay.backup.fetch import Damaged
from mainstay.backup.physical.layout import Fork, Segment, read_history
from mainstay.core.crash import point
from mainstay.ports.objects.base import Entry, NotThere, Storage, StorageError, chunked

LEVEL = 3
WHOLE = re.compile(r".*/wal/[0-9A-F]{16}/([0-9A-F]{24})-([0-9a-f]{64})\.zst")
PART = re.compile(r".*/partial/([0-9A-F]{24})/([0-9A-F]{8})-([0-9A-F]{8})-([0-9a-f]{64})\.zst")
PAST = re.compile(r".*/history/([0-9A-F]{8})-([0-9a-f]{64})\.zst")


class Gone(Damaged):
    """An object is not there any more."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An object of the log: what it holds, where it lies, its size there and the SHA-256 (hex) of its contents.

    Of a piece `start` and `end` are its place in the segment; a whole one has neither.
    """

    name: str
    path: str
    bytes: int
    sha256: str
    start: int = 0
    end: int = 0


@dataclass
class Contents:
    """What lies in a storage of one server's log."""

    whole: dict[str, list[Kept]] = field(default_factory=dict)
    parts: dict[str, list[Kept]] = field(default_factory=dict)
    histories: dict[int, Kept] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        """Take an object in, by its name; others are passed over."""
        if kept := _kept(entry, WHOLE):
            self.whole.setdefault(kept.name, []).append(kept)
        elif kept := _kept(entry, PART):
            self.parts.setdefault(kept.name, []).append(kept)
        elif kept := _kept(entry, PAST):
            self.histories[int(kept.name, 16)] = kept

    def end(self, timeline: int, size: int) -> int:
        """Give the position up to which there is anything of a timeline, 0 for nothing. `size` is a segment's."""
        wholes = [Segment.named(name, size) for name in self.whole]
        ends = [each.end for each in wholes if each.timeline == timeline]
        for name, parts in self.parts.items():
            segment = Segment.named(name, size)
            if segment.timeline == timeline:
                ends.append(segment.start + max(part.end for part in parts))
        return max(ends, default=0)

    def newest(self) -> str | None:
        """Give the name of the newest whole segment of the newest timeline."""
        return max(self.whole, default=None)


class Archive:
    """One server's log in a storage, below the folder `home`."""

    def __init__(self, storage: Storage, home: str) -> None:
        self.storage = storage
        self.home = home

    def whole_path(self, name: str, sha256: str) -> str:
        """Where a whole segment lies."""
        return f"{self.home}/wal/{name[:16]}/{name}-{sha256}.zst"

    def part_path(self, name: str, start: int, end: int, sha256: str) -> str:
        """Where a piece of an unfinished segment lies."""
        return f"{self.home}/partial/{name}/{start:08X}-{end:08X}-{sha256}.zst"

    async def put(self, path: str, data: bytes) -> None:
        """Compress and store. Raises `StorageError`."""
        packed = await asyncio.to_thread(_pack, data)
        await self.storage.put(path, chunked(packed), len(packed))

    async def put_whole(self, name: str, data: bytes) -> None:
        """Store a whole segment, unless it lies there already. Raises `StorageError`."""
        path = self.whole_path(name, await asyncio.to_thread(_hash, data))
        if await self.storage.head(path) is None:
            await self.put(path, data)

    async def put_part(self, name: str, start: int, data: bytes) -> None:
        """Store a piece of a segment that begins at `start` in it. Raises `StorageError`."""
        sha256 = await asyncio.to_thread(_hash, data)
        await self.put(self.part_path(name, start, start + len(data), sha256), data)

    async def put_history(self, timeline: int, data: bytes) -> None:
        """Store a timeline's history. Raises `StorageError`."""
        path = f"{self.home}/history/{timeline:08X}-{_hash(data)}.zst"
        if await self.storage.head(path) is None:
            # Not encrypted: which segments belong together must be known where nothing can be decrypted.
            await self.storage.put_as_is(path, chunked(_pack(data)), sealed=False)

    async def drop_parts(self, name: str) -> None:
        """Delete the pieces of a segment that is there whole. Raises `StorageError`."""
        for kept in [entry async for entry in self.storage.list(f"{self.home}/partial/{name}")]:
            await self.storage.delete(kept.path)
            point("wal.part_dropped")

    async def contents(self) -> Contents:
        """List everything. Raises `StorageError`."""
        found = Contents()
        for folder in ("wal", "partial", "history"):
            async for entry in self.storage.list(f"{self.home}/{folder}"):
                found.add(entry)
        return found

    async def read(self, kept: Kept) -> bytes:
        """Give what an object holds. Raises `Damaged` when it is not what was stored, `StorageError`."""
        try:
            packed = await self.storage.read(kept.path, most=1 << 31)
        except NotThere:
            raise Gone(f"{kept.path} is gone from {self.storage.target()}") from None
        data = await asyncio.to_thread(_unpack, packed)
        if data is None or await asyncio.to_thread(_hash, data) != kept.sha256:
            raise Damaged(f"{kept.path} in {self.storage.target()} was changed")
        return data

    async def segment(self, contents: Contents, segment: Segment) -> bytes | None:
        """Give a segment's bytes, put together from pieces when it is not there whole; None when there is nothing.

        Raises `Damaged`, and when two different ones have its name: then two servers wrote the same log.
        """
        whole = contents.whole.get(segment.name, [])
        if len(whole) > 1:
            raise Damaged(
                f"there are {len(whole)} different segments {segment.name} in {self.storage.target()}: "
                "two servers wrote under one name"
            )
        if whole:
            return await self.read(whole[0])
        try:
            return await self._assembled(contents.parts.get(segment.name, []), segment.size)
        except Gone:
            # It became whole since it was listed, and its pieces went.
            whole = await self._whole(segment.name)
            if not whole:
                raise
        contents.whole[segment.name] = whole
        return await self.segment(contents, segment)

    async def _whole(self, name: str) -> list[Kept]:
        listed = [_kept(entry, WHOLE) async for entry in self.storage.list(f"{self.home}/wal/{name[:16]}")]
        return [kept for kept in listed if kept is not None and kept.name == name]

    async def _assembled(self, parts: list[Kept], size: int) -> bytes | None:
        made = bytearray(size)
        end = 0
        for part in sorted(parts, key=lambda part: (part.start, -part.end)):
            if part.start > end:
                break
            data, both = await self.read(part), min(end, part.end)
            if made[part.start : both] != data[: both - part.start]:
                raise Damaged(
                    f"pieces of segment {part.name} in {self.storage.target()} differ: "
                    "two servers wrote under one name"
                )
            if part.end > end:
                made[part.start : part.end] = data
                end = part.end
        return bytes(made) if end else None

    async def forks(self, contents: Contents, timeline: int) -> list[Fork]:
        """Give the ancestors of a timeline, the oldest first. Raises `Damaged`."""
        kept = contents.histories.get(timeline)
        if kept is None:
            if timeline > 1:
                raise Damaged(f"the history of timeline {timeline} is not in {self.storage.target()}")
            return []
        return list(read_history((await self.read(kept)).decode(errors="replace")))


def _kept(entry: Entry, pattern: re.Pattern[str]) -> Kept | None:
    found = pattern.fullmatch(entry.path)
    if found is None:
        return None
    name, *place, sha256 = found.groups()
    start, end = (int(each, 16) for each in place) if place else (0, 0)
    return Kept(name, entry.path, entry.bytes, sha256, start, end)


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _pack(data: bytes) -> bytes:
    import zstandard

    packed: bytes = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compress(data)
    return packed


def _unpack(packed: bytes) -> bytes | None:
    import zstandard

    unpack: Any = zstandard.ZstdDecompressor()
    try:
        data: bytes = unpack.decompress(packed)
    except zstandard.ZstdError:
        return None
    return data


__all__ = ["Archive", "Contents", "Kept", "StorageError"]
