"""What a process and all that it starts take while something runs: memory, and files on the disk."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

EVERY = 0.1
"""Seconds between two looks."""
SERVER = "postgres"
"""The name of the processes of a PostgreSQL server, which are not ours."""


class Watcher:
    """Looks again and again until the block ends; `memory` and `disk` are the most that was seen, in bytes.

    Memory that several processes share is counted once (Pss).
    """

    def __init__(self, pid: int, *folders: Path) -> None:
        self.pid = pid
        self.folders = folders
        self.memory = 0
        self.disk = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *fault: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.memory = max(self.memory, sum(map(proportional, tree(self.pid))))
            self.disk = max(self.disk, sum(map(on_disk, self.folders)))
            if self._end.wait(EVERY):
                return


def tree(pid: int) -> list[int]:
    """Give a process and its descendants, without servers.

    Between its fork and its exec a child is its parent still, whose memory would count twice.
    """
    found, todo = [], [(pid, b"")]
    while todo:
        each, parent = todo.pop()
        with suppress(OSError):
            words = Path(f"/proc/{each}/cmdline").read_bytes()
            if words == parent or Path(f"/proc/{each}/comm").read_text().strip() == SERVER:
                continue
            found.append(each)
            for task in Path(f"/proc/{each}/task").iterdir():
                todo += [(int(child), words) for child in (task / "children").read_text().split()]
    return found


def proportional(pid: int) -> int:
    """Give the memory of a process in bytes, what it shares divided among those that share it; 0 when it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def on_disk(folder: Path) -> int:
    """Give what all files below a folder take on the disk, in bytes."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += Path(place, name).lstat().st_blocks * 512
    return total
