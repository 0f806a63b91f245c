"""Directories held by descriptor: what is below one is reached by single names, never by a path.

A path may mean another file at every use: somebody exchanges a directory for a link, and the next `unlink` happens
elsewhere. A descriptor means the same directory for ever, and a single name opened without following links cannot
lead out of it.
"""

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mainstay.core.errors import MainstayError

_ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PASS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Identity = tuple[int, int]


class Left(Exception):
    """Something is not entered or not deleted; the text says why."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """An open directory. `path` is relative to the root, empty for the root itself; `mount` tells mounts apart."""

    fd: int
    path: str
    mount: object

    def below(self, name: str) -> str:
        """Give the relative path of a name in it."""
        return f"{self.path}/{name}" if self.path else name

    def look(self, name: str) -> os.stat_result:
        """Look at a name, not at what a link points to."""
        return os.stat(name, dir_fd=self.fd, follow_symlinks=False)


class Root:
    """A directory that may be worked in, pinned. Close it, or use it in a `with` block.

    Raises `MainstayError` when the path leads over a link, is not a directory, or is, holds or lies in one of the
    `protected` directories; `FileNotFoundError` when there is nothing.
    """

    def __init__(self, path: Path, protected: Mapping[Path, str]) -> None:
        self.path = path
        self._guarded = _identities(protected)
        _refuse_protected(path, protected)
        fd = _walk_to(path)
        try:
            self.top = Pinned(fd, "", mount_of(fd))
            self._refuse(fd)
        except BaseException:
            os.close(fd)
            raise
        self._real = _real(fd)

    def __enter__(self) -> "Root":
        return self

    def __exit__(self, *fault: object) -> None:
        os.close(self.top.fd)

    def enter(self, parent: Pinned, name: str, seen: os.stat_result) -> Pinned:
        """Open a directory that was seen in `parent`. Raises `Left` when it must not be entered, `OSError` else."""
        fd = os.open(name, _ENTER, dir_fd=parent.fd)
        try:
            inside = Pinned(fd, parent.below(name), mount_of(fd))
            if not same(os.fstat(fd), seen):
                raise Left("it was exchanged meanwhile")
            if inside.mount != self.top.mount:
                raise Left("another file system is mounted there")
            self._refuse(fd)
        except BaseException:
            os.close(fd)
            raise
        return inside

    def still_inside(self, place: Pinned) -> bool:
        """Whether an open directory still lies where it was entered: somebody may have moved it out of the root."""
        if self._real is None:
            return True
        wanted = os.path.join(self._real, place.path) if place.path else self._real  # noqa: PTH118 - not a Path
        return _real(place.fd) == wanted

    def _refuse(self, fd: int) -> None:
        found = os.fstat(fd)
        what = self._guarded.get((found.st_dev, found.st_ino))
        if what is not None:
            raise Left(f"it is {what}")
        with suppress(FileNotFoundError):
            os.stat("PG_VERSION", dir_fd=fd, follow_symlinks=False)
            raise Left("it belongs to a PostgreSQL server")


def same(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether two looks saw one and the same file."""
    mine = (one.st_dev, one.st_ino, stat.S_IFMT(one.st_mode))
    return mine == (other.st_dev, other.st_ino, stat.S_IFMT(other.st_mode))


def unchanged(now: os.stat_result, seen: os.stat_result) -> bool:
    """Whether nothing happened to a file since it was seen, but that it lost another of its names."""
    fewer = now.st_nlink < seen.st_nlink
    return (
        same(now, seen)
        and (now.st_size, now.st_mtime_ns, now.st_uid) == (seen.st_size, seen.st_mtime_ns, seen.st_uid)
        and (fewer or now.st_ctime_ns == seen.st_ctime_ns)
    )


def mount_of(fd: int) -> object:
    """Tell in which mount an open file lies: bind mounts of one file system have one device, but not one number."""
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
        return next(line for line in lines if line.startswith("mnt_id:"))
    return os.fstat(fd).st_dev


def _real(fd: int) -> str | None:
    """Give where an open directory lies now; None where the system does not tell."""
    with suppress(OSError):
        return os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115 - not a Path
    return None


def _identities(protected: Mapping[Path, str]) -> dict[Identity, str]:
    found: dict[Identity, str] = {}
    for path, what in protected.items():
        with suppress(OSError):
            seen = path.stat()
            found[seen.st_dev, seen.st_ino] = what
    return found


def _refuse_protected(path: Path, protected: Mapping[Path, str]) -> None:
    for each, what in protected.items():
        for guarded in {each, each.resolve()}:
            if path.is_relative_to(guarded) or guarded.is_relative_to(path):
                relation = "holds" if guarded != path and guarded.is_relative_to(path) else "lies in"
                raise MainstayError(
                    f"{path} {relation if guarded != path else 'is'} {guarded}, {what}",
                    hint="clean up another directory, or one further down",
                )


def _walk_to(path: Path) -> int:
    """Open a directory name by name, following no link."""
    fd = os.open("/", _PASS)
    parts = path.parts[1:]
    for depth, name in enumerate(parts, 1):
        try:
            below = os.open(name, _ENTER if depth == len(parts) else _PASS, dir_fd=fd)
        except NotADirectoryError:
            at = Path("/", *parts[:depth])
            raise MainstayError(f"{at} is a link or no directory", hint="write the real path") from None
        except OSError as fault:
            if isinstance(fault, FileNotFoundError):
                raise
            if os.path.islink(Path("/", *parts[:depth])):  # noqa: PTH114 - as above
                raise MainstayError(
                    f"{Path('/', *parts[:depth])} is a link", hint="write the real path"
                ) from None
            raise MainstayError(f"cannot open {path}: {fault.strerror}") from None
        finally:
            os.close(fd)
        fd = below
    return fd
