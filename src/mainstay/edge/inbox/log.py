"""The log: files on this machine's disk that events are appended to, and acknowledged from, before they are imported.

Each process writes files of its own, *segments*, and holds a lock on the one that it writes: a segment without a lock
is sealed. Whoever imports (`drain.py`) removes sealed segments once the journal has all of them.
"""

import errno
import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mainstay.core import crash
from mainstay.core.errors import JournalError
from mainstay.core.ids import new_id
from mainstay.ports.clock import Clock

DIRECTORY = "inbox"
"""Where the log lies, below `state_dir`."""
ENDING, DRAFT = ".log", ".new"
REFUSED, DAMAGED = ".refused", ".damaged"
"""End the names of what the journal would not have, which is tried again at every start, and of what cannot be read."""
SEGMENT = 8 * 2**20
"""Bytes after which a new segment is begun."""
OLDEST = 3600.0
"""Seconds after which a new segment is begun, however small: what the journal has is not to lie here for weeks."""
MOST = 2**30
"""Bytes that may lie in the log; what comes then is told to come again."""
LOOK = 1.0
"""Seconds between two looks at what is there."""
AT_ONCE = 512
"""Pieces that are given to the kernel together; it takes 1024 at most."""


class Log:
    """The segment that this process writes. Used by one thread; everything here raises `JournalError`."""

    def __init__(self, directory: Path, clock: Clock, most: int = MOST) -> None:
        self._directory = directory
        self._clock = clock
        self._most = most
        self._file = -1
        self._size = 0
        """Bytes that are on disk for sure."""
        self._sick = False
        """Whether nobody knows what of the segment is on disk: it is written anew before anything else."""
        self._begun = 0.0
        self._looked = -LOOK
        self.name = ""
        """Of the segment that is written now."""
        self.replaced = ""
        """The name that it had before it was written anew, if it was."""
        self.present: frozenset[str] = frozenset()
        """The segments that were there at the last look."""

    def append(self, records: Sequence[bytes]) -> None:
        """Put records on disk, behind all that are there. When it fails nobody may rely on any of them."""
        try:
            self._make_ready()
            self._write(records)
        except OSError as fault:
            raise told(fault, self._directory) from fault

    def close(self) -> None:
        """Seal the segment."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _make_ready(self) -> None:
        if self._clock.monotonic() - self._looked >= LOOK or self._file < 0:
            self._look()
        if self._sick:
            self._renew()
        elif self._file < 0 or self._size >= SEGMENT or self._clock.monotonic() - self._begun >= OLDEST:
            self._begin(b"")

    def _look(self) -> None:
        """See which segments are there, and that they are not too many."""
        self._looked = self._clock.monotonic()
        make(self._directory)
        sizes = segments(self._directory, REFUSED)
        self.present = frozenset(name for name in sizes if name.endswith(ENDING))
        if sum(sizes.values()) > self._most:
            self._looked -= LOOK  # look again before the next write
            raise JournalError(
                f"{self._most >> 20} MiB of webhooks wait for the journal",
                hint="see why they are not imported: mainstay doctor",
            )

    def _write(self, records: Sequence[bytes]) -> None:
        size = 0
        try:
            for at in range(0, len(records), AT_ONCE):
                size += _put(self._file, records[at : at + AT_ONCE])
        except OSError:
            # What is half there must not stand before what comes next.
            self._sick = True
            os.ftruncate(self._file, self._size)
            self._sick = False
            self._leave()
            raise
        crash.point("inbox.written")
        try:
            os.fdatasync(self._file)
        except OSError:
            self._sick = True
            raise
        crash.point("inbox.synced")
        self._size += size

    def _leave(self) -> None:
        """Begin another segment before the next write: of what was cut off an importer may have read whole records, and
        would look for the next one behind them."""
        self.close()
        if not self._size:
            with suppress(OSError):
                (self._directory / self.name).unlink()

    def _begin(self, content: bytes) -> None:
        """Begin a segment. It has its lock before it has its name, so that nobody takes it for a sealed one."""
        name = f"{new_id(self._clock.now())}{ENDING}"
        draft = self._directory / f"{name}{DRAFT}"
        file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if content:
                _put(file, [content])
            os.fsync(file)
            draft.rename(self._directory / name)
            sync_directory(self._directory)
        except BaseException:
            os.close(file)
            with suppress(OSError):
                draft.unlink()
            with suppress(OSError):
                (self._directory / name).unlink()
            raise
        self.close()
        self._file, self._size, self.name = file, len(content), name
        self._begun = self._clock.monotonic()
        self.present |= {name}

    def _renew(self) -> None:
        """Write the segment anew: after a failed sync the kernel may have dropped pages that are not on the disk."""
        old, before = self._directory / self.name, self.name
        self._begin(os.pread(self._file, self._size, 0))
        self._sick, self.replaced = False, before
        with suppress(OSError):
            old.unlink()


def _put(file: int, pieces: Sequence[bytes]) -> int:
    """Write pieces, all of them; give how many bytes that were."""
    size = sum([len(piece) for piece in pieces])
    done = os.writev(file, pieces)
    if done < size:
        rest = memoryview(b"".join(pieces))[done:]
        while rest:
            rest = rest[os.write(file, rest) :]
    return size


def segments(directory: Path, *besides: str) -> dict[str, int]:
    """Give the segments that are there, the oldest first, and their sizes; `besides`, files with other endings. Raises
    `OSError`."""
    found: dict[str, int] = {}
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith((ENDING, *besides)):
                with suppress(FileNotFoundError):
                    found[entry.name] = entry.stat().st_size
    return dict(sorted(found.items()))


def sealed(path: Path) -> bool:
    """Whether nobody writes a segment any more. Raises `OSError`."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(file)
    return True


def make(directory: Path) -> None:
    """Make the log's directory, if it is not there, on disk when this returns. Raises `OSError`."""
    if not directory.is_dir():
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        sync_directory(directory.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable. Raises `OSError`."""
    opened = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def told(fault: OSError, directory: Path) -> JournalError:
    """Say in people's words what the disk says."""
    if fault.errno in (errno.ENOSPC, errno.EDQUOT):
        return JournalError("the disk is full", where=str(directory), hint="make room on its file system")
    return JournalError(
        f"the disk refused: {fault.strerror}", where=str(directory), hint="see the kernel's log"
    )
