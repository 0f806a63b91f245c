"""A tar archive as it flows by: read off for one of its files, or unpacked so that it can be taken up again."""

import os
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mainstay.backup.fetch import Damaged

BLOCK = 512


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the archive: its name, its size in bytes, its kind (a file, a folder or a link)."""

    name: str
    size: int
    kind: bytes
    target: str = ""


class Walker:
    """Takes an archive in pieces of any size. `opened` hears of each member, `fed` gets its bytes, `closed` its end."""

    def __init__(self) -> None:
        self.position = 0
        """Bytes taken so far."""
        self.boundary = 0
        """Where the header of the member that is under way begins."""
        self._head = bytearray()
        self._left = 0
        self._padding = 0
        self._member: Member | None = None
        self.ended = False

    def take(self, data: bytes) -> None:
        """Take the next bytes. Raises `Damaged` when they are no archive."""
        view = memoryview(data)
        while view:
            view = view[self._some(view) :]

    def _some(self, view: memoryview) -> int:
        if self._left:
            count = min(self._left, len(view))
            self.fed(view[:count])
            self._left -= count
        elif self._padding:
            count = min(self._padding, len(view))
            self._padding -= count
        else:
            count = min(BLOCK - len(self._head), len(view))
            self._head += view[:count]
        self.position += count
        if self._member is not None and not self._left and not self._padding:
            self.closed(self._member)
            self._member = None
            self.boundary = self.position
        if len(self._head) == BLOCK:
            self._header()
        return count

    def _header(self) -> None:
        head, self._head = bytes(self._head), bytearray()
        if not any(head):
            self.ended = True
            self.boundary = self.position
            return
        try:
            info = tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
        except tarfile.HeaderError as fault:
            raise Damaged(f"the base backup is no archive at byte {self.position:,}: {fault}") from None
        size = info.size if info.isreg() else 0
        self._member = Member(info.name, size, info.type, info.linkname)
        self._left, self._padding = size, -size % BLOCK
        self.opened(self._member)
        if not size:
            self.closed(self._member)
            self._member = None
            self.boundary = self.position

    def opened(self, member: Member) -> None:
        """A member begins."""

    def fed(self, data: memoryview) -> None:
        """Bytes of the member that is under way."""

    def closed(self, member: Member) -> None:
        """A member is complete."""


class Reader(Walker):
    """Keeps the one file of the archive that is wanted."""

    def __init__(self, wanted: str, most: int = 1 << 30) -> None:
        super().__init__()
        self.found: bytes | None = None
        self._wanted = wanted
        self._most = most
        self._parts: list[bytes] | None = None

    def opened(self, member: Member) -> None:
        if member.name.removeprefix("./") == self._wanted and member.size <= self._most:
            self._parts = []

    def fed(self, data: memoryview) -> None:
        if self._parts is not None:
            self._parts.append(bytes(data))

    def closed(self, member: Member) -> None:
        if self._parts is not None:
            self.found, self._parts = b"".join(self._parts), None


class Unpacker(Walker):
    """Writes the members below a folder, for its owner's eyes only. What lies there already is written anew."""

    def __init__(self, folder: Path, own: Callable[[Path], object] = lambda path: None) -> None:
        super().__init__()
        self._folder = folder
        self._own = own
        self._file = -1

    def opened(self, member: Member) -> None:
        path = self._safe(member.name)
        if member.kind == tarfile.DIRTYPE:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        elif member.kind == tarfile.SYMTYPE:
            path.unlink(missing_ok=True)
            path.symlink_to(member.target)
            return
        else:
            path.unlink(missing_ok=True)
            self._file = os.open(
                path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )
        self._own(path)

    def fed(self, data: memoryview) -> None:
        while data:
            data = data[os.write(self._file, data) :]

    def closed(self, member: Member) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file that is open."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _safe(self, name: str) -> Path:
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if name.startswith("/") or ".." in parts:
            raise Damaged(f"the base backup has a file outside of its folder: {name!r}")
        path = self._folder.joinpath(*parts)
        if path.parent.resolve() != path.parent.absolute() and not str(path.parent.resolve()).startswith(
            str(self._folder.resolve())
        ):
            raise Damaged(f"the base backup has a file outside of its folder: {name!r}")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path
