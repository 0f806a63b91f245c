"""The demonstration's directory: made anew each time, one demonstration at a time, and never anybody else's."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mainstay.core.errors import MainstayError
from mainstay.core.service import Process
from mainstay.ports.services import control_for

MARK = ".mainstay-demo"


@asynccontextmanager
async def fresh_home(home: Path | None) -> AsyncIterator[Path]:
    """Give the directory, emptied of an earlier demonstration; it is locked inside the block.

    Raises `MainstayError` when it is somebody else's or in use.
    """
    home = (home or Path(tempfile.gettempdir()) / f"mainstay-demo-{os.getuid()}").absolute()
    try:
        lock = _lock(home)
    except OSError as fault:
        raise MainstayError(
            f"cannot use {home}: {fault.strerror}", hint="name another directory with --home"
        ) from None
    try:
        await end_services(home)
        _empty(home)
        yield home
    finally:
        os.close(lock)


def _lock(home: Path) -> int:
    if home.is_symlink() or (home.exists() and not _ours(home)):
        raise MainstayError(
            f"{home} holds something else than a demonstration", hint="name an empty directory with --home"
        )
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(home / MARK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise MainstayError(
            f"a demonstration already runs in {home}", hint="end it, or name another directory with --home"
        ) from None
    return lock


def _ours(home: Path) -> bool:
    if not home.is_dir() or home.stat().st_uid != os.getuid():
        return False
    return (home / MARK).exists() or not any(home.iterdir())


def _empty(home: Path) -> None:
    for left in home.iterdir():
        if left.name == MARK:
            continue
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink()


async def end_services(home: Path) -> None:
    """End the services that mainstay started: they outlive it by design, but not the demonstration."""
    state = home / "state"
    for record in state.glob("services/*.json"):
        await control_for(record.stem, Process(command=["none"]), state, home).stop()
