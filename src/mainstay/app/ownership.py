"""Whose `state_dir` is: one account's alone."""

import os
import pwd
from pathlib import Path

from mainstay.core.errors import ConfigError


def own(state_dir: Path) -> None:
    """Make the directory if it is not there. Raises `ConfigError` for root in another account's.

    What root leaves there (a scratch directory, a lock file) the account's own mainstay could not change, and its next
    backup would fail.
    """
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    owner = state_dir.stat().st_uid
    if os.geteuid() == 0 and owner != 0:
        name = _name(owner)
        raise ConfigError(
            f"{state_dir} belongs to {name}, and what root leaves there {name} could not change",
            hint=f"sudo -u {name} mainstay ...",
        )


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"
