"""A tree of files into a tar stream that every tar can read, and beside it a list of what is in it, with checksums."""

import grp
import hashlib
import os
import pwd
import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import BinaryIO

from mainstay.backup.data.base import DataError
from mainstay.backup.data.tree import (
    BLOCK,
    OPEN,
    Entry,
    Found,
    Tally,
    entry_of,
    named,
    printable,
    same_directory,
    walk,
)

SMALL = 1 << 20
"""Bytes up to which a file is read whole, and again when it changed meanwhile."""
ATTEMPTS = 3
TYPES = {
    "directory": tarfile.DIRTYPE,
    "file": tarfile.REGTYPE,
    "link": tarfile.SYMTYPE,
    "same": tarfile.LNKTYPE,
}
CHANGED = "changed while it was read"


class Archiver:
    """Writes one tree. `tally` says afterwards what is in it, `changed` what may not be as it was at any moment.

    `left` counts what was left out because it is no file, `vanished` what went away before it was read.
    """

    def __init__(self, root: Path, out: Callable[[str], bool], listing: Path) -> None:
        self._root, self._out, self._listing = root, out, listing
        self.tally = Tally()
        self.changed: list[str] = []
        self.left = self.vanished = 0

    def write(self, to: BinaryIO) -> None:
        """Write the stream and the list. Raises `DataError`, `OSError`."""
        names: dict[tuple[int, int], str] = {}
        before = self._root.stat()
        with self._listing.open("wb") as listing:
            for found in walk(self._root, self._out, self._gone):
                entry = self._add(found, names, to)
                if entry is not None:
                    self.tally.add(entry)
                    listing.write(entry.line())
        to.write(bytes(2 * tarfile.BLOCKSIZE))
        total = sum(each.rows for each in self.tally.counted.values())
        if not same_directory(self._root, before) or self.vanished > total:
            raise DataError(
                f"{self._root} vanished while it was read", hint="was it unmounted, or its contents replaced?"
            )

    def _gone(self, path: str) -> None:
        self.vanished += 1

    def _add(self, found: Found, names: dict[tuple[int, int], str], to: BinaryIO) -> Entry | None:
        try:
            entry = entry_of(found, names)
            if entry is None:
                self.left += 1
            elif entry.kind == "file":
                return self._file(found, entry, to)
            else:
                to.write(header(entry))
            return entry
        except FileNotFoundError:
            self._gone(found.path)
            names.pop((found.info.st_dev, found.info.st_ino), None)
            return None
        except OSError as fault:
            if fault.filename is None:
                raise  # of the stream, not of the file
            raise named(fault, found.path) from None

    def _file(self, found: Found, entry: Entry, to: BinaryIO) -> Entry:
        there = os.open(found.name, OPEN, dir_fd=found.folder)
        try:
            info = os.fstat(there)
            entry = entry._replace(size=info.st_size, mtime=info.st_mtime_ns)
            entry = self._whole(there, entry, to) if info.st_size <= SMALL else self._long(there, entry, to)
        finally:
            os.close(there)
        to.write(bytes(-entry.size % tarfile.BLOCKSIZE))
        return entry

    def _whole(self, there: int, entry: Entry, to: BinaryIO) -> Entry:
        for attempt in range(ATTEMPTS):
            info = os.fstat(there)
            data = _exactly(there, min(info.st_size, SMALL))
            if _stamp(info) == _stamp(os.fstat(there)) and len(data) == info.st_size:
                break
            if attempt + 1 == ATTEMPTS:
                self.changed.append(printable(entry.path))
        entry = entry._replace(
            size=len(data), mtime=info.st_mtime_ns, sha256=hashlib.sha256(data).hexdigest()
        )
        to.write(header(entry))
        to.write(data)
        return entry

    def _long(self, there: int, entry: Entry, to: BinaryIO) -> Entry:
        before, sha256, left = os.fstat(there), hashlib.sha256(), entry.size
        to.write(header(entry))
        while left:
            block = os.read(there, min(BLOCK, left)) or bytes(min(BLOCK, left))
            left -= len(block)
            sha256.update(block)
            to.write(block)
        if _stamp(before) != _stamp(os.fstat(there)):
            self.changed.append(printable(entry.path))
        return entry._replace(sha256=sha256.hexdigest())


def _exactly(there: int, size: int) -> bytes:
    """Read a file from its start, up to one byte more than it should have."""
    os.lseek(there, 0, os.SEEK_SET)
    parts: list[bytes] = []
    while (left := size + 1 - sum(map(len, parts))) > 0 and (part := os.read(there, left)):
        parts.append(part)
    return b"".join(parts)


def _stamp(info: os.stat_result) -> tuple[int, int, int]:
    return info.st_size, info.st_mtime_ns, info.st_ctime_ns


def header(entry: Entry) -> bytes:
    """Give an entry's header, in the format of POSIX.1-2001."""
    info = tarfile.TarInfo(entry.path)
    info.type, info.mode = TYPES[entry.kind], entry.mode
    info.uid, info.gid, info.size, info.linkname = entry.uid, entry.gid, entry.size, entry.to
    info.uname, info.gname = _user(entry.uid), _group(entry.gid)
    seconds, rest = divmod(entry.mtime, 10**9)
    info.mtime = seconds
    if rest or seconds < 0:
        info.pax_headers = {"mtime": f"{'-' if entry.mtime < 0 else ''}{_decimal(abs(entry.mtime))}"}
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _decimal(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{seconds}.{rest:09d}"


@cache
def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return ""


@cache
def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except (KeyError, OverflowError):
        return ""
