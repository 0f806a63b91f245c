"""What a bench gives: rows with our figure and a peer's, and the goal that ours is held against.

A bench is a module `bench/NAME.py` with a docstring, a function `run() -> Iterator[Row]` and, when peers need programs
of the operating system, one line `# engines: blackbox prometheus` (names that `./dev` knows). A peer which cannot be
had is a row with `peer_value=None`; a row that misses its goal is shown like any other.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

GOALS = Path(__file__).parent / "goals.toml"
LIMITS = ("at_most", "at_least", "ratio_at_most", "ratio_at_least")
"""What a goal may limit: our own figure, or its ratio to the peer's."""


def quick() -> bool:
    """Whether a rough figure is enough (`--quick`): fewer repeats and shorter windows."""
    return os.environ.get("MAINSTAY_BENCH") == "quick"


@dataclass(frozen=True)
class Row:
    """One figure. `trial` names what was measured, `unit` says in what; `peer` is the name of whom we stand beside."""

    bench: str
    trial: str
    ours: float
    unit: str
    peer: str | None = None
    peer_value: float | None = None

    @property
    def ratio(self) -> float | None:
        """Ours over the peer's."""
        return self.ours / self.peer_value if self.peer_value else None


@dataclass(frozen=True)
class Goal:
    """At most or at least this much, and why; of our own figure, or of its ratio to the peer's."""

    limit: float
    at_most: bool
    reason: str
    of_ratio: bool = False

    def met(self, row: Row) -> bool | None:
        """Whether the row keeps to it; None when there is no peer to compare with."""
        value = row.ratio if self.of_ratio else row.ours
        if value is None:
            return None
        return value <= self.limit if self.at_most else value >= self.limit

    def __str__(self) -> str:
        words = f"{'at most' if self.at_most else 'at least'} {self.limit:g}"
        return f"{words} times the peer's" if self.of_ratio else words


def load_goals(path: Path = GOALS) -> dict[tuple[str, str], Goal]:
    """The goals by bench and trial: `[BENCH]`, then `TRIAL = {at_most = 10, reason = "..."}`; see `LIMITS`."""
    document = tomllib.loads(path.read_text())
    return {
        (bench, trial): _goal(bench, trial, entry)
        for bench, trials in document.items()
        for trial, entry in trials.items()
    }


def _goal(bench: str, trial: str, entry: dict[str, Any]) -> Goal:
    given = [key for key in LIMITS if isinstance(entry.get(key), int | float)]
    reason = entry.get("reason")
    if len(given) == 1 and isinstance(reason, str) and len(entry) == 2:
        kind = given[0]
        return Goal(entry[kind], kind.endswith("at_most"), reason, kind.startswith("ratio_"))
    raise ValueError(
        f"goals.toml: {bench}.{trial} needs one of {', '.join(LIMITS)}, and a reason, and nothing else"
    )


def document(row: Row, goal: Goal | None) -> dict[str, Any]:
    """The row as `--json` prints it."""
    return {
        **asdict(row),
        "ratio": row.ratio,
        "goal": goal.limit if goal else None,
        "met": goal.met(row) if goal else None,
    }
