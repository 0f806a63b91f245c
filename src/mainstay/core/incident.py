"""Incidents and their events."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class IncidentState(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class Severity(StrEnum):
    """How loud an incident is. CRITICAL wakes people."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class EventKind(StrEnum):
    """What can happen in an incident's life, in the words of its timeline."""

    FAILED = "failed"
    OPENED = "opened"
    ESCALATED = "escalated"
    ACKNOWLEDGED = "acknowledged"
    CHANGED = "changed"
    ACTION = "action"
    NOTE = "note"
    RESOLVED = "resolved"


TOLD = frozenset({EventKind.OPENED, EventKind.ESCALATED, EventKind.ACKNOWLEDGED, EventKind.RESOLVED})
"""The kinds of events that notifiers are told of."""


@dataclass(frozen=True, slots=True)
class Incident:
    """Something is wrong with `subject` (a check, a job, a backup) from `opened_at` until `resolved_at`.

    `key` names what is wrong; at most one incident with a key is open at a time. `failed_at` is when the fault
    was first seen, before it was confirmed.
    """

    id: str
    key: str
    service: str
    severity: Severity
    title: str
    detail: str
    state: IncidentState
    opened_at: float
    failed_at: float
    acknowledged_at: float | None = None
    acknowledged_by: str | None = None
    resolved_at: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """One line of an incident's timeline."""

    id: str
    incident: str
    at: float
    kind: EventKind
    detail: str
    facts: dict[str, Any] = field(default_factory=dict)
