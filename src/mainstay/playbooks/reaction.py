"""From an incident's opening to the run that heals: written in the same transaction."""

from collections.abc import Collection, Mapping

from mainstay.core.incident import Event, EventKind, Incident
from mainstay.engine.queue import enqueue
from mainstay.incidents.desk import Reaction
from mainstay.playbooks.settings import HealSettings
from mainstay.ports.clock import Clock
from mainstay.store.base import Tx

PREFIX = "heal:"


def job_of(service: str) -> str:
    """Give the name of the job that heals a service: one each, so that two never wait for each other."""
    return f"{PREFIX}{service}"


def key_of(incident: str, attempt: int, waits: int = 0) -> str:
    """Give the key of a run: an incident's attempt, or the next look at it after a wait."""
    return f"heal:{incident}:later{waits}:{attempt}" if waits else f"heal:{incident}:{attempt}"


def reaction(
    targets: Mapping[str, HealSettings], clock: Clock, incurable: Collection[str] = frozenset()
) -> Reaction:
    """Give the reaction that queues the first attempt when a confirmed fail opens an incident of one of these.

    A restart does not cure what the checks `incurable` (by identifier) ask about: a certificate, a full disk.
    """

    def react(tx: Tx, incident: Incident, event: Event) -> None:
        news = event.kind in (EventKind.OPENED, EventKind.ESCALATED)
        if not news or incident.service not in targets or incident.facts.get("verdict") != "fail":
            return
        if incident.facts.get("check") in incurable:
            return
        now = clock.now()
        args = {"service": incident.service, "incident": incident.id, "attempt": 1}
        enqueue(
            tx,
            job_of(incident.service),
            key=key_of(incident.id, 1),
            due_at=now,
            now=now,
            args=args,
            why="incident",
        )

    return react
