"""Events that wait on this machine's disk for a journal that is away.

The spool is a journal of its own, of which only the inbox is used: the same code keeps them as safely.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mainstay.ports.clock import Clock
from mainstay.store import inbox
from mainstay.store.base import Row, Tx
from mainstay.store.inbox import QUEUED, Arrival, Stored
from mainstay.store.inbox_delivery import hold
from mainstay.store.sqlite import SqliteStore, open_sqlite

NAME = "spool.db"
KEPT = (
    "id", "source", "received_at", "headers", "body", "digest", "peer", "query", "user_agent", "secret", "sent_at",
    "event_id", "event_type", "order_key",
)  # fmt: skip
HEAVIEST = 8 * 2**20
"""Bytes of bodies after which no further event is given at a time."""


async def open_spool(state_dir: Path, clock: Clock) -> "Spool":
    """Open the spool, make it if it is not there. Raises `JournalError`."""
    spool = Spool(await open_sqlite(state_dir / NAME, clock))
    await spool.retry()
    return spool


class Spool:
    """An open spool. The processes of one machine share it; everything here raises `JournalError`."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._empty_at: int | None = None

    async def put(self, arrivals: Sequence[Arrival]) -> list[Stored]:
        """Put events on disk, but for copies of what came since the spool was last empty."""
        # Here they all wait, for the journal; what they do there is said when they get there. The arrivals stay as they
        # are: the journal's thread may still be about to write the same ones, when it only took too long.
        return await self._store.write(lambda tx: inbox.put_many(tx, arrivals, QUEUED))

    async def oldest(self, limit: int) -> list[Arrival]:
        """Give events in the order in which they came, `limit` at most, fewer when they are large."""
        return await self._store.read(partial(_oldest, limit=limit))

    async def is_empty(self) -> bool:
        """Whether nothing waits, whichever process has put it there. Mostly a look at a number, as every write asks."""
        now = self._store.changes()
        if now is not None and now == self._empty_at:
            return True
        empty = not await self._store.read(lambda tx: tx.all("inbox.spool_sizes", limit=1))
        self._empty_at = now if empty else None
        return empty

    async def drop(self, arrivals: Sequence[Arrival]) -> None:
        """Forget events that are in the journal; what they are known by stays until the spool is empty."""
        rows = [{"id": one.id} for one in arrivals]
        await self._store.write(lambda tx: tx.many("inbox.drop", rows))

    async def set_aside(self, arrival: Arrival, why: str) -> None:
        """Keep an event here, because the journal will not have it."""
        await self._store.write(lambda tx: hold(tx, arrival.id, why))

    async def retry(self) -> None:
        """Try again what was set aside."""
        await self._store.write(lambda tx: tx.run("inbox.spool_retry"))

    async def clear(self) -> None:
        """Forget what events were known by, if none waits."""
        await self._store.write(lambda tx: tx.run("inbox.spool_forget"))

    async def close(self) -> None:
        """Finish what was accepted, then close."""
        await self._store.close()


def _oldest(tx: Tx, limit: int) -> list[Arrival]:
    last, weight = "", 0
    for row in tx.all("inbox.spool_sizes", limit=limit):
        weight += row["bytes"]
        if last and weight > HEAVIEST:
            break
        last = row["id"]
    return [_arrival(row) for row in tx.all("inbox.spool_upto", last=last, limit=limit)] if last else []


def _arrival(row: Row) -> Arrival:
    fields: dict[str, Any] = {name: row[name] for name in KEPT}
    # Whether another event of the same id came before is for the journal to say.
    key = None if row["key"] is None else row["key"].partition(" ")[0]
    return Arrival(**fields, key=key)
