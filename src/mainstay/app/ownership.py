"""Whose `state_dir` is: one account's alone, and one `mainstay up` at a time."""

import fcntl
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mainstay.core.errors import ConfigError, MainstayError


def own(state_dir: Path) -> None:
    """Make the directory if it is not there. Raises `ConfigError` if it cannot, and for root in another account's.

    What root leaves there (a scratch directory, a lock file) the account's own mainstay could not change, and its next
    backup would fail.
    """
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        owner = state_dir.stat().st_uid
    except OSError as fault:
        raise ConfigError(
            f"the directory {state_dir} cannot be made or entered: {fault.strerror}",
            hint="`state_dir` names another one",
        ) from None
    if os.geteuid() == 0 and owner != 0:
        name = _name(owner)
        raise ConfigError(
            f"{state_dir} belongs to {name}, and what root leaves there {name} could not change",
            hint=f"sudo -u {name} mainstay ...",
        )


@contextmanager
def alone(state_dir: Path) -> Iterator[None]:
    """Be the only `mainstay up` with this directory. Raises `MainstayError` when there is one already.

    The kernel lets go of the lock when its process dies, however it dies.
    """
    lock = os.open(state_dir / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(lock, 20, 0).decode(errors="replace").strip() or "?"
            raise MainstayError(
                f"mainstay runs already with {state_dir}: process {pid}",
                hint="end it first, or give this one another state_dir",
            ) from None
        os.truncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"
