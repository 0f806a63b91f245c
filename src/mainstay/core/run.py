"""A run: one execution of a job, journalled step by step."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class RunState(StrEnum):
    """Where a run stands. PARKED means that its steps changed with the code and a person must decide."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    PARKED = "parked"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in (RunState.DONE, RunState.FAILED, RunState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a job. Times are seconds since 1970.

    `key` is the only truth about duplicates: two requests with one key are one run. `fence` grows with every
    change of owner, and a write that carries an older fence is refused. `missed` counts the due times that this
    run stands for because nobody was there at the time.
    """

    id: str
    job: str
    key: str
    state: RunState
    due_at: float
    args: dict[str, Any] = field(default_factory=dict)
    why: str = "schedule"
    attempt: int = 0
    missed: int = 0
    owner: str | None = None
    fence: int = 0
    plan: tuple[str, ...] = ()
    created_at: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None
    next_try_at: float | None = None
    summary: str = ""
    outcome: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
