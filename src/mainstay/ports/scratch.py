"""Scratch directories that never outlive their owner for long: what a killed process left is swept by the next.

Ownership is an flock on a file beside the directory: the kernel lets go of it the moment that the owner dies,
however it dies, and a process that is merely paused keeps it. Locks are never passed on to child processes.
"""

import fcntl
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mainstay.core.errors import MainstayError

PREFIX = "mainstay-"
ATTEMPTS = 20


def claim(path: Path) -> int | None:
    """Create `path` and lock it; give its descriptor, or None when somebody was faster.

    Keep the descriptor open for as long as the thing is owned. The file is for the owner's eyes only.
    """
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        return None
    return lock if _locked(lock, path) else None


def seize(path: Path) -> int | None:
    """Lock a file whose owner is dead; give its descriptor, or None while the owner lives."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    return lock if _locked(lock, path) else None


def _locked(lock: int, path: Path) -> bool:
    # Between opening and locking, somebody else may have locked the file or swept it away.
    with suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), path.stat()):
            return True
    os.close(lock)
    return False


class Workspace:
    """A directory of one piece of work, mode 0700. Everything in it is gone after `close`."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock
        self._besides: list[str] = []

    def beside(self, parent: Path) -> Path:
        """Make a second directory under `parent`, swept together with this one. Mode 0700.

        For what cannot live in the first: a socket, whose path must be short; data of a server that runs as another
        user and could not enter here.
        """
        path = parent / f"{PREFIX}{self.path.name.removeprefix(PREFIX)}-{len(self._besides)}"
        self._besides.append(str(path))
        os.pwrite(self._lock, json.dumps(self._besides).encode(), 0)
        path.mkdir(mode=0o700)
        return path

    def close(self) -> None:
        """Delete everything, then give up the ownership."""
        _clear(self.path, self._besides)
        _lock_file(self.path).unlink(missing_ok=True)
        os.close(self._lock)


class Scratch:
    """Where workspaces are made. `root` is created when it is not there."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def workspace(self) -> Iterator[Workspace]:
        """A fresh workspace, deleted at the end. Raises `MainstayError` when none can be made."""
        space = self._make()
        try:
            yield space
        finally:
            space.close()

    def _make(self) -> Workspace:
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            for _ in range(ATTEMPTS):
                path = self.root / f"{PREFIX}{secrets.token_hex(6)}"
                lock = claim(_lock_file(path))
                if lock is not None:
                    path.mkdir(mode=0o700)
                    return Workspace(path, lock)
        except OSError as fault:
            raise MainstayError(
                f"cannot make a scratch directory in {self.root}: {fault.strerror}",
                hint="free some space, or let mainstay write there",
            ) from None
        raise MainstayError(f"cannot make a scratch directory in {self.root}")

    def sweep(self, before: Callable[[Path], None] = lambda path: None) -> int:
        """Delete the workspaces of dead owners; give how many. `before` may stop what still runs in a directory."""
        swept = 0
        for mark in sorted(self.root.glob(f"{PREFIX}*.lock")) if self.root.is_dir() else []:
            lock = seize(mark)
            if lock is None:
                continue
            try:
                path = mark.with_suffix("")
                besides = _besides(lock)
                for left in (path, *map(Path, besides)):
                    before(left)
                _clear(path, besides)
                if not any(left.exists() for left in (path, *map(Path, besides))):
                    mark.unlink(missing_ok=True)
                    swept += 1
            finally:
                os.close(lock)
        return swept


def short_root() -> Path:
    """A directory with a short name in which sockets may live."""
    found = Path(tempfile.gettempdir())
    return found if len(str(found)) <= 40 else Path("/tmp")  # noqa: S108  # only as parent of a 0700 directory


def _lock_file(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _besides(lock: int) -> list[str]:
    with suppress(ValueError):
        found = json.loads(os.pread(lock, 65536, 0) or b"[]")
        return [path for path in found if Path(path).name.startswith(PREFIX)]
    return []


def _clear(path: Path, besides: list[str]) -> None:
    for left in (path, *map(Path, besides)):
        shutil.rmtree(left, ignore_errors=True)
