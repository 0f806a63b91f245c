"""Events as they lie in the log, and the journal that they get into."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from mainstay.core.ids import new_id
from mainstay.edge.inbox.log import Log
from mainstay.edge.inbox.record import encode
from mainstay.ports.clock import Clock, SystemClock
from mainstay.store.base import Store
from mainstay.store.inbox import Arrival, key_of
from tests.edge.inbox.ledger import everything
from tests.journals import sqlite_journal

CLOCK = SystemClock()


def arrival(body: bytes = b"{}", key: str | None = None, received_at: float | None = None) -> Arrival:
    now = CLOCK.now()
    digest = hashlib.sha256(body).hexdigest()
    return Arrival(
        new_id(now), "bank", now if received_at is None else received_at, "", body, digest, "192.0.2.1",
        secret="new", event_id=key, key=key_of(key, digest), window=3600.0, lines=b"host:a\n",
    )  # fmt: skip


FIELDS = (
    "body", "digest", "event_id", "event_type", "headers", "id", "key", "lines", "order_key", "peer", "query",
    "received_at", "secret", "sent_at", "source", "state", "user_agent", "window",
)  # fmt: skip


def fields(one: Arrival) -> dict[str, object]:
    return {name: getattr(one, name) for name in FIELDS}


def append(to: Log, *events: Arrival) -> None:
    to.append([encode(one) for one in events])


def ids(events: Sequence[Arrival]) -> list[str]:
    return [one.id for one in events]


@asynccontextmanager
async def opened(tmp_path: Path, clock: Clock = CLOCK) -> AsyncIterator[Store]:
    async with sqlite_journal(tmp_path).opened(clock) as store:
        yield store


async def kept(store: Store) -> list[str]:
    return [event.id for event in await store.read(everything)]
