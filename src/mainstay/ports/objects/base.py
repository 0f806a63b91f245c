"""The contract of a storage: objects appear whole or not at all, and are read back before they count."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from mainstay.core.errors import MainstayError
from mainstay.core.plugin import Plugin

CHUNK = 1 << 20
"""Bytes that are read, hashed and written at a time."""
DAY = 86400.0


class StorageError(MainstayError):
    """The storage is full, not reachable, refused the request or gave back something else than it was given."""


class NotThere(StorageError):
    """There is no object at that path."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What was stored: `bytes` and the SHA-256 (hex) of exactly what lies there."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Entry:
    """An object in a storage: its size in bytes and when it was last changed, seconds since 1970."""

    path: str
    bytes: int
    modified: float


class Tally:
    """Counts and hashes a stream on its way."""

    def __init__(self) -> None:
        self.bytes = 0
        self._sha256 = hashlib.sha256()

    async def over(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Pass the chunks on, counted."""
        import asyncio

        async for chunk in chunks:
            if chunk:
                self.bytes += len(chunk)
                await asyncio.to_thread(self._sha256.update, chunk)
                yield chunk

    def stored(self, path: str) -> Stored:
        """Say what went by."""
        return Stored(path, self.bytes, self._sha256.hexdigest())


class Storage(Plugin, kind="storage"):
    """A place for objects with slash-separated paths.

    A type implements `write`, `get`, `head`, `delete`, `check`, `sweep`, `target` and `list`; everyone else calls
    `put`.
    """

    read_back: bool = True
    """Read every object back after writing it and compare its SHA-256. Servers have been seen to accept a wrong one."""

    async def put(self, path: str, chunks: AsyncIterator[bytes], expect: int = 0) -> Stored:
        """Store an object whole: nothing is visible at `path` before the last chunk is safe.

        An object that lies there already is replaced in one instant. When `chunks` raises, the exception comes out
        here and nothing has changed. `expect` is about how many bytes will come, if known. Raises `StorageError`.
        """
        tally = Tally()
        await self.write(safe_path(path), tally.over(chunks), expect)
        stored = tally.stored(path)
        if self.read_back:
            await self._compare(stored)
        return stored

    async def _compare(self, sent: Stored) -> None:
        found = await self.tally(sent.path)
        if found != sent:
            await self.delete(sent.path)
            raise StorageError(
                f"{self.target()} gave back {found.bytes} bytes with SHA-256 {found.sha256[:12]}... "
                f"for {sent.path}, sent were {sent.bytes} with {sent.sha256[:12]}...",
                hint="the object was deleted again; look at the disk or the provider's status",
            )

    async def tally(self, path: str) -> Stored:
        """Read an object to its end; give its size and SHA-256 as they lie there. Raises `NotThere`."""
        tally = Tally()
        async for _ in tally.over(self.get(path)):
            pass
        return tally.stored(path)

    async def read(self, path: str, most: int = 64 << 20) -> bytes:
        """Give a small object whole. Raises `NotThere`, and `StorageError` when it has more than `most` bytes."""
        parts: list[bytes] = []
        async for chunk in self.get(path):
            parts.append(chunk)
            if sum(map(len, parts)) > most:
                raise StorageError(f"{path} in {self.target()} is larger than {most} bytes")
        return b"".join(parts)

    async def write(self, path: str, chunks: AsyncIterator[bytes], expect: int) -> None:
        """Store the chunks, atomically."""
        raise NotImplementedError

    def get(self, path: str, start: int = 0) -> AsyncIterator[bytes]:
        """Give an object's bytes from `start` on. Raises `NotThere`."""
        raise NotImplementedError

    async def head(self, path: str) -> Entry | None:
        """Look at an object without reading it; None when it is not there."""
        raise NotImplementedError

    async def delete(self, path: str) -> None:
        """Delete an object. One that is not there is no fault."""
        raise NotImplementedError

    async def check(self) -> None:
        """Prove with a small object that writing, reading and deleting work. Raises `StorageError`."""
        await self.put(CHECK_PATH, chunked(b"mainstay was here\n"))
        await self.delete(CHECK_PATH)

    async def sweep(self, now: float, folder: str = "", age: float = DAY) -> int:
        """Clear away what killed uploads left below a folder; give how many.

        Where nobody can tell whether the uploader lives, only what is older than `age` seconds is cleared away. `now`
        is in seconds since 1970.
        """
        raise NotImplementedError

    def target(self) -> str:
        """Say in a few words where this is, without secrets."""
        raise NotImplementedError

    def list(self, folder: str = "") -> AsyncIterator[Entry]:
        """Give every object below a folder, in the order of the paths, however many there are."""
        raise NotImplementedError


CHECK_PATH = ".mainstay-check"


async def chunked(data: bytes, size: int = CHUNK) -> AsyncIterator[bytes]:
    """Give bytes as a stream."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


def safe_path(path: str) -> str:
    """Give the path back if it stays inside of the storage on every system. Raises `StorageError`."""
    parts = path.split("/")
    unsafe = any(part in ("", ".", "..") or part.endswith(PART) for part in parts)
    if unsafe or "\\" in path or not path.isprintable() or len(path.encode()) > 900:
        raise StorageError(f"{path!r} is not a path for an object")
    return path


PART = ".part"
"""How unfinished files end; no object may be called so."""
