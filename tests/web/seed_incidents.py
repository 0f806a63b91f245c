"""The company's incidents, open and over, with their messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from mainstay.core.ids import new_id
from mainstay.core.incident import Event, EventKind, Incident, IncidentState, Severity
from mainstay.core.notifier import Message
from mainstay.core.run import Run, RunState
from mainstay.store import incidents as repository
from mainstay.store import outbox
from mainstay.store.base import Tx

DAY = 86400.0
Act = tuple[float, Callable[[Tx], None]]


@dataclass(frozen=True)
class Story:
    """An incident: when it began and ended (seconds before now), and what was said."""

    service: str
    check: str
    title: str
    detail: str
    severity: Severity
    begun: float
    ended: float | None
    taken: float | None = None
    heals: tuple[str, ...] = ()
    late: float = 0.0


STORIES = (
    Story(
        "superset",
        "http",
        "Superset fails its http check",
        "502 in 31ms, expected 200 to 299",
        Severity.WARNING,
        10 * DAY,
        10 * DAY - 8640,
    ),
    Story(
        "ocr",
        "http",
        "OCR service fails its http check",
        "no answer within 5s",
        Severity.WARNING,
        3.2 * DAY,
        3.2 * DAY - 17280,
        3.2 * DAY - 420,
        heals=("failed", "failed", "failed"),
    ),
    Story(
        "mail",
        "tcp",
        "Outgoing mail fails its tcp check",
        "connection to smtp.example.com:587 timed out after 5s",
        Severity.WARNING,
        20 * 3600,
        20 * 3600 - 712,
        late=340.0,
    ),
    Story(
        "ocr",
        "http",
        "OCR service fails its http check",
        "connection to 10.0.0.14:8000 refused after 1ms",
        Severity.WARNING,
        14 * 3600,
        14 * 3600 - 3260,
        heals=("done",),
    ),
    Story(
        "api",
        "http",
        "Order API fails its http check",
        "connection to 203.0.113.20:443 refused after 2ms",
        Severity.CRITICAL,
        6.4 * 3600,
        6.4 * 3600 - 23.4,
        heals=("done",),
    ),
    Story(
        "db1",
        "disk",
        "Server db1 warns in its disk check",
        "86 % used, 28 GB free: more than 85 %",
        Severity.WARNING,
        2.6 * 3600,
        None,
        taken=2.1 * 3600,
    ),
    Story(
        "api",
        "http",
        "Order API fails its http check",
        "connection to 203.0.113.20:443 refused after 2ms",
        Severity.CRITICAL,
        155,
        None,
        heals=("failed", "running"),
    ),
)
HOSTILE = "\"><script>alert('incident')</script>"


def incidents(now: float, *, hostile: bool = False) -> Iterator[Act]:
    """Everything that happened to them, each at its time."""
    for story in STORIES:
        told = (
            replace(story, title=story.title + HOSTILE, detail=story.detail + HOSTILE) if hostile else story
        )
        yield now - told.begun, _writer(told, now)


def _writer(story: Story, now: float) -> Callable[[Tx], None]:
    def write(tx: Tx) -> None:
        begun, opened = now - story.begun, now - story.begun + 3.1
        incident = Incident(
            id=new_id(opened),
            key=f"check:{story.service}/{story.check}",
            service=story.service,
            severity=story.severity,
            title=story.title,
            detail=story.detail,
            state=IncidentState.OPEN,
            opened_at=opened,
            failed_at=begun,
        )
        repository.put(tx, incident)
        _event(tx, incident, begun, EventKind.FAILED, story.detail)
        _event(tx, incident, opened, EventKind.OPENED, story.detail)
        _tell(tx, incident, EventKind.OPENED, opened, story, now)
        _heal(tx, incident, story, opened, now)
        if story.taken is not None:
            incident = replace(
                incident,
                state=IncidentState.ACKNOWLEDGED,
                acknowledged_at=now - story.taken,
                acknowledged_by="maria",
            )
            _event(tx, incident, now - story.taken, EventKind.ACKNOWLEDGED, "maria takes care of it")
            _tell(tx, incident, EventKind.ACKNOWLEDGED, now - story.taken, story, now)
        if story.ended is not None:
            ended = now - story.ended
            incident = replace(incident, state=IncidentState.RESOLVED, resolved_at=ended)
            _event(tx, incident, ended, EventKind.RESOLVED, f"200 in 88ms; it lasted {(ended - begun):.0f}s")
            _tell(tx, incident, EventKind.RESOLVED, ended, story, now)
        repository.put(tx, incident)

    return write


def _event(tx: Tx, incident: Incident, at: float, kind: EventKind, detail: str, **facts: Any) -> None:
    repository.add_event(tx, Event(new_id(at), incident.id, at, kind, detail, facts))


def _tell(tx: Tx, incident: Incident, kind: EventKind, at: float, story: Story, now: float) -> None:
    channels = ["slack", "ops_mail"] + (["pagerduty"] if incident.severity is Severity.CRITICAL else [])
    for channel in channels:
        key = new_id(at)
        message = Message(
            key, incident.id, kind, incident.severity, incident.service, incident.title, incident.detail, at
        )
        outbox.owe(tx, channel, message, at)
        if channel == "ops_mail" and story.ended is None and incident.severity is Severity.CRITICAL:
            for attempt in range(3):
                outbox.claim(tx, key, "seed", at + attempt, at + attempt + 1)
                outbox.later(
                    tx, key, "seed", "421 4.7.0 smtp.example.com is busy, try again later", now + 12.0
                )
            continue
        wait = story.late if channel == "ops_mail" else 0.0
        for attempt in range(4 if wait else 1):
            outbox.claim(tx, key, "seed", at + attempt, at + attempt + 1)
            if wait and attempt < 3:
                outbox.later(
                    tx, key, "seed", "connection to smtp.example.com:587 timed out", at + attempt + 1
                )
        outbox.sent(
            tx,
            key,
            {"slack": "ok", "pagerduty": "202", "ops_mail": "250 2.0.0 queued"}[channel],
            at + wait + 0.38,
        )


def _heal(tx: Tx, incident: Incident, story: Story, opened: float, now: float) -> None:
    from tests.web.seed_runs import play_run

    for attempt, outcome in enumerate(story.heals, 1):
        at = opened + 0.2 + (attempt - 1) * 62.0
        _event(
            tx,
            incident,
            at,
            EventKind.ACTION,
            f"restart attempt {attempt} of 3 of {story.service}",
            attempt=attempt,
        )
        run = Run(
            new_id(at),
            "heal",
            f"heal:{incident.id}:{attempt}",
            RunState.QUEUED,
            at,
            {"service": story.service},
            "incident",
            created_at=at,
        )
        lines = [
            f"restarting {story.service}",
            "Job for order-api.service finished, result=done",
            "waiting for two good answers",
        ]
        steps = [
            ("guard", 0.02, {"attempt": attempt, "of": 3, "blast radius": "1 service"}),
            ("restart", 1.8, "order-api.service restarted, main process 48121 (was 31877)"),
        ]
        if outcome != "running":
            healed = outcome == "done"
            said = "2 good answers in a row" if healed else "no good answer within 60s"
            steps.append(("confirm", 11.4 if healed else 60.0, said))
        play_run(
            tx,
            run,
            outcome,
            at,
            steps,
            lines,
            ("guard", "restart", "confirm"),
            summary=f"{story.service} was restarted and answers again" if outcome == "done" else "",
            error="no good answer within 60s after the restart" if outcome == "failed" else None,
        )
