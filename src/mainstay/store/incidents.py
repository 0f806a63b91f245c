"""Incidents and their timelines in the journal."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from mainstay.core.incident import Event, EventKind, Incident, IncidentState, Severity
from mainstay.store.base import Row, Tx


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Since when (seconds since 1970) a check fails or warns without having an incident."""

    failed_at: float | None = None
    warned_at: float | None = None


def live(tx: Tx) -> list[Incident]:
    """Give every incident that is not resolved, oldest first."""
    return _oldest_first(tx.all("incidents.live"))


def live_of(tx: Tx, key: str) -> Incident | None:
    """Give the incident with a key that is not resolved; there is one at most."""
    row = tx.one("incidents.live_of", key=key)
    return None if row is None else _incident(row)


def live_of_service(tx: Tx, service: str) -> list[Incident]:
    """Give a service's incidents that are not resolved, oldest first."""
    return _oldest_first(tx.all("incidents.live_of_service", service=service))


def latest(tx: Tx, key: str) -> Incident | None:
    """Give the newest incident with a key, resolved or not."""
    row = tx.one("incidents.latest", key=key)
    return None if row is None else _incident(row)


def get(tx: Tx, incident: str) -> Incident | None:
    """Give one incident by its identifier."""
    row = tx.one("incidents.get", id=incident)
    return None if row is None else _incident(row)


def recent(tx: Tx, limit: int = 50) -> list[Incident]:
    """Give the newest incidents, those that are open first."""
    return [_incident(row) for row in tx.all("incidents.recent", limit=limit)]


def put(tx: Tx, incident: Incident) -> None:
    """Write an incident as it is now."""
    tx.run("incidents.put", **{**asdict(incident), "facts": json.dumps(incident.facts, ensure_ascii=False)})


def add_event(tx: Tx, event: Event) -> None:
    """Add a line to a timeline."""
    tx.run("incidents.add_event", **{**asdict(event), "facts": json.dumps(event.facts, ensure_ascii=False)})


def events(tx: Tx, incident: str) -> list[Event]:
    """Give an incident's timeline."""
    return [_event(row) for row in tx.all("incidents.events", incident=incident)]


def suspicions(tx: Tx) -> dict[str, Suspicion]:
    """Give the checks that fail or warn without having an incident."""
    return {
        str(row["check_id"]): Suspicion(row["failed_at"], row["warned_at"])
        for row in tx.all("incidents.suspicions")
    }


def put_suspicion(tx: Tx, check: str, suspicion: Suspicion) -> None:
    """Remember since when a check fails or warns, or that it does neither."""
    if suspicion == Suspicion():
        tx.run("incidents.drop_suspicion", check_id=check)
    else:
        tx.run("incidents.put_suspicion", check_id=check, **asdict(suspicion))


def actions_since(tx: Tx, since: float) -> list[tuple[str, float, str]]:
    """Give (service, when, incident) of each playbook's action after `since`, oldest first."""
    rows = tx.all("incidents.actions_since", since=since)
    return [(str(row["service"]), float(row["at"]), str(row["incident"])) for row in rows]


def _oldest_first(rows: list[Row]) -> list[Incident]:
    return sorted(map(_incident, rows), key=lambda incident: incident.id)


def _incident(row: Row) -> Incident:
    fields: dict[str, Any] = dict(row)
    fields["severity"] = Severity(fields["severity"])
    fields["state"] = IncidentState(fields["state"])
    fields["facts"] = json.loads(fields["facts"])
    return Incident(**fields)


def _event(row: Row) -> Event:
    fields: dict[str, Any] = dict(row)
    fields["kind"] = EventKind(fields["kind"])
    fields["facts"] = json.loads(fields["facts"])
    return Event(**fields)
