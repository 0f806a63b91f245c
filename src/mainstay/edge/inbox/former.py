"""What an earlier mainstay left on this machine for a journal that was away: its spool, a file of SQLite.

It was acknowledged, so it is brought into the log once, from where it goes the way of everything else.
"""

import logging
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from mainstay.edge.inbox.headers import lines_of
from mainstay.edge.inbox.log import SEGMENT, Log, make, sync_directory
from mainstay.edge.inbox.record import encode
from mainstay.edge.inbox.settings import IntakeSettings
from mainstay.ports.clock import Clock
from mainstay.store.inbox import Arrival

log = logging.getLogger(__name__)

NAME = "spool.db"
"""Of the spool, beside the log's directory."""
COLUMNS = (
    "id", "source", "received_at", "headers", "body", "digest", "peer", "query", "user_agent", "secret", "sent_at",
    "event_id", "event_type", "order_key", "key",
)  # fmt: skip
WAITING = f"SELECT {', '.join(COLUMNS)} FROM inbox WHERE state IN ('queued', 'held') ORDER BY id"  # noqa: S608
LOAD = 100
"""Events that are synced together."""
PATIENCE = 30.0
"""Seconds to wait for another process that is at it."""


def take_over(directory: Path, sources: Mapping[str, IntakeSettings], clock: Clock) -> int:
    """Append what waits in the spool to the log and remove the spool; give how many events that were.

    One that cannot be read stays where it is, and is told of. Raises `JournalError` and `OSError` of the log.
    """
    path = directory.with_name(NAME)
    if not path.exists():
        return 0
    make(directory)
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", PATIENCE, uri=True)) as spool:
            spool.row_factory = sqlite3.Row
            count = _move(spool, Log(directory, clock, most=sys.maxsize), sources)
    except (sqlite3.Error, ValueError) as fault:
        if path.exists():  # else another process was faster
            log.error("webhooks may wait in %s, which cannot be read: %s", path, fault)
        return 0
    path.unlink(missing_ok=True)
    sync_directory(path.parent)
    if count:
        log.warning("%d webhooks went from %s into the log", count, path)
    return count


def _move(spool: sqlite3.Connection, to: Log, sources: Mapping[str, IntakeSettings]) -> int:
    """Move what waits. Killed in between it is moved again, under the same ids, of which the journal takes one."""
    count, load = 0, list[bytes]()
    spool.isolation_level = None
    spool.execute("BEGIN IMMEDIATE")
    try:
        for row in spool.execute(WAITING):
            count += 1
            load.append(encode(_arrival(row, sources)))
            if len(load) >= LOAD or sum(map(len, load)) >= SEGMENT:
                to.append(load)
                load = []
        if load:
            to.append(load)
        spool.execute("DELETE FROM inbox WHERE state IN ('queued', 'held')")
        spool.execute("COMMIT")
    finally:
        to.close()
    return count


def _arrival(row: sqlite3.Row, sources: Mapping[str, IntakeSettings]) -> Arrival:
    fields: dict[str, Any] = {name: row[name] for name in COLUMNS}
    if fields["key"] is not None:
        # Whether another event of the same id came before is for the journal to say.
        fields["key"] = fields["key"].removesuffix(f" body:{fields['digest'][:32]}")
    settings = sources.get(fields["source"], IntakeSettings())
    lines = lines_of(fields["headers"])
    return Arrival(**fields, window=settings.dedup, state=settings.first_state, lines=lines)
