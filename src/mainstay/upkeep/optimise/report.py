"""What a run found and did, and what changed since last week."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mainstay.core.amounts import format_size
from mainstay.core.units import format_duration
from mainstay.upkeep.optimise.ailment import Ailment, Deed, Level

SHOWN = 200
"""Ailments that a report keeps one by one; further ones are counted."""
REMEMBERED = 60
"""Looks that are remembered: a year of weekly ones."""
A_WEEK = 6.5 * 86400.0
"""Seconds after which a look is last week's."""
DONE = {
    "drop": "dropped",
    "freeze": "frozen",
    "vacuum": "vacuumed",
    "analyze": "analysed",
    "rebuild": "rebuilt",
}
COMPARED = ("bytes", "empty_bytes", "dead_rows", "xid_age", "cache_hit_percent", "unused_indexes")


@dataclass
class Report:
    """The report of one run. `done` are deeds with what came free, `left` those that were not done, and why."""

    ailments: list[Ailment] = field(default_factory=list)
    done: list[tuple[Deed, int]] = field(default_factory=list)
    left: list[tuple[Deed, str]] = field(default_factory=list)
    waiting: list[Deed] = field(default_factory=list)
    """Deeds that the time did not reach."""
    databases: dict[str, dict[str, Any]] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    """Older looks, oldest first: `at`, `databases` with their figures, `keys` of what was ill."""

    @property
    def freed(self) -> int:
        """Bytes that came free."""
        return sum(freed for _, freed in self.done)

    def summary(self, budget: float) -> str:
        """It in one sentence."""
        works = Counter(str(deed.work) for deed, _ in self.done)
        parts = [f"{count} {DONE[work]}" for work, count in works.items()] or ["nothing to mend"]
        if self.freed:
            parts.append(f"{format_size(self.freed)} came free")
        parts.append(
            f"{len(self.ailments)} for people to look at" if self.ailments else "nothing else is ill"
        )
        if self.left:
            parts.append(f"{len(self.left)} could not be done")
        late = f"; {format_duration(budget)} were up, the next run goes on" if self.waiting else ""
        return ", ".join(parts) + late

    def changes(self, at: float) -> dict[str, Any]:
        """Say what changed since last week's look, or since the oldest one; empty when there is none."""
        older = [each for each in self.history if at - each["at"] >= A_WEEK]
        before = older[-1] if older else self.history[0] if self.history else None
        if before is None:
            return {}
        keys, known = {each.key for each in self.ailments}, set(before["keys"])
        return {
            "since": before["at"],
            "new": sorted(keys - known),
            "gone": sorted(known - keys),
            "figures": {
                name: _differences(before["databases"].get(name, {}), now)
                for name, now in self.databases.items()
            },
        }

    def to_json(self, at: float) -> dict[str, Any]:
        """Give it as the outcome of a run."""
        return {
            "in_time": not self.waiting,
            "freed_bytes": self.freed,
            **{str(level): sum(1 for each in self.ailments if each.level is level) for level in Level},
            "databases": self.databases,
            "mended": [
                {"database": deed.database, "what": deed.sql, "why": deed.why, "freed_bytes": freed}
                for deed, freed in self.done[:SHOWN]
            ],
            "left": [
                {"database": deed.database, "what": deed.sql, "why": why} for deed, why in self.left[:SHOWN]
            ],
            "waiting": len(self.waiting),
            "ailments": [each.to_json() for each in self.ailments[:SHOWN]],
            "changes": self.changes(at),
            "history": [
                {"at": each["at"], "databases": each["databases"]}
                for each in [*self.history, self.look(at)][-26:]
            ],
        }

    def look(self, at: float) -> dict[str, Any]:
        """What is remembered of this run."""
        figures = {
            name: {key: now[key] for key in COMPARED if now.get(key) is not None}
            for name, now in self.databases.items()
        }
        return {"at": at, "databases": figures, "keys": [each.key for each in self.ailments[:SHOWN]]}

    def remembered(self, at: float) -> Sequence[dict[str, Any]]:
        """The looks that the next run may compare with. The keys of the older ones are of no use any more."""
        looks = [*self.history, self.look(at)][-REMEMBERED:]
        return [{**each, "keys": each["keys"] if at - each["at"] < 3 * A_WEEK else []} for each in looks]


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: {"before": before[key], "now": now[key]}
        for key in COMPARED
        if before.get(key) is not None and now.get(key) is not None and before[key] != now[key]
    }
