"""Which files programs have open, as `/proc` tells."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mainstay.ports.clock import Clock

Identity = tuple[int, int]
"""Device and inode."""

FRESH = 1.0
"""Seconds for which a look at all programs is good enough."""


class Opened:
    """Who has a file open, mapped, as its program or as its directory.

    Without the rights of root only programs of the same account show that: `hidden` is how many did not.
    """

    def __init__(self, clock: Clock, proc: Path = Path("/proc")) -> None:
        self.hidden = 0
        self._clock = clock
        self._proc = proc
        self._looked = float("-inf")
        self._holders: dict[Identity, str] = {}

    def holder(self, found: os.stat_result) -> str | None:
        """Give the program that holds a file, like `nginx (812)`; None when none does."""
        now = self._clock.monotonic()
        if not 0 <= now - self._looked < FRESH:
            self._holders = self._look()
            self._looked = self._clock.monotonic()
        return self._holders.get((found.st_dev, found.st_ino))

    def _look(self) -> dict[Identity, str]:
        holders: dict[Identity, str] = {}
        self.hidden = 0
        with suppress(OSError):
            for pid in os.listdir(self._proc):  # noqa: PTH208 - names alone, a thousand times a minute
                if pid.isdecimal():
                    self._ask(int(pid), holders)
        return holders

    def _ask(self, pid: int, holders: dict[Identity, str]) -> None:
        """Note what one process holds; one that ends meanwhile holds nothing."""
        home = self._proc / str(pid)
        held: list[Identity] = []
        try:
            held += self._descriptors(home, pid)
            held += self._mapped(home)
        except PermissionError:
            self.hidden += 1
        except OSError:
            pass
        if held:
            name = f"{_name(home)} ({pid})"
            for identity in held:
                holders.setdefault(identity, name)

    def _descriptors(self, home: Path, pid: int) -> Iterator[Identity]:
        places = [f"{home}/fd/{each}" for each in os.listdir(home / "fd")]  # noqa: PTH208
        for place in [*places, f"{home}/cwd", f"{home}/root", f"{home}/exe"]:
            with suppress(OSError):
                found = os.stat(place)  # noqa: PTH116
                # Our own walk holds the directories that it is in.
                if not (pid == os.getpid() and stat.S_ISDIR(found.st_mode)):
                    yield found.st_dev, found.st_ino

    def _mapped(self, home: Path) -> Iterator[Identity]:
        """Files that are mapped into memory stay in use when they are closed."""
        for line in (home / "maps").read_bytes().splitlines():
            parts = line.split(None, 5)
            if len(parts) == 6 and parts[4] != b"0":
                major, minor = parts[3].split(b":")
                yield os.makedev(int(major, 16), int(minor, 16)), int(parts[4])


def _name(home: Path) -> str:
    with suppress(OSError):
        return (home / "comm").read_text(errors="replace").strip()
    return "a program"
