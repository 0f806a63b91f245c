"""What is asked again and again never reads all that a journal has collected in a year."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from mainstay.store.migrate import migrations, statements
from mainstay.store.named import query

OFTEN = (
    "inbox.claimed",
    "inbox.astray",
    "inbox.dead_count",
    "inbox.due",
    "inbox.follower",
    "inbox.hurry",
    "inbox.next_at",
    "inbox.attempted",
    "inbox.old",
    "inbox.previous",
    "inbox.stats",
    "incidents.actions_since",
    "incidents.events",
    "incidents.latest",
    "incidents.live",
    "incidents.live_of",
    "incidents.live_of_service",
    "outbox.next",
    "outbox.told",
    "results.oldest",
    "runs.left_out",
    "runs.next_at",
    "runs.orphans",
    "runs.owned",
    "runs.ready",
    "runs.strangers",
)
"""Every beat, every batch of answers, every round of the queue."""
SMALL = ("node", "json_each", "silence", "suspicion")
LIVE = ("inbox_due", "inbox_stuck", "incident_live", "run_busy", "run_live", "outbox_owed", "event_action")
"""Indexes of what is still open, which is never much."""
COUNTED = ("inbox_kept",)
"""Indexes that are counted through without their rows: a million entries take some 30 ms, and no beat waits for it."""


@pytest.fixture
def journal() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    for step in migrations():
        for statement in statements(step.text):
            connection.execute(statement)
    yield connection
    connection.close()


@pytest.mark.parametrize("name", OFTEN)
def test_a_query_of_every_second_uses_an_index(journal: sqlite3.Connection, name: str) -> None:
    asked = query(name, "sqlite")
    lines = [
        row[3]
        for row in journal.execute(f"EXPLAIN QUERY PLAN {asked.text}", dict.fromkeys(asked.params, "1"))
    ]
    scans = [line for line in lines if line.startswith("SCAN")]
    assert lines
    assert [
        line for line in scans if not line.endswith(LIVE + COUNTED) and line.split()[1] not in SMALL
    ] == []
