"""A directory as storage: a local disk, or a network file system that is mounted."""

import asyncio
import errno
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar

from mainstay.core.paths import ConfigPath
from mainstay.core.units import format_size
from mainstay.ports.objects.base import (
    CHUNK,
    DAY,
    PART,
    Denied,
    Entry,
    Native,
    NotThere,
    Storage,
    StorageError,
    safe_path,
)
from mainstay.ports.scratch import claim, seize


class Directory(Storage, type="directory", shorthand="path"):
    """Keeps objects as files below one directory, readable by mainstay's own user only.

    ```yaml
    storage:
      vault: {directory: /mnt/backup}
    ```
    """

    remote: ClassVar[bool] = False

    path: ConfigPath
    """The directory. It is made when it is not there."""

    def target(self) -> str:
        return f"directory {self.path}"

    def native(self, folder: str) -> Native | None:
        return None if self.write_only else Native(str(self._file(folder)))

    def _file(self, path: str) -> Path:
        root = self.path.resolve()
        file = root / safe_path(path)
        if not file.parent.resolve().is_relative_to(root):
            raise StorageError(f"{path} leads out of {self.path}", hint="remove the symbolic link")
        return file

    async def write(self, name: str, chunks: AsyncIterator[bytes], expect: int) -> None:
        with self._faults(name):
            file = self._file(name)
            self._room(expect)
            part, handle = await asyncio.to_thread(_open_part, file)
        try:
            async for chunk in chunks:
                with self._faults(name):
                    await asyncio.to_thread(_write_all, handle, chunk)
            with self._faults(name):
                await asyncio.to_thread(_publish, handle, part, file, self.path.resolve())
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)

    def _room(self, expect: int) -> None:
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        disk = os.statvfs(self.path)
        free = disk.f_bavail * disk.f_frsize
        if expect > free:
            raise StorageError(
                f"{self.target()} has {format_size(free)} free, about {format_size(expect)} are needed",
                hint="free some space or use another storage",
            )

    async def fetch(self, entry: Entry, start: int = 0) -> AsyncIterator[bytes]:
        path = entry.path
        with self._faults(path):
            handle = await asyncio.to_thread(os.open, self._file(path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            position = start
            while True:
                with self._faults(path):
                    chunk = await asyncio.to_thread(os.pread, handle, CHUNK, position)
                if not chunk:
                    return
                position += len(chunk)
                yield chunk
        finally:
            os.close(handle)

    async def look(self, name: str) -> Entry | None:
        try:
            with self._faults(name):
                found = await asyncio.to_thread(os.stat, self._file(name))
        except NotThere:
            return None
        return Entry(name, found.st_size, found.st_mtime)

    async def remove(self, name: str) -> None:
        try:
            with self._faults(name), suppress(FileNotFoundError):
                await asyncio.to_thread(_remove, self._file(name), self.path.resolve())
        except StorageError as fault:
            if isinstance(fault.__cause__, PermissionError):
                raise Denied(fault.what, hint=fault.hint) from fault.__cause__
            raise

    async def sweep(self, now: float, folder: str = "", age: float = DAY) -> int:
        # Every unfinished file is locked by its writer, so age does not matter.
        with self._faults(""):
            return await asyncio.to_thread(_sweep, self._file(folder) if folder else self.path.resolve())

    async def walk(self, folder: str) -> AsyncIterator[Entry]:
        root = self.path.resolve()
        with self._faults(folder):
            start = self._file(folder.rstrip("/")) if folder else root
            for entry in await asyncio.to_thread(_walk, start, root):
                yield entry

    @contextmanager
    def _faults(self, path: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as fault:
            raise NotThere(f"{path} is not in {self.target()}") from fault
        except OSError as fault:
            raise StorageError(
                f"{self.target()}: {fault.strerror or fault}",
                hint=_HINTS.get(fault.errno or 0, "look at the disk and at the directory's owner"),
            ) from fault


_HINTS = {
    errno.ENOSPC: "the disk is full: free some space or use another storage",
    errno.EDQUOT: "the quota is used up: free some space or use another storage",
    errno.EACCES: "let mainstay's user write there",
    errno.EROFS: "the file system is mounted read-only",
    errno.EIO: "the disk reports an error: look at the kernel's log",
}


def _open_part(file: Path) -> tuple[Path, int]:
    while True:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = file.with_name(f".{file.name[:100]}.{secrets.token_hex(6)}{PART}")
        with suppress(FileNotFoundError):  # somebody deleted the last object of the folder at this moment
            handle = claim(part)
            if handle is not None:
                return part, handle


def _write_all(handle: int, chunk: bytes) -> None:
    left = memoryview(chunk)
    while left:
        left = left[os.write(handle, left) :]


def _publish(handle: int, part: Path, file: Path, root: Path) -> None:
    # The name may appear only after the bytes are on disk, and it is only safe once its directory is, too.
    os.fsync(handle)
    part.rename(file)
    folder = file.parent
    _sync(folder)
    while folder != root:
        folder = folder.parent
        _sync(folder)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(file: Path, root: Path) -> None:
    file.unlink()
    _sync(file.parent)
    for folder in file.parents:
        if folder == root:
            return
        try:
            folder.rmdir()
        except OSError:
            return


def _sweep(root: Path) -> int:
    swept = 0
    for part in root.rglob(f".*{PART}") if root.is_dir() else ():
        lock = seize(part)
        if lock is not None:
            part.unlink(missing_ok=True)
            os.close(lock)
            swept += 1
    return swept


def _walk(start: Path, root: Path) -> list[Entry]:
    found = []
    for folder, _, names in os.walk(start):
        for name in names:
            if name.endswith(PART):
                continue
            file = Path(folder) / name
            with suppress(FileNotFoundError):
                seen = file.stat()
                found.append(Entry(file.relative_to(root).as_posix(), seen.st_size, seen.st_mtime))
    return sorted(found, key=lambda entry: entry.path)
