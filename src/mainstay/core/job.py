"""Jobs do: they change the world in named steps that are never repeated once finished."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, Self, TypeVar

from pydantic import model_validator

from mainstay.core.errors import MainstayError
from mainstay.core.plugin import Plugin
from mainstay.core.schedule import Cron, Schedule, TimeZone
from mainstay.core.units import Duration

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a finished run says of itself: a sentence with figures, and the figures."""

    summary: str
    data: dict[str, Any] = field(default_factory=dict)


class JobFailed(MainstayError):
    """The job could not do its work. `retry=False` when trying again cannot help."""

    def __init__(self, what: str, *, hint: str | None = None, retry: bool = True) -> None:
        super().__init__(what, hint=hint)
        self.retry = retry


class RunContext(Protocol):
    """What a running job is given."""

    id: str
    job: str
    due_at: float
    attempt: int
    args: Mapping[str, Any]

    async def step(self, name: str, action: Callable[[], Awaitable[T]]) -> T:
        """Do `action` once, ever, in this run, and keep its JSON-able result.

        When an earlier process finished the step, its kept result is returned and nothing is done. A step that was
        killed half way is done again, so it must be safe to repeat.
        """
        ...

    def log(self, line: str) -> None:
        """Add a line to the run's live log; secrets are masked."""
        ...

    def progress(self, label: str, done: float, total: float | None = None, unit: str = "") -> None:
        """Say how far a long step is; shown on a terminal and on the dashboard, kept nowhere else."""
        ...

    def now(self) -> float:
        """Wall time, seconds since 1970."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait on the injected clock."""
        ...

    def get(self, port: type[T]) -> T:
        """Give the adapter that the composition root provides for `port`."""
        ...


class Look(Protocol):
    """What a job is given to say what it would do."""

    args: Mapping[str, Any]

    def now(self) -> float:
        """Wall time, seconds since 1970."""
        ...

    def get(self, port: type[T]) -> T:
        """Give the adapter that the composition root provides for `port`."""
        ...


class Job(Plugin, kind="job"):
    """Work with a schedule, a time-out, retries and an overlap rule."""

    urgent: ClassVar[bool] = False
    """Whether it starts at once, however many other runs are under way."""
    steps: ClassVar[tuple[str, ...]] = ()
    """The names of the steps in order. When it differs from a killed run's, that run is parked and reported."""

    at: Cron | None = None
    """When it is due, as five cron fields."""
    every: Duration | None = None
    """Or how often it is due."""
    timezone: TimeZone | None = None
    """Time zone of `at`; the file's own when left out."""
    timeout: Duration = 3600.0
    """A run that takes longer is stopped and counts as failed."""
    retries: int = 2
    """How often a failed run is tried again, with growing pauses."""
    overlap: Literal["skip", "queue"] = "queue"
    """What happens when it is due while it still runs: left out, or run afterwards."""
    catch_up: Literal["all", "last", "none"] = "last"
    """What is done about due times at which nobody was there: run for each of them, oldest first; run once for all
    of them; or nothing."""

    @model_validator(mode="after")
    def _catch_up_waits(self) -> Self:
        if self.catch_up == "all" and self.overlap == "skip":
            raise ValueError(
                "catch_up: all needs overlap: queue, for one run after the other makes up for the past"
            )
        return self

    def schedule(self, timezone: str = "UTC") -> Schedule:
        """Give the schedule, in the file's time zone unless the job has its own."""
        return Schedule(at=self.at, every=self.every, timezone=self.timezone or timezone)

    async def run(self, run: RunContext) -> Outcome:
        """Do the work. Raise `JobFailed` for expected faults."""
        raise NotImplementedError

    async def foresee(self, look: Look) -> list[str] | None:
        """Say, line by line, what a run would do now; change nothing. None when only a run can tell."""
        return None
