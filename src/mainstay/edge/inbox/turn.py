"""Which process of a machine imports the log: the agent where there is one, else whichever edge has the lock."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

AGENT, LOCK = "agent.lock", "import.lock"


class Turn:
    """A process' claim to import what lies in `directory`. The kernel lets go of it when the process dies."""

    def __init__(self, directory: Path, *, agent: bool = False) -> None:
        self._directory = directory
        self._agent = agent
        self._first = -1
        self._lock = -1

    def take(self) -> bool:
        """Say whether it is this process' turn now; `give` ends it. Raises `OSError`."""
        if self._agent and self._first < 0:
            self._first = _lock(self._directory / AGENT)  # held for good: no edge begins anew
        elif not self._agent:
            present = _lock(self._directory / AGENT, shared=True)
            if present < 0:
                return False
            os.close(present)
        self._lock = _lock(self._directory / LOCK)
        return self._lock >= 0

    def give(self) -> None:
        """Let others have their turn."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def end(self) -> None:
        """Let go of everything."""
        self.give()
        if self._first >= 0:
            os.close(self._first)
            self._first = -1


def _lock(path: Path, *, shared: bool = False) -> int:
    """Lock a file at once; give its descriptor, or -1 when another process has it. Raises `OSError`."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with suppress(BlockingIOError):
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        return file
    os.close(file)
    return -1
