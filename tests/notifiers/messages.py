"""Messages for the tests of notifiers."""

from __future__ import annotations

from typing import Any

from mainstay.core.incident import EventKind, Severity
from mainstay.core.notifier import Message

AT = 1_780_000_000.0  # 2026-05-28 20:26:40 UTC


def message(kind: EventKind = EventKind.OPENED, **changes: Any) -> Message:
    """What people are told when the Order API is down."""
    facts: dict[str, Any] = {"key": "check:api/http", "failed_at": AT - 1, "opened_at": AT}
    if kind is EventKind.RESOLVED:
        facts["seconds"] = 75.0
    if kind is EventKind.ACKNOWLEDGED:
        facts["acknowledged_by"] = "ana"
    fields: dict[str, Any] = {
        "key": f"key-{kind.value}",
        "thread": "incident-1",
        "kind": kind,
        "severity": Severity.CRITICAL,
        "service": "api",
        "title": "Order API fails its http check",
        "detail": "503 Service Unavailable",
        "event_at": AT,
        "link": "https://status.example.com/incidents/incident-1",
        "facts": facts,
    }
    return Message(**{**fields, **changes})
