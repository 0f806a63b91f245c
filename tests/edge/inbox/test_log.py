"""The log: what is written is read again, whatever is broken around it, and gets into the journal once and in order."""

from __future__ import annotations

import asyncio
import errno
import math
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from mainstay.core.errors import JournalError
from mainstay.edge.inbox import log as log_module
from mainstay.edge.inbox.drain import Drain, _put_aside
from mainstay.edge.inbox.harvest import Harvest, Part, harvest, read
from mainstay.edge.inbox.known import Known
from mainstay.edge.inbox.log import DAMAGED, REFUSED, Log, segments
from mainstay.edge.inbox.record import decode, encode, whole
from mainstay.edge.inbox.turn import Turn
from mainstay.ports.clock import FakeClock
from mainstay.store import inbox
from mainstay.store.base import Store
from mainstay.store.inbox import KEPT, Arrival
from tests.edge.inbox.house import house
from tests.edge.inbox.ledger import everything
from tests.edge.inbox.records import CLOCK, append, arrival, fields, ids, kept, opened
from tests.helpers import aeventually
from tests.journals import sqlite_journal


@pytest.mark.parametrize("body", [b"", b"\x00\xff\r\n", b"x" * 100_000])
def test_a_record_is_what_it_was(body: bytes) -> None:
    full = Arrival(
        "e1", "bank", 100.5, '[["user-agent","Bank/\\u00e9"],["x-odd","a:b "]]', body, "d" * 64, "::1", "a=b", "Bank/é",
        "new", 99.25, "evt", "paid", "", "id:evt", 60.0, KEPT, b"user-agent:Bank/\xe9\nx-odd:a:b \n",
    )  # fmt: skip
    bare = Arrival("e2", "bank", 100.5, "[]", body, "", "")
    for one in (full, bare):
        data = b"before" + encode(one) + b"behind"
        end = whole(data, 6)
        assert end == len(data) - 6
        assert fields(decode(data, 6, end)) == fields(one)


def test_what_a_sender_wrote_into_json_can_be_no_unicode(directory: Path) -> None:
    one = arrival()
    one.order_key = "\ud800"
    data = encode(one)
    assert decode(data, 0, len(data)).order_key == "?"


def test_no_byte_may_be_another_one() -> None:
    data = encode(arrival(b"{}" * 20))
    for at in range(len(data)):
        spoilt = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        assert whole(spoilt, 0) == 0
        assert whole(data[:at], 0) == 0


def test_what_a_crash_left_half_written_is_passed_over(directory: Path, written: Log) -> None:
    first = arrival()
    append(written, first)
    path = directory / written.name
    with path.open("ab") as file:
        file.write(encode(arrival())[:-1])
    assert ids(harvest(directory, {}).events) == [first.id]


def test_a_large_event_is_read_alone(directory: Path, written: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mainstay.edge.inbox.harvest.HEAVIEST", 1000)
    events = [arrival(b"x" * size) for size in (10, 5000, 10)]
    append(written, *events)
    found, upto = list[str](), 0
    while (part := read(directory / written.name, upto)).events:
        found += ids(part.events)
        upto = part.end
    assert found == ids(events)


def test_a_full_segment_is_followed_by_another(
    directory: Path, written: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "SEGMENT", 1000)
    events = [arrival(b"x" * 600) for _ in range(4)]
    for one in events:
        append(written, one)
    assert len(segments(directory)) == 2
    assert ids(harvest(directory, {}).events) == ids(events)


async def test_a_segment_is_not_written_for_ever(directory: Path) -> None:
    clock = FakeClock()
    to = Log(directory, clock)
    for _ in range(2):
        append(to, arrival())
    assert len(segments(directory)) == 1
    await clock.advance(log_module.OLDEST)
    append(to, arrival())
    assert len(segments(directory)) == 2


def test_what_was_taken_back_from_a_full_disk_hides_nothing_that_comes_after_it(
    directory: Path, written: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An importer has read of it already, and goes on behind it."""
    upto, before = dict[str, int](), arrival()
    append(written, before)

    def bring() -> list[str]:
        found = harvest(directory, upto)
        upto.update({name: end for name, (_, end) in found.spans.items()})
        return ids(found.events)

    real, found = os.writev, list[str]()

    def full(file: int, pieces: Sequence[bytes]) -> int:
        real(file, pieces)
        found.extend(bring())
        raise OSError(errno.ENOSPC, "full")

    for _ in range(3):
        refused = arrival(b"refused" * 20), arrival()
        with monkeypatch.context() as patch:
            patch.setattr("os.writev", full)
            with pytest.raises(JournalError, match="full"):
                append(written, *refused)
    assert found[0] == before.id
    assert len(segments(directory)) == 1  # a disk that stays full does not fill with files
    kept = [arrival(b"%d" % number) for number in range(5)]
    append(written, *kept)
    assert bring() == ids(kept)


def test_the_log_is_bounded(directory: Path) -> None:
    bounded = Log(directory, CLOCK, most=1000)
    append(bounded, arrival(b"x" * 1000))
    bounded.close()
    with pytest.raises(JournalError, match="wait for the journal"):
        append(Log(directory, CLOCK, most=1000), arrival())


def test_what_the_journal_would_not_have_counts_to_the_log(directory: Path, written: Log) -> None:
    bounded = Log(directory, CLOCK, most=1000)
    append(bounded, arrival())
    bounded.close()
    (directory / f"x{REFUSED}").write_bytes(bytes(1000))
    with pytest.raises(JournalError, match="wait for the journal"):
        append(bounded, arrival())


def test_segments_of_several_processes_are_read_in_one_order(directory: Path) -> None:
    """As much as is read of one at a time, nothing comes before what was there earlier."""
    logs = [Log(directory, CLOCK) for _ in range(3)]
    events = [arrival() for _ in range(60)]
    for number, one in enumerate(events):
        append(logs[number * 7 % 3], one)
    found, upto = list[str](), dict[str, int]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mainstay.edge.inbox.harvest.LOAD", 4)
        while (part := harvest(directory, upto)).events:
            found += ids(part.events)
            upto |= {name: end for name, (_, end) in part.spans.items()}
    assert found == ids(events)


@pytest.mark.parametrize("writers", [1, 5])
@pytest.mark.parametrize("heaviest", [4000, 64_000])
def test_a_log_larger_than_the_memory_is_read_in_parts(
    directory: Path, monkeypatch: pytest.MonkeyPatch, writers: int, heaviest: int
) -> None:
    """Segments that are younger than what is read are left alone, and nothing overtakes what they hold."""
    monkeypatch.setattr(log_module, "SEGMENT", 3000)
    logs = [Log(directory, CLOCK) for _ in range(writers)]
    events = [arrival(b"x" * 300) for _ in range(200)]
    for number, one in enumerate(events):
        append(logs[number * 7 % writers], one)
    assert len(segments(directory)) > 20
    in_memory = list[int]()

    def counted(path: Path, start: int, most: int = 0, heaviest: int = 0) -> Part:
        part = read(path, start, most, heaviest)
        in_memory[-1] += part.end - start
        return part

    monkeypatch.setattr("mainstay.edge.inbox.harvest.read", counted)
    monkeypatch.setattr("mainstay.edge.inbox.harvest.HEAVIEST", heaviest)
    monkeypatch.setattr("mainstay.edge.inbox.harvest.TOGETHER", 8000)
    found, upto, part = list[str](), dict[str, int](), Harvest([arrival()])
    while part.events:
        in_memory.append(0)
        part = harvest(directory, upto)
        found += ids(part.events)
        upto |= {name: end for name, (_, end) in part.spans.items()}
    assert found == ids(events)
    assert max(in_memory) <= 12_000


async def test_the_journal_has_each_event_once_whoever_imports(
    tmp_path: Path, directory: Path, written: Log
) -> None:
    """Two that know nothing of each other, without the lock that keeps them apart."""
    events = [arrival(b"%d" % number) for number in range(500)]
    async with opened(tmp_path) as store:

        async def bring(drain: Drain) -> None:
            for _ in range(200):
                await drain._once(store)

        drains = [Drain(directory, CLOCK), Drain(directory, CLOCK)]
        work = [asyncio.create_task(bring(one)) for one in drains]
        for at in range(0, 500, 10):
            await asyncio.to_thread(append, written, *events[at : at + 10])
        await asyncio.gather(*work)
        assert await kept(store) == ids(events)
        # Nor does it come again when its row has been forgotten meanwhile.
        await store.write(
            lambda tx: tx.many("inbox.forget", [{"id": e.id, "state": e.state} for e in events])
        )
        await Drain(directory, CLOCK)._once(store)
        assert await kept(store) == []
        assert await store.read(inbox.uses) == {("bank", "new"): events[-1].received_at}


async def test_copies_that_reached_two_processes_at_once_are_one(tmp_path: Path, directory: Path) -> None:
    first, copy, other = arrival(b"1", "a"), arrival(b"1", "a"), arrival(b"2", "a")
    for one in (copy, other, first):
        append(Log(directory, CLOCK), one)
    async with opened(tmp_path) as store:
        await Drain(directory, CLOCK).empty(store, Turn(directory))
        found = await store.read(everything)
        assert [(event.id, event.conflict_of) for event in found] == [(first.id, None), (other.id, first.id)]


async def test_sealed_segments_go_once_the_journal_has_them(
    tmp_path: Path, directory: Path, written: Log
) -> None:
    append(written, arrival())
    async with opened(tmp_path) as store:
        await Drain(directory, CLOCK).empty(store, Turn(directory))
        assert list(segments(directory)) == [written.name]
        written.close()
        await Drain(directory, CLOCK).empty(store, Turn(directory))
        assert segments(directory) == {}
        assert await store.read(inbox.imported) == {}


async def test_a_segment_stays_while_the_journal_has_less_than_it_said(
    tmp_path: Path, directory: Path, written: Log
) -> None:
    """It was set back to an hour ago, or a standby took over that had not got everything."""
    one = arrival()
    append(written, one)
    async with opened(tmp_path) as store:
        drain = Drain(directory, CLOCK)
        await drain.empty(store, Turn(directory))
        with closing(sqlite3.connect(tmp_path / "journal.db")) as before:
            for table in ("inbox", "inbox_seen", "inbox_log"):
                before.execute(f"DELETE FROM {table}")
            before.commit()
        written.close()
        drain._tidied = -math.inf
        for _ in range(2):
            await drain.empty(store, Turn(directory))
        assert await kept(store) == [one.id]


async def test_what_the_disk_lost_holds_back_nothing_behind_it(
    tmp_path: Path, directory: Path, written: Log
) -> None:
    events = [arrival(b"%d" % number * 100) for number in range(3)]
    append(written, *events)
    written.close()
    path = directory / written.name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    async with opened(tmp_path) as store:
        for _ in range(2):
            drain = Drain(directory, CLOCK)
            await drain.empty(store, Turn(directory))
        assert await kept(store) == [events[0].id, events[2].id]
    assert [one.name for one in directory.glob(f"*{DAMAGED}")] == [f"{written.name}{DAMAGED}"]
    assert not path.exists()


def test_the_agent_has_the_turn_before_edges(directory: Path) -> None:
    directory.mkdir()
    edge, other, agent = Turn(directory), Turn(directory), Turn(directory, agent=True)
    assert edge.take()
    assert not other.take()
    assert not agent.take()
    edge.give()
    assert not edge.take()  # the agent is here
    assert agent.take()
    agent.give()
    assert not other.take()
    agent.end()
    assert other.take()
    other.end()


def test_only_so_many_events_are_known() -> None:
    known = Known(most=25)
    for number in range(5):
        events = [arrival(b"%d %d" % (number, each)) for each in range(10)]
        known.learn(f"segment{number}", known.judge(events, {})[1])
    assert len(known) == 20
    known.keep_only(["segment4"])
    assert len(known) == 10
    again = known.judge(events, {})[0]
    assert [one.id for one in again] == ids(events)
    assert not any(one.new for one in again)


async def test_a_restart_knows_what_waits_in_the_log(tmp_path: Path, directory: Path) -> None:
    """The journal is away for good: it has nothing of it."""

    async def nobody() -> Store:
        raise JournalError("away")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mainstay.edge.inbox.open.FIRST_LOOK", 0.05)
        patch.setattr("tests.edge.inbox.house.open_store", lambda url, clock: nobody())
        given = []
        for _ in range(2):
            async with house("", tmp_path) as edge:
                sender = edge.sender()
                given += [await sender.send(body, ("X-Event-Id", "a")) for body in (b"1", b"2")]
        assert [answer.status for answer in given] == [202, 202, 200, 200]
        assert [answer.id for answer in given[2:]] == [answer.id for answer in given[:2]]
        assert len(harvest(directory, {}).events) == 2
    async with house(sqlite_journal(tmp_path).url, tmp_path), opened(tmp_path) as store:

        async def there() -> bool:
            return await kept(store) == [answer.id for answer in given[:2]]

        assert await aeventually(there)


def test_nobody_else_may_read_what_the_log_holds(directory: Path, written: Log) -> None:
    append(written, arrival())
    _put_aside(directory, [arrival()], CLOCK.now())
    assert len([*directory.glob(f"*{REFUSED}")]) == 1
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}


async def test_a_journal_that_takes_nothing_at_all_has_nothing_put_aside(
    tmp_path: Path, directory: Path, written: Log
) -> None:
    """Else each attempt would write all that waits once more."""
    events = [arrival(b"%d" % number) for number in range(3)]
    append(written, *events)
    async with opened(tmp_path) as store:
        path = sqlite_journal(tmp_path).url.removeprefix("sqlite:")
        with closing(sqlite3.connect(path)) as broken:
            for table in ("inbox", "inbox_log"):
                broken.execute(
                    f"CREATE TRIGGER no_{table} BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'no'); END"
                )
            for _ in range(2):
                with pytest.raises(JournalError, match="no"):
                    await Drain(directory, CLOCK).empty(store, Turn(directory))
            assert not list(directory.glob(f"*{REFUSED}"))
            broken.execute("DROP TRIGGER no_inbox")
            broken.execute("DROP TRIGGER no_inbox_log")
        await Drain(directory, CLOCK).empty(store, Turn(directory))
        assert await kept(store) == ids(events)
