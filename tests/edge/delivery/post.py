"""A courier at work, and what was taken in before it came."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mainstay.core.ids import first_id
from mainstay.core.incident import Incident
from mainstay.edge.delivery.courier import Courier
from mainstay.edge.delivery.settings import DeliverySettings
from mainstay.edge.delivery.targets import Tools
from mainstay.incidents.desk import Desk
from mainstay.incidents.routing import Channel, Routing
from mainstay.ports.clock import Clock, FakeClock
from mainstay.ports.resolver import Resolver
from mainstay.store import inbox, inbox_delivery, incidents
from mainstay.store.base import Store
from mainstay.store.inbox import Arrival
from mainstay.store.inbox_delivery import Event
from tests.servers.recorder import Recorder

_count = itertools.count()


def arrival(now: float, body: bytes = b"{}", **fields: Any) -> Arrival:
    """An event of the source `bank`."""
    given: dict[str, Any] = {
        "id": f"{first_id(now)[:10]}{next(_count):016}",
        "source": "bank",
        "received_at": now,
        "headers": json.dumps([["content-type", "application/json"]]),
        "digest": hashlib.sha256(body).hexdigest(),
        "peer": "192.0.2.1",
    }
    return Arrival(body=body, **{**given, **fields})


async def put(store: Store, now: float, *bodies: bytes, **fields: Any) -> list[str]:
    """Take events in; give their ids."""
    arrivals = [arrival(now, body, **fields) for body in bodies]
    await store.write(lambda tx: inbox.put_many(tx, arrivals))
    return [each.id for each in arrivals]


def to(server: Recorder, path: str = "/hook", **fields: Any) -> DeliverySettings:
    """Settings of a source that is brought to a recorder."""
    target = {"url": f"{server.url}{path}", **fields.pop("http", {})}
    return DeliverySettings.model_validate({"deliver_to": {"http": target}, **fields})


def desk_of(clock: Clock) -> Desk:
    """Where people are told."""
    return Desk(clock, Routing([Channel("slack")], None))


@asynccontextmanager
async def delivering(
    store: Store, clock: Clock, settings: dict[str, DeliverySettings], draw: random.Random | None = None
) -> AsyncIterator[Courier]:
    """A courier at work until the end of the block."""
    tools = Tools(clock, Resolver(clock).resolve)
    courier = Courier(store, tools, settings, desk_of(clock), draw, patience=0.5)
    task = asyncio.create_task(courier.serve())
    if isinstance(clock, FakeClock):
        await clock.advance(0.001)
    try:
        yield courier
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def passing(clock: FakeClock, seconds: float) -> None:
    """Let time pass a second at a time, so that what takes a few turns of the event loop is not run past."""
    for _ in range(int(seconds)):
        await clock.advance(1.0)
    await clock.advance(seconds - int(seconds))


async def event_of(store: Store, one: str) -> Event:
    """One event."""
    event = await store.read(lambda tx: inbox_delivery.get(tx, one))
    assert event is not None
    return event


async def states(store: Store, ids: list[str]) -> list[str]:
    """Where events stand."""
    return [(await event_of(store, one)).state for one in ids]


async def told(store: Store) -> list[Incident]:
    """Every incident, the oldest first."""
    return sorted(await store.read(incidents.recent), key=lambda incident: incident.id)


def bodies(server: Recorder) -> list[bytes]:
    """What the target has taken, in order."""
    return [request.body for request in server.accepted]


class Middle(random.Random):
    """Draws the middle, always."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2
