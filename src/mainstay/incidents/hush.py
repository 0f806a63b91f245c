"""When nobody is told: in a silence, and while a service fails only because one that it needs fails.

It holds back news, never checks and never the end of what was told. What outlasts it is told afterwards.
"""

from collections.abc import Callable, Collection

from mainstay.core.incident import Incident
from mainstay.incidents.machine import LOUDNESS
from mainstay.store import incidents, silences
from mainstay.store.base import Tx

SILENCED = "silenced"
"""Fact of an incident: there was news of it that nobody was told of yet."""
BECAUSE = "because"
"""Fact of an incident: the incident of a needed service that explains it."""
AFTERMATH = 60.0
"""Seconds that a service gets to recover after the one that it needs."""

Needs = Callable[[str], Collection[str]]
"""Gives the services that a service needs."""


def cause_of(tx: Tx, incident: Incident, needs: Needs) -> Incident | None:
    """Give the open incident that explains this one: of a needed service, at least as loud, and told of."""
    if "check" not in incident.facts:
        return None
    for name in needs(incident.service):
        for other in incidents.live_of_service(tx, name):
            told = SILENCED not in other.facts or BECAUSE in other.facts
            loud = LOUDNESS[other.severity] >= LOUDNESS[incident.severity]
            if told and loud and other.facts.get("verdict") == "fail":
                return other
    return None


def hushed(tx: Tx, incident: Incident, now: float) -> bool:
    """Say whether news of an incident is held back now."""
    if any(silence.covers(incident.service) for silence in silences.active(tx, now)):
        return True
    because = incident.facts.get(BECAUSE)
    cause = incidents.get(tx, because) if isinstance(because, str) else None
    return cause is not None and (cause.resolved_at is None or now - cause.resolved_at < AFTERMATH)
