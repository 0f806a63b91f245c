"""An object of a backup, read back: nothing is trusted that does not match its hashes."""

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mainstay.backup.manifest import Piece
from mainstay.core.errors import MainstayError
from mainstay.ports.objects.base import NotThere, Storage, Weight
from mainstay.ports.objects.seal import Broken, SealError


class Damaged(MainstayError):
    """What lies in the storage is not what was stored: the finding of a proof, not a fault of it."""


class Unpacker:
    """Unpacks into a file descriptor and hashes what goes in, and what comes out where that was noted.

    Memory stays small however much comes out.
    """

    def __init__(self, sink: int, raw_sha256: str = "") -> None:
        import zstandard

        self._sink = sink
        self.packed = hashlib.sha256()
        self.packed_bytes = 0
        self._raw = hashlib.sha256() if raw_sha256 else None
        self.raw_bytes = 0
        unpack: Any = zstandard.ZstdDecompressor()
        self._zstd = unpack.stream_writer(self, write_size=1 << 20, closefd=False)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the object. Raises `zstandard.ZstdError` where the frame is damaged."""
        self.packed.update(chunk)
        self.packed_bytes += len(chunk)
        self._zstd.write(chunk)

    def write(self, data: bytes | memoryview) -> int:
        """Called with what comes out."""
        if self._raw is not None:
            self._raw.update(data)
        self.raw_bytes += len(data)
        left = memoryview(data)
        while left:
            left = left[os.write(self._sink, left) :]
        return len(data)

    @property
    def raw_sha256(self) -> str:
        """Of what came out; empty when nobody asked."""
        return "" if self._raw is None else self._raw.hexdigest()


async def fetch(
    storage: Storage,
    piece: Piece,
    sink: int,
    on_bytes: Callable[[int], None] = lambda done: None,
    kept: Weight | None = None,
) -> None:
    """Unpack an object into an open file. Raises `Damaged` when it is not what was stored, `StorageError`, `NoKey`.

    `on_bytes` is told how many bytes of the object were read. `kept` is what an encrypted one weighed when it was
    stored.
    """
    from zstandard import ZstdError

    unpacker = Unpacker(sink, piece.raw_sha256)
    try:
        async for chunk in storage.get(piece.path):
            await asyncio.to_thread(unpacker.feed, chunk)
            on_bytes(unpacker.packed_bytes)
    except NotThere:
        raise Damaged(f"{piece.path} is gone from {storage.target()}") from None
    except ZstdError as fault:
        raise Damaged(
            await _whole(storage, piece, kept) or f"{piece.path} cannot be unpacked: {fault}"
        ) from None
    except SealError as fault:
        # A key that does not fit and a damaged header look alike; the hash of what lies there tells them apart.
        difference = await unlike(storage, piece.path, kept)
        if difference is None and not isinstance(fault, Broken):
            raise
        raise Damaged(difference or f"{piece.path}: {fault}") from None
    _same(piece, unpacker, storage)


async def fetched(
    storage: Storage,
    piece: Piece,
    file: Path,
    on_bytes: Callable[[int], None] = lambda done: None,
    kept: Weight | None = None,
) -> Path:
    """Unpack an object into a new file that only we may read; give the file."""
    sink = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        await fetch(storage, piece, sink, on_bytes, kept)
    finally:
        os.close(sink)
    return file


async def unlike(storage: Storage, path: str, kept: Weight | None) -> str | None:
    """Say how an object differs, as it lies there, from what was stored; None when it does not, or nobody knows."""
    if kept is None:
        return None
    there = await storage.weigh(path)
    return None if there == kept else changed(storage, path, there, kept)


async def _whole(storage: Storage, piece: Piece, kept: Weight | None) -> str | None:
    # Decompression stops at the first fault; the hash of the whole object is the better evidence.
    if kept is not None:
        return await unlike(storage, piece.path, kept)
    there = await storage.tally(piece.path)
    stored = Weight(piece.bytes, piece.sha256)
    if (there.bytes, there.sha256) == (stored.bytes, stored.sha256):
        return None
    return changed(storage, piece.path, Weight(there.bytes, there.sha256), stored)


def changed(storage: Storage, path: str, there: Weight, stored: Weight) -> str:
    """Say that what lies there is not what was stored."""
    return (
        f"{path} in {storage.target()} was changed: it has {there.bytes:,} bytes with SHA-256 "
        f"{there.sha256[:16]}..., stored were {stored.bytes:,} with {stored.sha256[:16]}..."
    )


def _same(piece: Piece, unpacker: Unpacker, storage: Storage) -> None:
    packed, stored = (
        Weight(unpacker.packed_bytes, unpacker.packed.hexdigest()),
        Weight(piece.bytes, piece.sha256),
    )
    if packed != stored:
        raise Damaged(changed(storage, piece.path, packed, stored))
    if (unpacker.raw_bytes, unpacker.raw_sha256) != (piece.raw_bytes, piece.raw_sha256):
        raise Damaged(f"{piece.path} unpacks to {unpacker.raw_bytes:,} bytes, not to those that were packed")
