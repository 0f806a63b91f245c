"""Healing that itself broke: people are called, for nothing else will be done."""

from mainstay.core.run import Run, RunState
from mainstay.engine.runner import RunHook
from mainstay.incidents.desk import Desk
from mainstay.playbooks.reaction import PREFIX
from mainstay.store import incidents
from mainstay.store.base import Tx


def hook(desk: Desk) -> RunHook:
    """Give the runner's hook: a run of healing that failed for good or is parked escalates its incident."""

    def ended(tx: Tx, run: Run) -> None:
        incident = run.args.get("incident")
        if not run.job.startswith(PREFIX) or run.state not in (RunState.FAILED, RunState.PARKED):
            return
        if isinstance(incident, str) and incidents.get(tx, incident) is not None:
            reason = run.error or "it gave no reason"
            desk.escalate(tx, incident, f"Healing broke off: {reason}. Somebody has to look at it.")

    return ended
