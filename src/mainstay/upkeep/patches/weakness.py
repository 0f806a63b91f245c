"""What is weak about a machine, in one shape for all sources."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """How much it matters. UNKNOWN is never as good as nothing: somebody could not look."""

    CRITICAL = "critical"
    WARNING = "warning"
    NOTE = "note"
    UNKNOWN = "unknown"


ORDER = tuple(Level)
SYSTEM_PACKAGES = "packages of the system"
"""The subject when nobody knows whether updates are missing."""


@dataclass(frozen=True, slots=True)
class Weakness:
    """One thing that is weak, or that nobody knows.

    `kind` is one of package, python, image, version, reboot, restart, unknown. `since` is when it was seen first, in
    seconds since 1970.
    """

    kind: str
    subject: str
    detail: str
    level: Level = Level.WARNING
    fix: str = ""
    since: float = 0.0

    @property
    def key(self) -> str:
        """What tells it apart from others, from run to run."""
        return f"{self.kind}:{self.subject}"

    @property
    def words(self) -> str:
        """It in one line."""
        return f"{self.subject}: {self.detail}"

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data."""
        return {**asdict(self), "level": str(self.level)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Weakness":
        """Take it back."""
        return cls(**{**data, "level": Level(data["level"])})


def unknown(subject: str, why: str, fix: str = "") -> Weakness:
    """Say that something could not be looked at."""
    return Weakness("unknown", subject, why, Level.UNKNOWN, fix)


def aged(found: Iterable[Weakness], seen: Mapping[str, float], now: float, overdue: float) -> list[Weakness]:
    """Give each the time at which it was first seen, and make loud what has been open for too long.

    A hole with a remedy that nobody applied for `overdue` seconds is critical; a note becomes a warning. The worst
    come first.
    """
    result = []
    for each in found:
        since = seen.get(each.key, now)
        level = _louder(each) if now - since >= overdue else each.level
        result.append(replace(each, level=level, since=since))
    return sorted(result, key=lambda each: (ORDER.index(each.level), each.since, each.key))


def _louder(weak: Weakness) -> Level:
    """Say how much something matters that has been open for too long."""
    if weak.kind in ("package", "python", "image") and weak.level is not Level.UNKNOWN and weak.fix:
        return Level.CRITICAL
    return Level.WARNING if weak.kind in ("reboot", "restart") else weak.level
