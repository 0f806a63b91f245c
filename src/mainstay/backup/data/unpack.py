"""A tar stream back into a tree: nothing leaves the directory that it is unpacked into, whatever the stream says."""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mainstay.backup.data.base import DataError
from mainstay.backup.data.tree import BLOCK, ROOT, printable
from mainstay.backup.fetch import Damaged

HOLE = 1 << 16
"""Bytes of zeros that are left out when a file is written: the system keeps no room for them."""
NOTHING = bytes(HOLE)
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def unpack(stream: BinaryIO, root: Path) -> None:
    """Unpack a stream into a new directory. Raises `Damaged` when it is no tar or wants out, `OSError`."""
    root.mkdir(mode=0o700)
    folders: list[tarfile.TarInfo] = []
    try:
        with tarfile.open(fileobj=stream, mode="r|", errors="surrogateescape") as tar:
            for member in _members(tar):
                _place(root, member)
                if member.isdir():
                    folders.append(member)
                _one(tar, member, root)
        while stream.read(BLOCK):  # the stream is hashed to its end
            pass
    except tarfile.TarError as fault:
        raise Damaged(f"the archive cannot be unpacked: {fault}") from None
    for member in reversed(folders):
        _finish(_place(root, member), member)


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (member := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined]  # it would remember every one
        yield member


def _place(root: Path, member: tarfile.TarInfo) -> Path:
    """Give where a member goes. Raises `Damaged` when that is not inside, or reached through a link."""
    if member.name == ROOT:
        return root
    path = root / member.name
    parts = member.name.split("/")
    if member.name.startswith("/") or any(part in ("", ".", "..") for part in parts):
        raise Damaged(f"the archive has {printable(member.name)}, which is not a path inside of it")
    if path.parent.resolve() != root.resolve().joinpath(*parts[:-1]):
        raise Damaged(f"the archive has {printable(member.name)} below a link")
    return path


def _one(tar: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> None:
    path = _place(root, member)
    if member.isdir():
        if path != root:
            path.mkdir(mode=0o700)
    elif member.isreg():
        _file(tar, member, path)
        _finish(path, member)
    elif member.issym():
        path.symlink_to(member.linkname)
        _finish(path, member)
    elif member.islnk():
        first = tarfile.TarInfo(member.linkname)
        os.link(_place(root, first), path, follow_symlinks=False)
    else:
        raise DataError(f"the archive has {printable(member.name)}, which is no file")


def _file(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    source = tar.extractfile(member)
    sink = os.open(path, NEW, 0o600)
    try:
        while source is not None and (block := source.read(BLOCK)):
            for start in range(0, len(block), HOLE):
                part = block[start : start + HOLE]
                if part == NOTHING:
                    os.lseek(sink, HOLE, os.SEEK_CUR)
                else:
                    _write(sink, part)
        os.ftruncate(sink, member.size)
    finally:
        os.close(sink)


def _write(sink: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(sink, left) :]


def _finish(path: Path, member: tarfile.TarInfo) -> None:
    """Give a file its owner, mode and time, in the order in which one does not undo the other."""
    if os.geteuid() == 0:
        os.chown(path, member.uid, member.gid, follow_symlinks=False)
    if not member.issym():
        path.chmod(member.mode)
    moment = _nanoseconds(member)
    os.utime(path, ns=(moment, moment), follow_symlinks=False)


def _nanoseconds(member: tarfile.TarInfo) -> int:
    exact = member.pax_headers.get("mtime")
    if exact is None:
        return int(member.mtime) * 10**9
    sign = -1 if exact.startswith("-") else 1
    seconds, _, rest = exact.lstrip("-").partition(".")
    return sign * (int(seconds) * 10**9 + int(f"{rest:0<9}"[:9]))
