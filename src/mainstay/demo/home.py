"""The demonstration's directory: made anew each time, and never anybody else's."""

import os
import re
import shutil
import signal
import tempfile
from contextlib import suppress
from pathlib import Path

from mainstay.core.errors import MainstayError

MARK = ".mainstay-demo"


def fresh_home(home: Path | None) -> Path:
    """Make the directory, emptied of an earlier demonstration. Raises `MainstayError` when it is somebody else's."""
    home = (home or Path(tempfile.gettempdir()) / f"mainstay-demo-{os.getuid()}").absolute()
    try:
        if home.is_symlink() or (home.exists() and not _ours(home)):
            raise MainstayError(
                f"{home} holds something else than a demonstration",
                hint="name an empty directory with --home",
            )
        if home.exists():
            end_processes(home / "state")
            shutil.rmtree(home)
        home.mkdir(parents=True, mode=0o700)
        (home / MARK).touch()
    except OSError as fault:
        raise MainstayError(
            f"cannot use {home}: {fault.strerror}", hint="name another one with --home"
        ) from None
    return home


def _ours(home: Path) -> bool:
    if not home.is_dir() or home.stat().st_uid != os.getuid():
        return False
    return (home / MARK).exists() or not any(home.iterdir())


def end_processes(state: Path) -> None:
    """End the services that mainstay started: they outlive it by design, but not the demonstration."""
    for mark in state.glob("processes/*.json"):
        for number in re.findall(r'"pid":\s*(\d+)', mark.read_text()):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(int(number), signal.SIGKILL)
