"""What both forms need to know of a job, and of the machine."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mainstay.core.job import Job
from mainstay.core.schedule import Schedule


@dataclass(frozen=True, slots=True)
class Entry:
    """A job with a schedule. `patience` is how long a run may take with all of its tries, in seconds."""

    name: str
    schedule: Schedule
    words: str
    punctual: bool
    patience: float


@dataclass(frozen=True, slots=True)
class Machine:
    """How mainstay is called here: the program, its configuration, where secrets lie, as whom, in which zone."""

    program: Sequence[str]
    config: str
    secrets: str = "/etc/mainstay/secrets"
    user: str = "mainstay"
    timezone: str = "UTC"

    def command(self, job: str) -> str:
        """Give the command that does what is due of a job."""
        return shlex.join([*self.program, "run", "--due", job, "--config", self.config])


@dataclass(frozen=True, slots=True)
class Written:
    """Files by name, the first of them the main one, and what somebody should know."""

    files: Mapping[str, str]
    notes: list[str] = field(default_factory=list)


NOTES = (
    "what an incident owes is sent by the agent, and by nobody else: let mainstay up run, or heed exit codes",
    "checks are asked by the agent; without it, give health_check a schedule under jobs:",
)


def entries_of(jobs: Mapping[str, Job], timezone: str) -> list[Entry]:
    """Give every job that has a schedule."""
    found = []
    for name, job in jobs.items():
        schedule = job.schedule(timezone)
        if schedule.at is not None or schedule.every is not None:
            patience = (job.timeout + 900.0) * (job.retries + 1)
            punctual = job.catch_up == "none"
            found.append(Entry(name, schedule, schedule.explain(), punctual, patience))
    return found
