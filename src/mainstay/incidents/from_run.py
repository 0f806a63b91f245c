"""Incidents from runs: a job that failed for good is an incident until it succeeds."""

from collections.abc import Callable

from mainstay.core.incident import Severity
from mainstay.core.run import Run, RunState
from mainstay.incidents.desk import Desk
from mainstay.store.base import Tx

CRITICAL_JOBS = ("backup:", "prove:", "base_backup:", "prove_log:", "check_log:", "renew:")
"""What such jobs do cannot be caught up by hand: their failure wakes people."""


SPEAK_FOR_THEMSELVES = ("heal:",)
"""What such jobs do is told in the incident that they are about."""


def severity_of(job: str) -> Severity:
    """Say how loud the failure of a job is."""
    return Severity.CRITICAL if job.startswith(CRITICAL_JOBS) else Severity.WARNING


def key_of(job: str) -> str:
    """Give the key of incidents about a job."""
    return f"job:{job}"


def title_of(job: str) -> str:
    """Say what failed, for people who do not know the names of jobs."""
    kind, _, what = job.partition(":")
    titles = {
        "backup": f"The backup of {what} failed",
        "prove": f"The backup of {what} is not proven",
        "renew": f"The certificate of {what} is not in order",
        "verify": f"The stored backups of {what} are not verified",
        "base_backup": f"The base backup of {what} failed",
        "check_log": f"The archive of {what} is not in order",
        "prove_log": f"{what} cannot be restored to a moment",
    }
    return titles.get(kind, f"The job {job} failed") if what else f"The job {job} failed"


def hook(desk: Desk, severity: Callable[[str], Severity] = severity_of) -> Callable[[Tx, Run], None]:
    """Give the runner's hook, called in the transaction that ends a run."""

    def ended(tx: Tx, run: Run) -> None:
        if run.job.startswith(SPEAK_FOR_THEMSELVES):
            return
        if run.state is RunState.DONE:
            desk.clear_condition(tx, key_of(run.job), run.summary)
        elif run.state is RunState.FAILED:
            _failed(desk, tx, run, severity(run.job))
        elif run.state is RunState.PARKED:
            _parked(desk, tx, run)

    return ended


def _failed(desk: Desk, tx: Tx, run: Run, severity: Severity) -> None:
    reason = run.error or "It gave no reason."
    tries = f" (tried {run.attempt} times)" if run.attempt > 1 else ""
    desk.raise_condition(
        tx,
        key_of(run.job),
        service=str(run.args.get("service") or run.job),
        severity=severity,
        title=title_of(run.job),
        detail=f"{reason}{tries}",
        hint=f"mainstay logs {run.job} shows the run; mainstay run {run.job} repeats it",
        facts={"job": run.job, "run": run.id},
    )


def _parked(desk: Desk, tx: Tx, run: Run) -> None:
    desk.raise_condition(
        tx,
        key_of(run.job),
        service=str(run.args.get("service") or run.job),
        severity=Severity.WARNING,
        title=f"A run of {run.job} waits for a decision",
        detail=run.error
        or "Its steps changed with the program while it was under way, so it was not taken up again.",
        hint=f"mainstay run {run.job} starts afresh",
        facts={"job": run.job, "run": run.id},
    )
