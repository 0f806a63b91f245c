"""The agent tells people when webhooks that were acknowledged do not get into the journal, and when they do again."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from mainstay.app.webhooks import EVERY, tell
from mainstay.edge.inbox.drain import LATE, Drain
from mainstay.incidents.desk import Desk
from mainstay.incidents.routing import Channel, Routing
from mainstay.ports.clock import FakeClock
from mainstay.store import incidents
from mainstay.store.base import Store
from tests.journals import sqlite_journal


async def titles(store: Store) -> list[str]:
    return [one.title for one in await store.read(incidents.live)]


@pytest.mark.parametrize("trouble", ["fault", "late", "refused"])
async def test_webhooks_that_stay_in_the_log_are_told_of(tmp_path: Path, trouble: str) -> None:
    clock = FakeClock()
    drain = Drain(tmp_path / "inbox", clock)
    async with sqlite_journal(tmp_path).opened(clock) as store:
        telling = asyncio.create_task(
            tell(store, Desk(clock, Routing([Channel("slack")], None)), clock, drain)
        )
        await clock.advance(EVERY)
        assert await titles(store) == []
        if trouble == "fault":
            drain.fault = "no room on the disk"
        elif trouble == "late":
            drain.oldest = clock.now() - LATE
        else:
            drain.refused = 2
        await clock.advance(EVERY)
        assert await titles(store) == ["Webhooks that were taken in do not get into the journal"]
        drain.fault, drain.oldest, drain.refused = None, None, 0
        await clock.advance(EVERY)
        assert await titles(store) == []
        telling.cancel()
        with suppress(asyncio.CancelledError):
            await telling


async def test_an_incident_of_an_agent_that_died_ends_with_the_first_look(tmp_path: Path) -> None:
    clock = FakeClock()
    drain, desk = Drain(tmp_path / "inbox", clock), Desk(clock, Routing([Channel("slack")], None))
    async with sqlite_journal(tmp_path).opened(clock) as store:
        for fault, left in (("no room on the disk", 1), (None, 0)):
            drain.fault = fault
            telling = asyncio.create_task(tell(store, desk, clock, drain))
            await clock.advance(EVERY)
            assert len(await titles(store)) == left
            telling.cancel()
            with suppress(asyncio.CancelledError):
                await telling
