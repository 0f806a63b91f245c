"""While a journal on a server is away events wait in the log; afterwards they are brought over, each one once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mainstay.edge.inbox.harvest import harvest, read
from mainstay.edge.inbox.log import DIRECTORY, REFUSED
from mainstay.store import inbox
from mainstay.store.inbox import Arrival
from mainstay.store.inbox_delivery import Event
from tests.edge.inbox.house import House, house
from tests.edge.inbox.ledger import Ledger, compare, everything, imported
from tests.edge.inbox.sender import Answer
from tests.helpers import aeventually
from tests.journals import Journal, postgres_url
from tests.servers.faults import FaultProxy
from tests.servers.postgres import PostgresServer

KILLS = int(os.environ.get("MAINSTAY_KILLS", "3"))


@pytest.fixture
def journal(postgres: PostgresServer) -> Iterator[Journal]:
    for url in postgres_url(postgres):
        yield Journal(url, "postgres", server=postgres)
        if not postgres.engine.alive():
            postgres.start()


async def send(edge: House, name: str, body: bytes = b"{}") -> Answer:
    return await edge.sender().send(body, ("X-Event-Id", name))


async def in_journal(journal: Journal, count: int) -> list[Event]:
    """The events in the journal, once there are so many."""
    async with journal.opened() as store:

        async def enough() -> bool:
            return len(await store.read(everything)) >= count

        assert await aeventually(enough, 30)
        return await store.read(everything)


def in_log(directory: Path) -> list[Arrival]:
    """Every event in the log, whether the journal has it or not."""
    return harvest(directory / DIRECTORY, {}).events


async def all_imported(journal: Journal, directory: Path) -> None:
    async with journal.opened() as store:
        await imported(store, directory)


async def test_what_came_while_the_server_was_away_is_brought_over_in_order(
    journal: Journal, tmp_path: Path, postgres: PostgresServer
) -> None:
    async with house(journal.url, tmp_path) as edge:
        given = [await send(edge, "before")]
        postgres.kill()
        given += [await send(edge, f"away{number}", b"%d" % number) for number in range(20)]
        assert [answer.status for answer in given] == [202] * 21
        copy, other = await send(edge, "away3", b"3"), await send(edge, "before", b"other")
        assert (copy.status, copy.id, other.status) == (200, given[4].id, 202)
        assert len(in_log(tmp_path)) == 22
        postgres.start()
        found = await in_journal(journal, 22)
        assert [event.id for event in found] == [*(answer.id for answer in given), other.id]
        assert (found[-1].conflict_of, found[-1].event_id, found[-1].body) == (
            given[0].id,
            "before",
            b"other",
        )
        await all_imported(journal, tmp_path)
    async with journal.opened() as store:
        assert ("bank", "new") in await store.read(inbox.uses)


async def test_a_copy_of_what_the_journal_has_is_dropped_on_the_way(
    journal: Journal, tmp_path: Path, postgres: PostgresServer
) -> None:
    async with house(journal.url, tmp_path / "one") as edge:
        first = await send(edge, "a")
    async with house(journal.url, tmp_path / "other") as edge:
        assert (await send(edge, "a")).id == first.id
        postgres.kill()
        # Nobody can know the copy without the journal, unless a last process of the server still answers.
        assert (await send(edge, "a")).status in (200, 202)
        last = await send(edge, "b")
        postgres.start()
        assert [event.id for event in await in_journal(journal, 2)] == [first.id, last.id]
        await all_imported(journal, tmp_path / "other")


async def test_a_start_without_the_server_takes_events_in(
    journal: Journal, tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what an edge leaves in the log the next one brings over."""
    monkeypatch.setattr("mainstay.edge.inbox.open.FIRST_LOOK", 0.05)
    postgres.kill()
    async with house(journal.url, tmp_path) as edge:
        first = await send(edge, "a")
    assert [event.id for event in in_log(tmp_path)] == [first.id]
    postgres.start()
    async with house(journal.url, tmp_path) as edge:
        second = await send(edge, "b", b"2")
        assert [event.id for event in await in_journal(journal, 2)] == [first.id, second.id]


async def test_one_event_that_the_journal_will_not_have_holds_back_no_other(
    journal: Journal, tmp_path: Path, postgres: PostgresServer
) -> None:
    with postgres.connect(journal.url.rpartition("/")[2]) as connection:
        connection.execute("ALTER TABLE mainstay.inbox ADD CONSTRAINT odd CHECK (event_id <> 'poison')")

    async def three(edge: House, *names: str) -> list[int]:
        sent = [send(edge, name, name.encode()) for name in (names[0], "poison", names[1])]
        return [answer.status for answer in await asyncio.gather(*sent)]

    async with house(journal.url, tmp_path) as edge:
        assert await three(edge, "a", "b") == [202] * 3
        assert {event.event_id for event in await in_journal(journal, 2)} == set("ab")
        assert (await send(edge, "c")).status == 202
        await in_journal(journal, 3)
        assert refused(tmp_path) == ["poison"]
    async with house(journal.url, tmp_path):  # every start tries again
        assert await aeventually(lambda: refused(tmp_path) == ["poison"])
    with postgres.connect(journal.url.rpartition("/")[2]) as connection:
        connection.execute("ALTER TABLE mainstay.inbox DROP CONSTRAINT odd")
    async with house(journal.url, tmp_path):
        assert len(await in_journal(journal, 4)) == 4


def refused(directory: Path) -> list[str | None]:
    found = sorted((directory / DIRECTORY).glob(f"*{REFUSED}"))
    return [event.event_id for path in found for event in read(path, 0).events]


@pytest.fixture
def cut(journal: Journal, fault_proxy: Callable[[int], FaultProxy]) -> tuple[str, FaultProxy]:
    """The journal's address by a way that can be cut, and that."""
    assert journal.server is not None
    proxy = fault_proxy(journal.server.port)
    return journal.url.replace(f":{journal.server.port}/", f":{proxy.port}/"), proxy


async def written(journal: Journal) -> list[str]:
    """The sender's ids of all events in the order in which they came into the journal."""
    assert journal.server is not None
    database = journal.url.partition(f":{journal.server.port}/")[2].partition("?")[0]
    found = journal.server.execute(
        "SELECT event_id FROM mainstay.inbox ORDER BY xmin::text::bigint, id", database
    )
    return [str(row[0]) for row in found]


async def test_nothing_overtakes_what_another_process_has_in_the_log(
    journal: Journal, tmp_path: Path, cut: tuple[str, FaultProxy]
) -> None:
    """Only one of two edges of a machine cannot reach the journal; the sender speaks to both in turn."""
    url, way = cut
    async with house(url, tmp_path) as lost, house(journal.url, tmp_path) as fine:
        names = [f"event{number:02}" for number in range(20)]
        await send(fine, names[0])
        await send(lost, names[1])
        way.refuse()
        for number, name in enumerate(names[2:]):
            assert (await send(fine if number % 2 else lost, name)).status == 202
        await in_journal(journal, len(names))
        assert await written(journal) == names
        await all_imported(journal, tmp_path)
        way.heal()


async def test_what_a_dead_process_left_in_the_log_is_brought_over_by_another(
    journal: Journal, tmp_path: Path, cut: tuple[str, FaultProxy]
) -> None:
    url, way = cut
    async with house(journal.url, tmp_path) as fine:
        async with house(url, tmp_path) as lost:
            way.refuse()
            await send(lost, "left")
        await send(fine, "later")
        await in_journal(journal, 2)
        assert await written(journal) == ["left", "later"]


@pytest.mark.slow
async def test_a_server_that_is_killed_under_load_loses_and_doubles_nothing(
    journal: Journal, tmp_path: Path, postgres: PostgresServer
) -> None:
    """Two edges of one machine, and writes whose end nobody knows."""
    async with house(journal.url, tmp_path) as one, house(journal.url, tmp_path) as two:
        ledger = Ledger([one.port, two.port])
        for _ in range(KILLS):
            await ledger.more(300)
            postgres.kill()
            await ledger.more(300)
            postgres.start()
        await ledger.more(100)
        await ledger.end()
        await all_imported(journal, tmp_path)
    async with journal.opened() as store:
        await compare(store, ledger)
    assert len(ledger.acknowledged) >= 600 * KILLS
