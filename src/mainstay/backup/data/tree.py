"""A tree of files, read in one order, so that two of them can be compared entry by entry without holding either."""

import fnmatch
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from mainstay.backup.compare import Difference
from mainstay.backup.data.base import DataError
from mainstay.backup.fingerprint import Counted

T = TypeVar("T")
BLOCK = 1 << 20
ROOT = "."
KINDS = {"directory": "directories", "file": "files", "link": "links", "same": "hard links"}
"""What an entry can be; `same` is a further name of a file that came before."""
OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
PLAIN = 0o1777
"""The bits of a mode that everybody may set, whoever a file belongs to."""
SHOWN = 100
BESIDES = 1024
"""Bytes of an entry's header in an archive, and of what a file is filled up with."""


class Entry(NamedTuple):
    """One name in a tree. `mtime` is in nanoseconds since 1970, `to` where a link or a further name leads."""

    path: str
    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    sha256: str = ""
    to: str = ""

    def line(self) -> bytes:
        """Give the entry as a line of JSON."""
        return json.dumps(self).encode() + b"\n"

    @classmethod
    def parse(cls, line: str | bytes) -> "Entry":
        """Read what `line` wrote. Raises `DataError`."""
        try:
            return cls(*json.loads(line))
        except (ValueError, TypeError):
            raise DataError("the list of files is damaged") from None

    @property
    def place(self) -> tuple[bytes, ...]:
        """Where it comes in the order of a tree."""
        return () if self.path == ROOT else tuple(os.fsencode(part) for part in self.path.split("/"))

    def without_owner(self) -> tuple[object, ...]:
        """Give what everybody can restore of it, not only root."""
        return (self.path, self.kind, self.mode & PLAIN, self.size, self.mtime, self.sha256, self.to)


class Found(NamedTuple):
    """A name as it was come across: what lies at `name` in the open directory `folder` has the facts `info`."""

    path: str
    info: os.stat_result
    folder: int
    name: str


class Tally:
    """Counts entries by their kind, with a checksum over what can be restored of each."""

    def __init__(self) -> None:
        self.bytes = 0
        self._rows = dict.fromkeys(KINDS, 0)
        self._sums = {kind: hashlib.sha256() for kind in KINDS}

    def add(self, entry: Entry) -> None:
        """Count one."""
        self.bytes += entry.size if entry.kind == "file" else 0
        self._rows[entry.kind] += 1
        self._sums[entry.kind].update(json.dumps(entry.without_owner()).encode() + b"\n")

    @property
    def counted(self) -> dict[str, Counted]:
        """Give what was counted of every kind that there is."""
        return {
            word: Counted(rows=self._rows[kind], sum=self._sums[kind].hexdigest())
            for kind, word in KINDS.items()
            if self._rows[kind]
        }

    @property
    def said(self) -> str:
        """Say it: `1,204 files in 88 directories`."""
        rows = self._rows
        links = rows["link"] + rows["same"]
        more = f", {links:,} links" if links else ""
        return f"{rows['file']:,} files in {rows['directory']:,} directories{more}"


def excluder(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Make the test for what is left out: a pattern with a slash is for the whole path, one without for every name."""
    given = [each.rstrip("/") for each in patterns]
    whole = [each.lstrip("/").split("/") for each in given if "/" in each]
    names = [each for each in given if "/" not in each]

    def out(path: str) -> bool:
        parts = path.split("/")
        return any(fnmatch.fnmatchcase(parts[-1], each) for each in names) or any(
            len(parts) == len(each) and all(map(fnmatch.fnmatchcase, parts, each)) for each in whole
        )

    return out


def walk(root: Path, out: Callable[[str], bool], gone: Callable[[str], None]) -> Iterator[Found]:
    """Give every name below a directory, itself first, each directory before what is in it, in the order of the bytes.

    No link is followed. `gone` is told what vanished before it could be looked at. Raises `OSError`.
    """
    top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield Found(ROOT, os.fstat(top), top, ROOT)
        yield from _below(top, "", out, gone)
    finally:
        os.close(top)


def _below(
    folder: int, prefix: str, out: Callable[[str], bool], gone: Callable[[str], None]
) -> Iterator[Found]:
    for name in sorted(os.listdir(folder), key=os.fsencode):
        path = prefix + name
        if out(path):
            continue
        try:
            info = os.lstat(name, dir_fd=folder)
            below = os.open(name, OPEN | os.O_DIRECTORY, dir_fd=folder) if stat.S_ISDIR(info.st_mode) else -1
        except (FileNotFoundError, NotADirectoryError):
            gone(path)
            continue
        except OSError as fault:
            raise named(fault, path) from None
        yield Found(path, info, folder, name)
        if below >= 0:
            try:
                yield from _below(below, path + "/", out, gone)
            finally:
                os.close(below)


def named(fault: OSError, path: str) -> DataError:
    """Say which file could not be read."""
    hint = (
        "leave it out with `exclude`, or let mainstay read it" if isinstance(fault, PermissionError) else None
    )
    return DataError(f"{printable(path)}: {fault.strerror}", hint=hint)


def printable(path: str) -> str:
    """Give a path as people and the journal can take it, whatever bytes it has."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def entry_of(found: Found, names: dict[tuple[int, int], str]) -> Entry | None:
    """Give the entry of what was come across, without a file's checksum; None for sockets, devices and pipes.

    `names` remembers under which name a file with several was first seen.
    """
    info = found.info
    common = stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid
    if stat.S_ISDIR(info.st_mode):
        return Entry(found.path, "directory", *common, 0, info.st_mtime_ns)
    if stat.S_ISLNK(info.st_mode):
        to = os.readlink(found.name, dir_fd=found.folder)
        return Entry(found.path, "link", *common, 0, info.st_mtime_ns, to=to)
    if not stat.S_ISREG(info.st_mode):
        return None
    if info.st_nlink > 1:
        first = names.setdefault((info.st_dev, info.st_ino), found.path)
        if first != found.path:
            return Entry(found.path, "same", *common, 0, info.st_mtime_ns, to=first)
    return Entry(found.path, "file", *common, info.st_size, info.st_mtime_ns)


def read_tree(root: Path, on_bytes: Callable[[int], None]) -> Iterator[Entry]:
    """Give every entry of a tree that nobody changes, with the checksums of its files. Raises `OSError`."""
    names: dict[tuple[int, int], str] = {}
    done = 0
    for found in walk(root, lambda path: False, lambda path: None):
        entry = entry_of(found, names)
        if entry is None:
            continue
        if entry.kind == "file":
            entry = entry._replace(sha256=_hash(found))
            done += entry.size
            on_bytes(done)
        yield entry


def size_of(root: Path, out: Callable[[str], bool]) -> int:
    """Give about how many bytes an archive of a tree has: who stores it must know, or there may be no end of parts."""
    total = 0
    for found in walk(root, out, lambda path: None):
        total += BESIDES + (found.info.st_size if stat.S_ISREG(found.info.st_mode) else 0)
    return total


def _hash(found: Found) -> str:
    sha256 = hashlib.sha256()
    there = os.open(found.name, OPEN, dir_fd=found.folder)
    try:
        while block := os.read(there, BLOCK):
            sha256.update(block)
    finally:
        os.close(there)
    return sha256.hexdigest()


def differences(
    expected: Iterable[Entry], found: Iterable[Entry], *, owners: bool
) -> tuple[list[Difference], int]:
    """Compare two trees in one pass; give the first differences, and how many there are.

    `owners` is whether these are compared as well.
    """
    told: list[Difference] = []
    count = 0
    for before, after in pairs(iter(expected), iter(found), lambda entry: entry.place):
        for what in _unlike(before, after, owners=owners):
            count += 1
            if len(told) < SHOWN:
                told.append(what)
    return told, count


def pairs(
    one: Iterator[T], other: Iterator[T], place: Callable[[T], tuple[bytes, ...]]
) -> Iterator[tuple[T | None, T | None]]:
    """Bring together what has the same place in two streams that are in order; None where only one has it."""
    left, right = next(one, None), next(other, None)
    while left is not None or right is not None:
        if right is None or (left is not None and place(left) < place(right)):
            yield left, None
            left = next(one, None)
        elif left is None or place(right) < place(left):
            yield None, right
            right = next(other, None)
        else:
            yield left, right
            left, right = next(one, None), next(other, None)


def _unlike(before: Entry | None, after: Entry | None, *, owners: bool) -> Iterator[Difference]:
    if before is None or after is None:
        there = before or after
        assert there is not None  # noqa: S101 - a pair is never empty
        was, now = (there.kind, "missing") if after is None else ("nothing", there.kind)
        yield Difference(printable(there.path), was, now)
        return
    for field in Entry._fields:
        was, now = getattr(before, field), getattr(after, field)
        if field in ("uid", "gid") and not owners:
            continue
        if field == "mode" and before.kind == "link":
            continue  # it means nothing there
        if field == "mode" and not owners:
            was, now = was & PLAIN, now & PLAIN
        if was != now:
            shown = (oct(was), oct(now)) if field == "mode" else (str(was)[:80], str(now)[:80])
            yield Difference(f"{field} of {printable(before.path)}", *map(printable, shown))


def same_directory(root: Path, info: os.stat_result) -> bool:
    """Whether a directory is still there and still the one that it was."""
    with suppress(OSError):
        return os.path.samestat(root.stat(), info)
    return False
