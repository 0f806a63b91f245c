"""Where a server finds its certificate: files with stable names that change all at once, and can be put back."""

import grp
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from mainstay.certs.pem import Pair, pair
from mainstay.core import crash
from mainstay.core.errors import MainstayError

FILES = ("cert.pem", "chain.pem", "fullchain.pem", "privkey.pem", "combined.pem")
CURRENT = "current"
VERSIONS = "versions"
KEPT = 3
"""Versions that stay on disk: the one in place and those before it."""


class Unreadable(MainstayError):
    """What is in place cannot be looked at now; that says nothing about it."""


class Shelf:
    """`directory/fullchain.pem` and so on are links through `current`, the one link that is exchanged.

    So certificate and key change in the same instant, and relative links hold inside containers that have the whole
    directory. All methods raise `MainstayError` for what the system refuses.
    """

    def __init__(self, directory: Path, group: str | None = None) -> None:
        self.directory = directory
        self.group = group

    def current(self) -> str | None:
        """Give the version that is in place."""
        with suppress(OSError):
            return (self.directory / CURRENT).readlink().name
        return None

    def read(self, version: str) -> Pair:
        """Read a version."""
        place = self._place(version)
        try:
            return pair(
                (place / "fullchain.pem").read_bytes(), (place / "privkey.pem").read_bytes(), str(place)
            )
        except (FileNotFoundError, NotADirectoryError) as fault:
            raise _refused(place, fault) from None
        except OSError as error:  # a disk that fails, rights: what is there may be well
            raise Unreadable(
                f"{place}: {error.strerror or error}", hint="look at its owner and the disk"
            ) from None

    def add(self, found: Pair) -> str:
        """Put a pair beside the others, on disk for good; gives its version. It is not in place yet."""
        version = found.leaf.serial
        place = self._place(version)
        draft = place.with_name(f".{version}.{os.getpid()}")
        try:
            for directory in (self.directory, place.parent):
                directory.mkdir(parents=True, exist_ok=True, mode=0o700)
                if self.group:
                    directory.chmod(0o755)  # whatever the umask says: the server has to get in
            shutil.rmtree(draft, ignore_errors=True)
            self._write(draft, found)
            crash.point("certs.written")
            if place.exists():
                shutil.rmtree(draft)  # a killed run has put it here
            else:
                draft.rename(place)
            _sync(place.parent)
        except OSError as fault:
            raise _refused(place, fault) from None
        return version

    def point(self, version: str | None) -> None:
        """Put a version in place; None takes away what was put there first of all."""
        draft = self.directory / f".{CURRENT}.{os.getpid()}"
        try:
            if version is None:
                (self.directory / CURRENT).unlink(missing_ok=True)
                return
            draft.unlink(missing_ok=True)
            draft.symlink_to(f"{VERSIONS}/{version}")
            draft.replace(self.directory / CURRENT)
            for name in FILES:
                self._link(name)
            _sync(self.directory)
        except OSError as fault:
            raise _refused(self.directory, fault) from None

    def prune(self) -> None:
        """Delete old versions, and what killed processes left."""
        with suppress(OSError):
            rest = [each for each in (self.directory / VERSIONS).iterdir() if each.name != self.current()]
            for draft in (each for each in rest if each.name.startswith(".")):
                shutil.rmtree(draft, ignore_errors=True)
            old = sorted(
                (each for each in rest if not each.name.startswith(".")), key=lambda one: one.stat().st_mtime
            )
            for each in old[: max(0, len(old) - KEPT + 1)]:
                shutil.rmtree(each, ignore_errors=True)

    def _place(self, version: str) -> Path:
        if not re.fullmatch(r"[0-9a-f]+", version):
            raise MainstayError(f"{version!r} is no version of a certificate")
        return self.directory / VERSIONS / version

    def _write(self, draft: Path, found: Pair) -> None:
        draft.mkdir(mode=0o700)
        parts = (found.certificate, found.chain, found.fullchain, found.key, found.fullchain + found.key)
        for name, content in zip(FILES, parts, strict=True):
            secret = name in ("privkey.pem", "combined.pem")
            mode = (0o640 if self.group else 0o600) if secret else 0o644
            handle = os.open(draft / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                if self.group and secret:
                    os.fchown(handle, -1, _group(self.group))
                os.fchmod(handle, mode)
                file.flush()
                os.fsync(handle)
        draft.chmod(0o755 if self.group else 0o700)
        _sync(draft)

    def _link(self, name: str) -> None:
        link, target = self.directory / name, f"{CURRENT}/{name}"
        if link.is_symlink() and str(link.readlink()) == target:
            return
        if link.exists() and not link.is_symlink():
            raise MainstayError(
                f"{link} is a file of somebody else's", hint="move it away, or choose another `directory`"
            )
        draft = self.directory / f".{name}.{os.getpid()}"
        draft.unlink(missing_ok=True)
        draft.symlink_to(target)
        draft.replace(link)


def _group(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise MainstayError(f"there is no group {name}", hint="groupadd makes one") from None


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refused(place: Path, fault: OSError) -> MainstayError:
    return MainstayError(
        f"{place}: {fault.strerror or fault}", hint="look at its owner and the room on its disk"
    )
