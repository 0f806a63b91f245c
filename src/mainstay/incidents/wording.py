"""Messages: what people are told of an event, complete, so that a notifier needs nothing else."""

from typing import Any

from mainstay.core.incident import Event, EventKind, Incident
from mainstay.core.notifier import Message


def message_of(key: str, incident: Incident, event: Event, link: str | None) -> Message:
    """Put an event into a message; `key` identifies it for ever."""
    return Message(
        key=key,
        thread=incident.id,
        kind=event.kind,
        severity=incident.severity,
        service=incident.service,
        title=incident.title,
        detail=event.detail or incident.detail,
        event_at=event.at,
        link=link,
        facts=_facts(incident, event),
    )


def _facts(incident: Incident, event: Event) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "key": incident.key,
        "failed_at": incident.failed_at,
        "opened_at": incident.opened_at,
    }
    if incident.acknowledged_by:
        facts["acknowledged_by"] = incident.acknowledged_by
    if event.kind is EventKind.RESOLVED:
        facts["resolved_at"] = event.at
        facts["seconds"] = event.facts.get("seconds", max(0.0, event.at - incident.failed_at))
    if hint := incident.facts.get("hint"):
        facts["hint"] = hint
    return facts
