"""Group commit: one write for all that arrive during the one before, bounded, and honest when it fails."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mainstay.core.errors import JournalError
from mainstay.edge.http.exchange import Head
from mainstay.edge.http.meter import Meter
from mainstay.edge.http.server import Server
from mainstay.edge.inbox.counts import Counts
from mainstay.edge.inbox.gather import PAUSE, Gather
from mainstay.edge.inbox.intake import Body, Intake
from mainstay.ports.clock import FakeClock, SystemClock
from mainstay.store.base import Tx
from mainstay.store.inbox import Arrival, Stored
from mainstay.store.writer import Broken
from tests.edge.inbox.house import House, listening, sources
from tests.edge.inbox.sender import Answer, request
from tests.helpers import aeventually
from tests.journals import Journal, sqlite_journal


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return sqlite_journal(tmp_path)


@dataclass
class Disk:
    """A keeper whose writes take as long as they are to, and what it wrote."""

    ready: asyncio.Event = field(default_factory=asyncio.Event)
    began: asyncio.Event = field(default_factory=asyncio.Event)
    kept: list[str] = field(default_factory=list)

    async def keep(self, arrivals: Sequence[Arrival]) -> list[Stored]:
        self.began.set()
        await self.ready.wait()
        self.kept += [arrival.id for arrival in arrivals]
        return [Stored(arrival.id) for arrival in arrivals]


@pytest.fixture
def disk() -> Disk:
    made = Disk()
    made.ready.set()
    return made


@asynccontextmanager
async def bounded(disk: Disk, most: int, most_bytes: int = 2**30) -> AsyncIterator[House]:
    """An edge that holds little in memory."""
    counts = Counts(Meter())
    gather = Gather(disk, SystemClock(), counts, most, most_bytes)
    intake = Intake(sources(), gather, SystemClock(), counts)
    server = Server(intake, SystemClock())
    with listening() as on:
        await server.listen(on)
        made = House(intake, server, on.getsockname()[1])
        try:
            yield made
        finally:
            for sender in made.senders:
                sender.close()
            await server.close()
            await gather.close()


async def storm(edge: House, count: int, size: int = 10, first: int = 0) -> list[asyncio.Task[Answer]]:
    """Send from so many senders at once; gives their answers, which may not be there yet."""
    sent = [
        asyncio.create_task(edge.sender().send(b"%d" % number * size, ("X-Event-Id", str(number))))
        for number in range(first, first + count)
    ]
    await asyncio.sleep(0)
    return sent


def answered(sent: list[asyncio.Task[Answer]]) -> list[int]:
    return [task.result().status for task in sent if task.done()]


async def test_what_arrives_during_a_write_shares_the_next(disk: Disk) -> None:
    disk.ready.clear()
    async with bounded(disk, 1000) as edge:
        gather = edge.intake.gather
        sent = await storm(edge, 1)
        await disk.began.wait()
        sent += await storm(edge, 199, first=1)
        assert await aeventually(lambda: gather.unsaved == 200)
        disk.ready.set()
        assert [task.status for task in await asyncio.gather(*sent)] == [202] * 200
    assert (gather.events, gather.writes) == (200, 2)
    assert gather.bytes == 0


class Ticking(FakeClock):
    """A millisecond passes at each look."""

    def monotonic(self) -> float:
        self._now += 0.001
        return self._now


@pytest.mark.parametrize(("clock", "fewest", "most"), [(FakeClock(1.0), 1, 1), (Ticking(1.0), 12, 48)])
async def test_a_write_waits_while_more_comes_but_not_for_long(
    disk: Disk, clock: FakeClock, fewest: int, most: int
) -> None:
    """One event comes in each round of the loop."""
    gather = Gather(disk, clock, Counts(Meter()))
    told: list[Stored | None] = []
    for number in range(96):
        gather.put(arrival(number), told.append)
        await asyncio.sleep(0)
    assert await aeventually(lambda: not gather.unsaved)
    await gather.close()
    assert fewest <= gather.writes <= most
    assert len(told) == gather.events == 96


async def test_a_quiet_round_ends_the_wait(disk: Disk) -> None:
    gather = Gather(disk, SystemClock(), Counts(Meter()))
    for number in range(3):
        gather.put(arrival(number), lambda _: None)
        for _ in range(20):
            await asyncio.sleep(0)
    assert gather.writes == 3
    await gather.close()


async def test_when_the_writer_stands_still_the_rest_is_told_to_come_again(disk: Disk) -> None:
    """Nothing that was not written is acknowledged, and what waits is bounded."""
    disk.ready.clear()
    async with bounded(disk, 50) as edge:
        sent = await storm(edge, 200)
        assert await aeventually(lambda: len(answered(sent)) == 150)
        assert answered(sent) == [503] * 150
        refused = next(task.result() for task in sent if task.done())
        assert (refused.headers["retry-after"], refused.json["error"]) == ("5", "busy")
        disk.ready.set()
        given = [task.status for task in await asyncio.gather(*sent)]
        assert sorted(given) == [202] * 50 + [503] * 150
    assert set(disk.kept) == {task.result().id for task in sent if task.result().status == 202}


async def test_what_waits_is_bounded_in_bytes_too(disk: Disk) -> None:
    disk.ready.clear()
    async with bounded(disk, 10_000, 2**20) as edge:
        sent = await storm(edge, 40, 50_000)
        assert await aeventually(lambda: len(answered(sent)) >= 20)
        assert set(answered(sent)) == {503}
        assert edge.intake.unsaved_bytes <= 2**20 + 40 * 4096
        disk.ready.set()
        given = [task.status for task in await asyncio.gather(*sent)]
        assert {202, 503} == set(given)
        assert edge.intake.unsaved_bytes == 0


async def test_strangers_whose_bodies_never_end_keep_nobody_out(disk: Disk) -> None:
    """What has been coming for the longest gives way; what is proven and waits for the disk does not."""
    async with bounded(disk, 10_000, 2**20) as edge:
        strangers = []
        for number in range(10):
            head = request("/bank", b"", [("Content-Length", "104001")], length=False)
            strangers.append(asyncio.create_task(edge.sender().raw(head + b"x" * 104_000)))
            assert await aeventually(lambda n=number: edge.intake.unsaved_bytes == (n + 1) * 104_000)  # type: ignore[misc]
        answer = await edge.sender().send(b"y" * 50_000)
        assert answer.status == 202
        done = [task for task in strangers if task.done()]
        assert [task.result().status for task in done] == [503]
        assert done == strangers[:1]
        assert edge.intake.unsaved_bytes == 9 * 104_000
        for task in strangers[1:]:
            task.cancel()
    assert edge.intake.unsaved_bytes == 0


async def test_a_body_in_crumbs_takes_no_more_memory_than_it_has_bytes(disk: Disk) -> None:
    async with bounded(disk, 10) as edge:
        source = next(iter(edge.intake._sources.values()))
        turn: Any = SimpleNamespace(head=Head(b"POST", b"/a", b"/a", b"", b"1.1", b"a", [], None))
        body = Body(edge.intake, source, turn)
        tracemalloc.start()
        try:
            for number in range(100_000):
                body.data(number.to_bytes(3, "big"))
            assert tracemalloc.get_traced_memory()[0] < 2 * 300_000
        finally:
            tracemalloc.stop()
        body.lost()
        assert edge.intake.unsaved_bytes == 0


# --- a journal that fails ------------------------------------------------------------------------------------------


@dataclass
class Moody:
    """A keeper that fails when it is told to."""

    fault: Exception | None = None
    batches: int = 0

    async def keep(self, arrivals: Sequence[Arrival]) -> list[Stored]:
        self.batches += 1
        if self.fault is not None:
            raise self.fault
        return [Stored(arrival.id) for arrival in arrivals]


def arrival(number: int) -> Arrival:
    return Arrival(f"e{number}", "bank", 100.0 + number, "[]", b"body", "", "127.0.0.1", secret="new")


async def put(gather: Gather, *numbers: int) -> list[Stored | None]:
    """Put events in at once; gives what became of them."""
    made: list[asyncio.Future[Stored | None]] = []
    for number in numbers:
        made.append(asyncio.get_running_loop().create_future())
        gather.put(arrival(number), made[-1].set_result)
    return await asyncio.gather(*made)


@pytest.mark.parametrize("fault", [JournalError("the disk refused"), ValueError("a mistake of ours")])
async def test_a_write_that_failed_is_never_repeated_and_nothing_waits_behind_it(
    clock: FakeClock, fault: Exception
) -> None:
    keeper = Moody(fault)
    gather = Gather(keeper, clock, Counts(Meter()))
    assert await put(gather, 1, 2, 3) == [None] * 3
    assert keeper.batches == 1
    assert (bool(gather.trouble), gather.has_room(0)) == (True, False)
    keeper.fault = None
    await clock.advance(PAUSE)
    assert gather.has_room(0)
    assert await put(gather, 4) == [Stored("e4")]
    assert (gather.trouble, gather.bytes) == (None, 0)
    await gather.close()


async def test_a_sender_that_cannot_be_told_ends_nobody_elses_writing(clock: FakeClock) -> None:
    keeper = Moody()
    gather = Gather(keeper, clock, Counts(Meter()))
    told: list[Stored | None] = []

    def broken(stored: Stored | None) -> None:
        told.append(stored)
        raise RuntimeError("no answer can be written")

    gather.put(arrival(1), broken)
    assert await put(gather, 2) == [Stored("e2")]
    keeper.fault = JournalError("away")
    gather.put(arrival(3), broken)
    assert await put(gather, 4) == [None]
    keeper.fault = None
    await clock.advance(PAUSE)
    assert await put(gather, 5) == [Stored("e5")]
    assert told == [Stored("e1"), None]
    await gather.close()


async def test_what_a_read_swallowed_is_told_all_the_same(journal: Journal) -> None:
    """Where a type checker takes what failed for nothing, the compiled module must look all the same."""

    def careless(tx: Tx) -> str:
        with suppress(JournalError, Broken):
            tx.many("inbox.log_gone", [{"segment": "a", "before": 0.0}])
        return "all is well"

    async with journal.opened() as store:
        with pytest.raises(JournalError, match="read-only"):
            await store.read(careless)
