"""What one run found, and how it is told."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from mainstay.upkeep.patches.weakness import Level, Weakness

SHOWN = 200
"""Weaknesses that a report keeps one by one; further ones are counted."""


@dataclass(frozen=True)
class Report:
    """The weaknesses of a run, the worst first; `applied` are packages with their new versions."""

    weaknesses: list[Weakness]
    applied: list[str]
    looked: dict[str, int]
    """What was looked at, and how many of it: packages, environments, images, versions."""

    def count(self, *levels: Level) -> int:
        """Say how many there are of some levels."""
        return sum(1 for each in self.weaknesses if each.level in levels)

    @property
    def clean(self) -> bool:
        """Whether everything was looked at and nothing is wrong."""
        return self.count(Level.CRITICAL, Level.WARNING, Level.UNKNOWN) == 0

    @property
    def summary(self) -> str:
        """It in one sentence."""
        parts = [_many(len(self.applied), "security update") + " applied"] if self.applied else []
        kinds = Counter(each.kind for each in self.weaknesses if each.level is not Level.UNKNOWN)
        nouns = {
            "package": "security update",
            "python": "hole in Python packages",
            "image": "image with holes",
            "version": "version that runs out",
        }
        parts += [_many(kinds[kind], noun) for kind, noun in nouns.items() if kinds[kind]]
        parts += [
            words
            for kind, words in (("reboot", "a reboot"), ("restart", "programs to restart"))
            if kinds[kind]
        ]
        if not kinds:
            parts.append("nothing is missing")
        if unseen := self.count(Level.UNKNOWN):
            parts.append(f"{unseen} unknown")
        critical = self.count(Level.CRITICAL)
        return ", ".join(parts) + (f"; {critical} critical" if critical else "")

    def to_json(self) -> dict[str, Any]:
        """Give it as the outcome of a run."""
        return {
            "clean": self.clean,
            **{str(level): self.count(level) for level in Level},
            "applied": self.applied,
            "looked_at": self.looked,
            "weaknesses": [each.to_json() for each in self.weaknesses[:SHOWN]],
        }


def _many(count: int, noun: str) -> str:
    if count == 1:
        return f"1 {noun}"
    first, _, rest = noun.partition(" ")
    plurals = {"hole": "holes", "image": "images", "version": "versions", "security": "security"}
    if first == "security":
        return f"{count} security updates"
    return f"{count} {plurals[first]} {rest.replace('that runs', 'that run')}"
