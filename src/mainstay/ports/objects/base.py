"""The contract of a storage: objects appear whole or not at all, and are read back before they count."""

import hashlib
import itertools
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import ClassVar

from mainstay.core.errors import MainstayError
from mainstay.core.plugin import Plugin
from mainstay.ports.objects.seal import Encryption

CHUNK = 1 << 20
"""Bytes that are read, hashed and written at a time."""
DAY = 86400.0


class StorageError(MainstayError):
    """The storage is full, not reachable, refused the request or gave back something else than it was given."""


class NotThere(StorageError):
    """There is no object at that path."""


class Denied(StorageError):
    """The storage answers, and does not let us do this."""


@dataclass(frozen=True, slots=True)
class Weight:
    """How many bytes something has, and their SHA-256 (hex)."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Stored:
    """What was stored: `bytes` and the SHA-256 (hex) of exactly what `get` gives back.

    `kept` is what lies there; it is something else when it was encrypted on its way.
    """

    path: str
    bytes: int
    sha256: str
    kept: Weight


@dataclass(frozen=True, slots=True)
class Entry:
    """An object in a storage: its size in bytes there and when it was last changed, seconds since 1970.

    `sealed` is whether it is encrypted, and so has `.age` at the end of its name there.
    """

    path: str
    bytes: int
    modified: float
    sealed: bool = False


@dataclass(frozen=True, slots=True)
class Powers:
    """What the storage lets us do beside writing and listing, and what it says the time is (seconds since 1970)."""

    read: bool
    delete: bool
    now: float | None = None


@dataclass(frozen=True, slots=True)
class Native:
    """A place as programs like restic name it, and the secrets (environment) that they need for it."""

    address: str
    environment: dict[str, str] = field(default_factory=dict, repr=False)


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

    @property
    def weight(self) -> Weight:
        """Say what went by."""
        return Weight(self.bytes, self._sha256.hexdigest())


class Storage(Plugin, kind="storage"):
    """A place for objects with slash-separated paths.

    A type implements `write`, `fetch`, `look`, `remove`, `walk`, `sweep` and `target`, which know nothing of
    encryption; everyone else calls the other methods.
    """

    remote: ClassVar[bool] = True
    """Whether it has a clock of its own."""

    read_back: bool = True
    """Read every object back after writing it and compare its SHA-256. Servers have been seen to accept a wrong one."""
    encrypt: Encryption | None = None
    """Encrypt everything before it leaves this machine, in the format of `age`."""
    write_only: bool = False
    """The key may write and list, and no more: nothing is read back, proven or deleted here; do that elsewhere."""

    async def put(self, path: str, chunks: AsyncIterator[bytes], expect: int = 0) -> Stored:
        """Store an object whole, encrypted if that is configured: nothing is visible before the last chunk is safe.

        An object that lies there already is replaced in one instant. When `chunks` raises, the exception comes out
        here and nothing has changed. `expect` is about how many bytes will come, if known. Raises `StorageError`.
        """
        own_path(path)
        if self.encrypt is None:
            kept = await self._put(path, chunks, expect)
            return Stored(path, kept.bytes, kept.sha256, kept)
        content = Tally()
        async with aclosing(self.encrypt.seal(content.over(chunks))) as sealed:
            kept = await self._put(path + SEALED, sealed, expect)
        return Stored(path, content.weight.bytes, content.weight.sha256, kept)

    async def put_as_is(
        self, path: str, chunks: AsyncIterator[bytes], expect: int = 0, *, sealed: bool
    ) -> Weight:
        """Store what is encrypted already (`sealed`), or what everybody may read. Raises `StorageError`."""
        return await self._put(own_path(path) + SEALED if sealed else own_path(path), chunks, expect)

    async def _put(self, name: str, chunks: AsyncIterator[bytes], expect: int) -> Weight:
        tally = Tally()
        await self.write(name, tally.over(chunks), expect)
        sent = tally.weight
        if self.write_only:
            await self._seen(name, sent)
        elif self.read_back:
            await self._compare(name, sent)
        await self.guard(name)
        return sent

    async def guard(self, name: str) -> None:
        """Called when an object is safe: what a type can do to keep it so. Raises `StorageError`."""

    async def doubt(self) -> str | None:
        """Say what is wrong with how the storage is set up, which `check` does not notice; None when nothing is."""
        return None

    async def _compare(self, name: str, sent: Weight) -> None:
        there = await self.look(name)
        found = Weight(0, "nothing") if there is None else await _weigh(self.fetch(there))
        if found != sent:
            await self.remove(name)
            raise StorageError(
                f"{self.target()} gave back {found.bytes} bytes with SHA-256 {found.sha256[:12]}... "
                f"for {name}, sent were {sent.bytes} with {sent.sha256[:12]}...",
                hint="the object was deleted again; look at the disk or the provider's status",
            )

    async def _seen(self, name: str, sent: Weight) -> None:
        """All that a key for writing only can do: look whether it is listed with its size."""
        async for entry in self.walk(name.rpartition("/")[0]):
            if entry.path == name and entry.bytes == sent.bytes:
                return
        raise StorageError(
            f"{self.target()} does not list {name} with the {sent.bytes:,} bytes that were sent"
        )

    async def get(self, path: str, start: int = 0) -> AsyncIterator[bytes]:
        """Give an object's bytes from `start` on, decrypted. Raises `NotThere`, `StorageError`, `SealError`."""
        there = await self._find(path)
        if not there.sealed:
            async for chunk in self.fetch(there, start):
                yield chunk
            return
        opened = (self.encrypt or NOTHING).open(self.fetch(there))
        async with aclosing(opened) as chunks:
            async for chunk in chunks:
                passed = min(start, len(chunk))
                start -= passed
                if len(chunk) > passed:
                    yield chunk[passed:]

    async def get_as_is(self, path: str) -> AsyncIterator[bytes]:
        """Give an object's bytes as they lie there, encrypted or not. Raises `NotThere`, `StorageError`."""
        async for chunk in self.fetch(await self._find(path)):
            yield chunk

    def unreadable(self) -> str | None:
        """Why nothing that was stored can be read from here, in words; None when it can."""
        if self.write_only:
            return f"the key to {self.target()} may only write"
        if self.encrypt is not None and not self.encrypt.identities:
            return f"{self.target()} is encrypted, and this machine has no identity"
        return None

    async def _find(self, path: str) -> Entry:
        if self.write_only:
            raise Denied(
                f"{path} is not read from {self.target()}: its key may only write",
                hint="read it with another key, from another machine",
            )
        found = await self.head(path)
        if found is None:
            raise NotThere(f"{path} is not in {self.target()}")
        return Entry(path + SEALED, found.bytes, found.modified, sealed=True) if found.sealed else found

    async def head(self, path: str) -> Entry | None:
        """Look at an object without reading it; None when it is not there."""
        own_path(path)
        names = (path, path + SEALED) if self.encrypt is None else (path + SEALED, path)
        for name in names:
            found = await self.look(name)
            if found is not None:
                return Entry(path, found.bytes, found.modified, sealed=name != path)
        return None

    async def tally(self, path: str) -> Stored:
        """Read an object to its end; give what `put` gave for it, if it is still the same. Raises `NotThere`."""
        content = Tally()
        kept = await self.weigh(path)
        async for _ in content.over(self.get(path)):
            pass
        return Stored(path, content.weight.bytes, content.weight.sha256, kept)

    async def weigh(self, path: str) -> Weight:
        """Read an object to its end as it lies there; no key is needed. Raises `NotThere`, `StorageError`."""
        return await _weigh(self.get_as_is(path))

    async def read(self, path: str, most: int = 64 << 20) -> bytes:
        """Give a small object whole. Raises `NotThere`, and `StorageError` when it has more than `most` bytes."""
        parts: list[bytes] = []
        async for chunk in self.get(path):
            parts.append(chunk)
            if sum(map(len, parts)) > most:
                raise StorageError(f"{path} in {self.target()} is larger than {most} bytes")
        return b"".join(parts)

    async def delete(self, path: str, *, sealed: bool | None = None) -> None:
        """Delete an object. One that is not there is no fault. Raises `Denied` when we may not.

        Say whether it is encrypted when you know, as from an `Entry`: that saves a request.
        """
        clear, hidden = path, own_path(path) + SEALED
        if sealed is not None:
            await self.remove(hidden if sealed else clear)
            return
        likely, other = (clear, hidden) if self.encrypt is None else (hidden, clear)
        await self.remove(likely)
        # Where versions are kept, deleting what never was would leave a trace.
        if await self.look(other) is not None:
            await self.remove(other)

    async def list(self, folder: str = "") -> AsyncIterator[Entry]:
        """Give every object below a folder, in the order of the paths, however many there are."""
        found = [
            Entry(entry.path.removesuffix(SEALED), entry.bytes, entry.modified, entry.path.endswith(SEALED))
            async for entry in self.walk(folder)
        ]
        for entry in sorted(found, key=lambda entry: entry.path):
            yield entry

    async def check(self) -> Powers:
        """Find out with a small object what works. Raises `StorageError` when that is too little for backups.

        Writing and listing must; reading, too, unless it is `write_only`. That deleting is denied may be on purpose.
        """
        path = f"{HOUSE}/check-{next(_turns) % CHECKS:x}"
        for last in (False, False, True):  # another process may have cleared it away at this very moment
            try:
                return await self._check(path)
            except NotThere:
                if last:
                    raise
        raise AssertionError("unreachable")

    async def _check(self, path: str) -> Powers:
        data = b"mainstay was here\n"
        await self.write(path, chunked(data), len(data))
        seen = [entry async for entry in self.walk(HOUSE) if entry.path == path]
        if not seen:
            raise NotThere(f"{self.target()} does not list what was just written")
        read, delete = await self._may_read(seen[0], data), await self._may_delete(path)
        if not read and not self.write_only:
            raise Denied(
                f"{self.target()}: the key may write, but not read",
                hint="let it read; if it is not to be able to, say `write_only: true` and prove backups elsewhere",
            )
        return Powers(read, delete, seen[0].modified if self.remote else None)

    async def _may_read(self, entry: Entry, data: bytes) -> bool:
        try:
            found = b"".join([chunk async for chunk in self.fetch(entry)])
        except Denied:
            return False
        if found != data:
            raise StorageError(f"{self.target()} gave back something else than was written a moment ago")
        return True

    async def _may_delete(self, path: str) -> bool:
        try:
            await self.remove(path)
        except Denied:
            return False
        return True

    async def write(self, name: str, chunks: AsyncIterator[bytes], expect: int) -> None:
        """Store the chunks, atomically."""
        raise NotImplementedError

    def fetch(self, entry: Entry, start: int = 0) -> AsyncIterator[bytes]:
        """Give the bytes of what `look` or `walk` saw, from `start` on. Raises `NotThere`."""
        raise NotImplementedError

    async def look(self, name: str) -> Entry | None:
        """Look at an object without reading it; None when it is not there."""
        raise NotImplementedError

    async def remove(self, name: str) -> None:
        """Delete an object. One that is not there is no fault. Raises `Denied` when we may not."""
        raise NotImplementedError

    def walk(self, folder: str) -> AsyncIterator[Entry]:
        """Give every object below a folder."""
        raise NotImplementedError

    async def sweep(self, now: float, folder: str = "", age: float = DAY) -> int:
        """Clear away what killed uploads left below a folder; give how many.

        Where nobody can tell whether the uploader lives, only what is older than `age` seconds is cleared away. `now`
        is in seconds since 1970.
        """
        raise NotImplementedError

    def target(self) -> str:
        """Say in a few words where this is, without secrets."""
        raise NotImplementedError

    def native(self, folder: str) -> Native | None:
        """Give a folder as other programs name it, which keep house there themselves; None where they cannot."""
        return None


NOTHING = Encryption.model_construct(recipients=[], identity=None)
"""Opens nothing, and says so: for what is encrypted in a storage that is not said to be."""
SEALED = ".age"
"""How the names of encrypted objects end in the storage; nobody else sees it."""
HOUSE = ".mainstay"
"""The folder of what mainstay keeps in a storage for itself."""
CHECKS = 16
"""Names that checks take in turn: those of several jobs do not meet, and what may not be deleted does not pile up."""
_turns = itertools.count()


async def _weigh(chunks: AsyncIterator[bytes]) -> Weight:
    tally = Tally()
    async for _ in tally.over(chunks):
        pass
    return tally.weight


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


def own_path(path: str) -> str:
    """Give the path back if an object of ours may be called so. Raises `StorageError`."""
    if path.endswith(SEALED):
        raise StorageError(f"{path!r} is not a path for an object: {SEALED} says that it is encrypted")
    return safe_path(path)


PART = ".part"
"""How unfinished files end; no object may be called so."""
