"""The queue: runs wait in the journal until a runner takes them."""

from collections.abc import Mapping
from typing import Any

from mainstay.core.errors import MainstayError
from mainstay.core.ids import new_id
from mainstay.core.run import Run, RunState
from mainstay.store import runs
from mainstay.store.base import Tx


def enqueue(
    tx: Tx,
    job: str,
    *,
    key: str,
    due_at: float,
    now: float,
    args: Mapping[str, Any] | None = None,
    why: str = "schedule",
    missed: int = 0,
    owner: str | None = None,
) -> Run:
    """Queue a run, or give the one that already has this key. It starts at `due_at`, or at once if that is past.

    Times are seconds since 1970. `owner` reserves it for one node; if that node dies anybody may take it.
    """
    run = Run(
        id=new_id(now),
        job=job,
        key=key,
        state=RunState.QUEUED,
        due_at=due_at,
        args=dict(args or {}),
        why=why,
        missed=missed,
        owner=owner,
        created_at=now,
        next_try_at=due_at if due_at > now else None,
    )
    kept = runs.insert(tx, run)
    if kept.id == run.id:
        tx.signal("runs")
    return kept


def cancel(tx: Tx, run_id: str, *, now: float, why: str = "cancelled") -> Run:
    """End a run that has not ended; whoever runs it stops at once. Raises `MainstayError` if it has ended."""
    if not runs.close(tx, run_id, RunState.CANCELLED, now, summary=why):
        raise MainstayError(f"run {run_id} has ended already" if runs.get(tx, run_id) else _unknown(run_id))
    tx.signal("runs")
    return _known(tx, run_id)


def retry(tx: Tx, run_id: str) -> Run:
    """Queue an ended or parked run again.

    A failed or cancelled run goes on after its last finished step; a parked one begins anew with today's steps.
    Raises `MainstayError` if it is done, waits or runs.
    """
    run = _known(tx, run_id)
    if not runs.reopen(tx, run_id, anew=run.state is RunState.PARKED):
        hint = "start a new one with: mainstay run" if run.state is RunState.DONE else None
        raise MainstayError(f"run {run_id} is {run.state.value}, there is nothing to try again", hint=hint)
    tx.signal("runs")
    return _known(tx, run_id)


def _known(tx: Tx, run_id: str) -> Run:
    run = runs.get(tx, run_id)
    if run is None:
        raise MainstayError(_unknown(run_id))
    return run


def _unknown(run_id: str) -> str:
    return f"there is no run {run_id}"
