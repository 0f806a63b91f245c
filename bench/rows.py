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
    """At most or at least this much, and why."""

    limit: float
    at_most: bool
    reason: str

    def met(self, value: float) -> bool:
        return value <= self.limit if self.at_most else value >= self.limit


def load_goals(path: Path = GOALS) -> dict[tuple[str, str], Goal]:
    """The goals by bench and trial: `[BENCH]`, then `TRIAL = {at_most = 10, reason = "..."}` or `at_least`."""
    document = tomllib.loads(path.read_text())
    return {
        (bench, trial): _goal(bench, trial, entry)
        for bench, trials in document.items()
        for trial, entry in trials.items()
    }


def _goal(bench: str, trial: str, entry: dict[str, Any]) -> Goal:
    match entry:
        case {"at_most": int() | float() as limit, "reason": str() as reason, **rest} if not rest:
            return Goal(limit, at_most=True, reason=reason)
        case {"at_least": int() | float() as limit, "reason": str() as reason, **rest} if not rest:
            return Goal(limit, at_most=False, reason=reason)
    raise ValueError(f"goals.toml: {bench}.{trial} needs at_most or at_least, and a reason, and nothing else")


def document(row: Row, goal: Goal | None) -> dict[str, Any]:
    """The row as `--json` prints it."""
    return {
        **asdict(row),
        "ratio": row.ratio,
        "goal": goal.limit if goal else None,
        "met": goal.met(row.ours) if goal else None,
    }
