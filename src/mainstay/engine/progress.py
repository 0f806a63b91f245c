"""How far a run is: told at once to who started it, and twice a second at most to the journal."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the present step of a run is; `total` is None when nobody knows. `at` is seconds since 1970."""

    label: str
    done: float
    total: float | None
    unit: str
    at: float


OnProgress = Callable[[Progress], None]
OnLog = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Listener:
    """Who asked for a run in this process and wants to see it."""

    on_log: OnLog | None = None
    on_progress: OnProgress | None = None
