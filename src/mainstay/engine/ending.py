"""What became of one try of a run."""

import asyncio
import traceback
from dataclasses import dataclass
from typing import Any

from mainstay.core.errors import MainstayError
from mainstay.core.job import JobFailed, Outcome
from mainstay.core.run import RunState
from mainstay.core.secret import redact
from mainstay.core.units import format_duration

LONGEST_ERROR = 1000


@dataclass(frozen=True, slots=True)
class Ending:
    """`state` QUEUED means that the try does not count: the run is given back. `log` is for the run's log."""

    state: RunState
    error: str | None = None
    outcome: Outcome | None = None
    retry: bool = False
    log: str = ""


def judge(work: "asyncio.Task[Any]", *, timeout: float, late: bool, given_back: bool) -> Ending:
    """Say what a job's task came to. `late`: it was stopped for time; `given_back`: for somebody else to go on."""
    error = None if not work.done() or work.cancelled() else work.exception()
    if work.done() and not work.cancelled() and error is None:
        return _finished(work.result())
    if given_back:
        return Ending(RunState.QUEUED)
    if late:
        return Ending(
            RunState.FAILED, f"took longer than {format_duration(timeout)} and was stopped", retry=True
        )
    if error is None:
        return Ending(RunState.FAILED, "the job cancelled itself", retry=True)
    return _failed(error)


def _finished(outcome: object) -> Ending:
    if isinstance(outcome, Outcome):
        return Ending(RunState.DONE, outcome=outcome)
    return Ending(RunState.FAILED, f"the job gave {type(outcome).__name__} instead of an Outcome")


def _failed(error: BaseException) -> Ending:
    retry = not isinstance(error, JobFailed) or error.retry
    if isinstance(error, MainstayError):
        return Ending(RunState.FAILED, one_line(str(error)), retry=retry)
    story = "".join(traceback.format_exception(error))
    return Ending(RunState.FAILED, one_line(f"{type(error).__name__}: {error}"), retry=retry, log=story)


def one_line(text: str) -> str:
    """Give the text as one line of bounded length, secrets masked."""
    return " ".join(redact(text).split())[:LONGEST_ERROR]
