"""What may lie in a journal when a command looks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

from mainstay.core.check import Result, Verdict
from mainstay.core.incident import Event, EventKind, Incident, IncidentState, Severity
from mainstay.core.notifier import Message
from mainstay.core.run import Run, RunState
from mainstay.store import backups, incidents, nodes, outbox, results, runs, schedules
from mainstay.store.backups import Backup, BackupState, Proof
from mainstay.store.base import Tx

Unit = Callable[[Tx], None]
INCIDENT = Incident(
    id="01incidentaaaa1",
    key="check:web/http",
    service="web",
    severity=Severity.CRITICAL,
    title="Web shop fails its http check",
    detail="503 from http://127.0.0.1:9/",
    state=IncidentState.OPEN,
    opened_at=0.0,
    failed_at=0.0,
)


def alive(now: float, age: float = 1.0) -> Unit:
    """An agent that was heard of `age` seconds ago."""
    return lambda tx: nodes.join(tx, nodes.NodeRow("n1", "host", 42, "agent", now - 999, now - age))


def answers(now: float, **verdicts: str) -> Unit:
    """Answers of web/http, web/tcp and redis/redis: fine unless said otherwise, the newest three seconds old."""

    def unit(tx: Tx) -> None:
        for check in ("web/http", "web/tcp", "redis/redis"):
            verdict = Verdict(verdicts.get(check.partition("/")[2], "ok"))
            service, detail = check.partition("/")[0], f"{check} is {verdict}"
            for age in reversed(range(20)):
                results.record(
                    tx, [Result(check, service, verdict, detail, now - 3 - 30 * age, 0.1 + age / 100)]
                )

    return unit


def incident(now: float, **changes: object) -> Unit:
    """An incident with a timeline and two messages, one of them still owed."""
    made = replace(INCIDENT, opened_at=now - 100, failed_at=now - 103, **changes)  # type: ignore[arg-type]

    def unit(tx: Tx) -> None:
        incidents.put(tx, made)
        for number, (kind, words) in enumerate(
            [(EventKind.FAILED, "503"), (EventKind.OPENED, "503 again"), (EventKind.ACTION, "restart web")]
        ):
            incidents.add_event(tx, Event(f"e{number}{made.id}", made.id, now - 100 + number, kind, words))
        for channel, sent in (("pagerduty", True), ("slack", False)):
            key = f"{channel}{made.id}"
            message = Message(
                key, made.id, EventKind.OPENED, made.severity, "web", made.title, made.detail, now - 100
            )
            outbox.owe(tx, channel, message, now - 99)
            if sent:
                outbox.sent(tx, key, "accepted", now - 98)

    return unit


def run_of(now: float, id: str, job: str, state: RunState, *, error: str | None = None) -> Unit:
    """A run that ended, waits or runs, with three lines of log."""

    def unit(tx: Tx) -> None:
        runs.insert(tx, Run(id, job, f"{job}@{id}", RunState.QUEUED, now - 60, created_at=now - 60))
        runs.add_lines(tx, id, [(now - 59, "began"), (now - 58, "went on"), (now - 57, "came to the end")])
        if state.ended or state is RunState.PARKED:
            runs.close(tx, id, state, now - 50, summary="3 rows", error=error)

    return unit


def schedule(now: float, job: str, spec: Mapping[str, object], missed: int = 0) -> Unit:
    """A schedule that is due in an hour."""
    standing = schedules.Standing(
        job, now - 100, now + 3600, json.dumps(spec), missed, now if missed else None
    )
    return lambda tx: schedules.put(tx, standing)


def backup(now: float, id: str = "01backupaaaa1", verdict: BackupState | None = BackupState.PROVEN) -> Unit:
    """A backup of erp, proven unless said otherwise."""
    made = Backup(
        id, "erp", "vault", f"erp/{id}", BackupState.TAKEN, now - 7200, 12.0, 5_000_000, 12, 34_567, "{}"
    )

    def unit(tx: Tx) -> None:
        backups.put(tx, made)
        if verdict:
            summary = "12 tables equal" if verdict is BackupState.PROVEN else "table item differs"
            backups.prove(tx, Proof(f"p{id}", id, now - 3600, verdict, summary, 30.0, 12, 34_567))

    return unit


def together(*units: Unit) -> Unit:
    """Several scenes in one transaction."""

    def unit(tx: Tx) -> None:
        for one in units:
            one(tx)

    return unit
