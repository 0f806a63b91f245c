"""Words that all channels share: headlines, fields, and the note of a late message."""

from datetime import UTC, datetime

from mainstay.core.incident import EventKind
from mainstay.core.notifier import Message
from mainstay.core.units import format_duration

LATE = 60.0
"""A message that is told later than this after its event says when the event was."""


def headline(message: Message) -> str:
    """Give the first line: `Critical: Order API fails its http check`."""
    words = {
        EventKind.ACKNOWLEDGED: "Acknowledged",
        EventKind.ESCALATED: "Escalated",
        EventKind.RESOLVED: "Resolved",
    }
    return f"{words.get(message.kind, message.severity.value.capitalize())}: {one_line(message.title)}"


def moment(at: float) -> str:
    """Write a time: `2026-08-01 02:00:05 UTC`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def iso(at: float) -> str:
    """Write a time for machines: `2026-08-01T02:00:05.120Z` (RFC 3339)."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def late_note(message: Message, now: float) -> str | None:
    """Say when it really was, if that is a while ago."""
    delay = now - message.event_at
    if delay <= LATE:
        return None
    return f"Delivered late: this was at {moment(message.event_at)}, {format_duration(delay)} ago."


def fields(message: Message) -> list[tuple[str, str]]:
    """Give the facts worth a line of their own, as (name, value)."""
    found = [("Service", message.service)]
    if isinstance(failed_at := message.facts.get("failed_at"), (int, float)):
        found.append(("Since", moment(failed_at)))
    if isinstance(seconds := message.facts.get("seconds"), (int, float)):
        found.append(("Lasted", format_duration(seconds)))
    if who := message.facts.get("acknowledged_by"):
        found.append(("Acknowledged by", str(who)))
    if hint := message.facts.get("hint"):
        found.append(("What to do", str(hint)))
    return found


def one_line(text: str) -> str:
    """Put a text on one line."""
    return " ".join(text.split())


def clip(text: str, limit: int) -> str:
    """Cut a text to `limit` characters, and show that it was cut."""
    return text if len(text) <= limit else text[: max(0, limit - 1)] + "…"
