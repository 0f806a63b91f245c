"""An incident's life as one list: what happened, what was tried, who was told, and how long each took."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from mainstay.store.base import Row
from mainstay.web.health import facts_of
from mainstay.web.words import sentence, span

LATE = 60.0
"""A message that arrives later than this after its event is called late."""
EVENTS = {
    "failed": ("First failed answer", "fail", "fail"),
    "opened": ("Confirmed on a fresh connection, incident opened", "fail", "fail"),
    "escalated": ("Escalated", "fail", "warn"),
    "acknowledged": ("Acknowledged", "info", "person"),
    "changed": ("The fault changed", "warn", "info"),
    "action": ("Action", "info", "heal"),
    "note": ("Note", "", "note"),
    "resolved": ("Resolved", "ok", "ok"),
}
RUNS = {
    "done": ("succeeded", "ok"),
    "failed": ("failed", "fail"),
    "running": ("under way", "info"),
    "queued": ("waits", ""),
    "parked": ("parked", "warn"),
    "cancelled": ("cancelled", ""),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. `order` puts what happened at the same moment into its natural order."""

    at: float
    title: str
    detail: str
    tone: str
    icon: str
    order: int = 0
    link: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    steps: tuple[dict[str, Any], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Figures:
    """The spans that count, in seconds from the first failed answer; None for what has not happened."""

    detected: float | None
    told: float | None
    acknowledged: float | None
    healed: float | None
    lasted: float


def timeline(
    incident: Row,
    events: Iterable[Row],
    messages: Iterable[Row],
    runs: Iterable[Row],
    steps: dict[str, list[Row]],
) -> list[Entry]:
    """Everything that happened, in order."""
    healed = list(runs)
    tried = {attempt_of(row) for row in healed}
    # A run says all that its own action event says, and more.
    found = [
        _event(row, incident)
        for row in events
        if not (row["kind"] == "action" and facts_of(row).get("attempt") in tried)
    ]
    found += [_message(row) for row in messages]
    found += [_run(row, steps.get(row["id"], [])) for row in healed]
    return sorted(found, key=lambda entry: (entry.at, entry.order))


def figures(incident: Row, messages: Iterable[Row], now: float) -> Figures:
    """How long it took until it was seen, told, taken and over."""
    begun = incident["failed_at"]
    sent = [row["sent_at"] for row in messages if row["sent_at"] is not None]

    def after(moment: float | None) -> float | None:
        return None if moment is None else max(0.0, moment - begun)

    return Figures(
        detected=after(incident["opened_at"]),
        told=after(min(sent, default=None)),
        acknowledged=after(incident["acknowledged_at"]),
        healed=after(incident["resolved_at"]),
        lasted=max(0.0, (incident["resolved_at"] or now) - begun),
    )


def _event(row: Row, incident: Row) -> Entry:
    title, tone, icon = EVENTS.get(row["kind"], (row["kind"].capitalize(), "", "info"))
    if row["kind"] == "opened" and not incident["key"].startswith("check:"):
        title = "Incident opened"
    # What a check said begins a sentence; what people wrote, and names, stay as they are.
    said = sentence(row["detail"]) if row["kind"] in ("failed", "opened", "changed") else row["detail"]
    return Entry(row["at"], title, said, tone, icon, order=0 if row["kind"] == "failed" else 1)


def _message(row: Row) -> Entry:
    message = _json(row["message"])
    what = f"{row['channel']}: {message.get('kind', 'message')}"
    if row["sent_at"] is not None:
        delay = row["sent_at"] - row["event_at"]
        tags = [("ok", f"delivered after {span(delay)}")]
        if delay > LATE:
            tags.append(("warn", "late"))
        if row["attempts"] > 1:
            tags.append(("", f"{row['attempts']} attempts"))
        return Entry(
            row["sent_at"],
            f"Told {what}",
            f"receipt: {row['receipt']}" if row["receipt"] else "",
            "ok",
            "channels",
            3,
            tags=tuple(tags),
        )
    if row["refused_at"] is not None:
        return Entry(row["refused_at"], f"Refused by {what}", row["error"] or "", "fail", "channels", 3)
    tags = [("warn", f"owed, {row['attempts']} attempts so far")]
    return Entry(row["owed_at"], f"Owed to {what}", row["error"] or "", "warn", "wait", 3, tags=tuple(tags))


def attempt_of(row: Row) -> int:
    """Which attempt at healing a run was."""
    text = str(row["key"]).rpartition(":")[2]
    return int(text) if text.isdigit() else 0


def _run(row: Row, steps: list[Row]) -> Entry:
    word, tone = RUNS.get(row["state"], (row["state"], ""))
    begun = row["started_at"] or row["created_at"]
    tags = [(tone, word)]
    if row["finished_at"] is not None and row["started_at"] is not None:
        tags.append(("", span(row["finished_at"] - row["started_at"])))
    told = tuple(
        {
            "name": step["name"],
            "seconds": step["finished_at"] - step["started_at"],
            "output": output(step["result"]),
        }
        for step in steps
    )
    return Entry(
        begun,
        f"Healing, attempt {attempt_of(row)}",
        row["error"] or row["summary"],
        tone,
        "heal",
        2,
        link=f"/runs/{row['id']}",
        tags=tuple(tags),
        steps=told,
    )


def output(result: str) -> str:
    """What a step gave, for people: text as it is, an object line by line, nothing for nothing."""
    try:
        value = json.loads(result)
    except ValueError:
        return result
    if value in (None, {}, [], "", True):
        return ""
    if isinstance(value, dict):
        return "\n".join(
            f"{name}: {inner if isinstance(inner, str) else json.dumps(inner, ensure_ascii=False)}"
            for name, inner in value.items()
        )
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def _json(text: str) -> dict[str, Any]:
    return facts_of({"facts": text})
