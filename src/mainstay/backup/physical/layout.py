"""Positions and segments of the write-ahead log, and where everything lies in a storage."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mainstay.backup.manifest import database_folder

ROOT = "_physical"
"""No database may be called so, which keeps this lane apart from the logical one."""
SEGMENT = re.compile(r"[0-9A-F]{24}")
HISTORY = re.compile(r"([0-9A-F]{8})\.history")


def parse_lsn(text: str) -> int:
    """Read a position like `0/16B3748`. Raises `ValueError`."""
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) | int(low, 16)


def format_lsn(position: int) -> str:
    """Write a position as PostgreSQL does."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """A file of the log: the `number`th of its timeline; `size` is that of every segment of a server, in bytes."""

    timeline: int
    number: int
    size: int

    @classmethod
    def named(cls, name: str, size: int) -> "Segment":
        """Read a file's name."""
        per = 0x1_0000_0000 // size
        return cls(int(name[:8], 16), int(name[8:16], 16) * per + int(name[16:24], 16), size)

    @classmethod
    def holding(cls, timeline: int, position: int, size: int) -> "Segment":
        """Give the segment in which a position lies."""
        return cls(timeline, position // size, size)

    @property
    def name(self) -> str:
        per = 0x1_0000_0000 // self.size
        return f"{self.timeline:08X}{self.number // per:08X}{self.number % per:08X}"

    @property
    def start(self) -> int:
        """The position of its first byte."""
        return self.number * self.size

    @property
    def end(self) -> int:
        """The position after its last byte."""
        return self.start + self.size


@dataclass(frozen=True, slots=True)
class Fork:
    """Where a timeline ended and the next began."""

    timeline: int
    at: int


def read_history(text: str) -> Iterator[Fork]:
    """Read a timeline's history file: its ancestors, the oldest first."""
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0].isdigit() and "/" in words[1]:
            yield Fork(int(words[0]), parse_lsn(words[1]))


def home_of(database: str) -> str:
    """Give the folder of a database's server."""
    return f"{ROOT}/{database_folder(database)}"


def bases_folder(database: str) -> str:
    """Give the folder of a database's base backups."""
    return f"{home_of(database)}/base"


def log_name(system: str, branch: int = 0) -> str:
    """Give what a branch of a server's log is called. Another server under the same name has another one."""
    return f"{system}.{branch}" if branch else system


def log_home(database: str, system: str, branch: int = 0) -> str:
    """Give the folder of a server's log."""
    return f"{home_of(database)}/{log_name(system, branch)}"
