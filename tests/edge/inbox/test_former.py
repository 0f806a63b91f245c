"""What earlier versions left on the disk was acknowledged: it is brought in, or kept for people."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainstay.edge.inbox.drain import Drain
from mainstay.edge.inbox.former import NAME as SPOOL
from mainstay.edge.inbox.log import DAMAGED
from mainstay.edge.inbox.record import called, decode, encode, whole
from mainstay.edge.inbox.turn import Turn
from mainstay.ports.clock import SystemClock
from mainstay.store import inbox
from mainstay.store.inbox import KEPT, QUEUED, Arrival
from mainstay.store.inbox_delivery import hold
from mainstay.store.sqlite import open_sqlite
from tests.edge.inbox.house import house
from tests.edge.inbox.ledger import everything
from tests.edge.inbox.records import CLOCK, arrival, fields, ids, kept, opened
from tests.helpers import aeventually
from tests.journals import sqlite_journal


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "inbox"


FORMER = bytes.fromhex(
    "6d686b31e30000005b14d4ee00000000002059400000000000d058400000000000004e4002000000040000002b0000004000"
    "0000030000000300000004000000070000000300000003000000040000000300000006000000653162616e6b5b5b22686f73"
    "74222c2261225d2c5b22757365722d6167656e74222c2242616e6b2f5c7530306539225d5d64646464646464646464646464"
    "6464646464646464646464646464646464646464646464646464646464646464646464646464646464646464646464646464"
    "643a3a31613d626b65707442616e6b2fc3a96e657765767470616964616c6c69643a6576747b7d"
)


async def test_a_record_of_the_format_before_is_brought_in(tmp_path: Path, directory: Path) -> None:
    then = Arrival(
        "e1", "bank", 100.5, '[["host","a"],["user-agent","Bank/\\u00e9"]]', b"{}", "d" * 64, "::1", "a=b", "Bank/é",
        "new", 99.25, "evt", "paid", "all", "id:evt", 60.0, KEPT, b"host:a\nuser-agent:Bank/\xe9\n",
    )  # fmt: skip
    end = whole(FORMER, 0)
    assert (end, called(FORMER)) == (len(FORMER), "e1")
    assert fields(decode(FORMER, 0, end)) == fields(then)
    directory.mkdir()
    (directory / "e1.log").write_bytes(FORMER)
    async with opened(tmp_path) as store:
        await Drain(directory, CLOCK).empty(store, Turn(directory))
        assert await kept(store) == ["e1"]
    assert not list(directory.glob("*.log*"))


async def test_an_end_that_cannot_be_read_is_kept_for_people(tmp_path: Path, directory: Path) -> None:
    """Of the last record nobody can tell whether it was acknowledged: the disk may have spoilt it."""
    directory.mkdir()
    one = arrival()
    (directory / "e1.log").write_bytes(encode(one) + b"mhk9" + FORMER[4:])
    async with opened(tmp_path) as store:
        await Drain(directory, CLOCK).empty(store, Turn(directory))
        assert await kept(store) == [one.id]
    assert [path.name for path in directory.glob("*.log*")] == [f"e1.log{DAMAGED}"]


async def test_what_an_earlier_version_left_in_its_spool_is_brought_in(
    tmp_path: Path, directory: Path
) -> None:
    clock = SystemClock()
    spool = await open_sqlite(tmp_path / SPOOL, clock)
    events = [arrival(b"1", "a b"), arrival(b"2", "a b"), arrival(b"3"), arrival(b"4")]
    events[3].key = None
    for one in events:
        one.headers = '[["host","a"]]'
    await spool.write(lambda tx: inbox.put_many(tx, events, QUEUED))
    await spool.write(lambda tx: hold(tx, events[2].id, "the journal will not have it"))
    await spool.close()
    async with house(sqlite_journal(tmp_path).url, tmp_path) as edge, opened(tmp_path) as store:

        async def there() -> bool:
            return await kept(store) == ids(events)

        assert await aeventually(there)
        found = await store.read(everything)
        assert [event.body for event in found] == [b"1", b"2", b"3", b"4"]
        assert found[1].conflict_of == events[0].id
        assert found[0].headers == [["host", "a"]]
        again = await edge.sender().send(b"1", ("X-Event-Id", "a b"))
        assert (again.status, again.id) == (200, events[0].id)
    assert not list(tmp_path.glob(f"{SPOOL}*[!k]"))


async def test_a_spool_that_cannot_be_read_stays_and_keeps_nobody_out(tmp_path: Path) -> None:
    (tmp_path / SPOOL).write_bytes(b"no database" * 1000)
    async with house(sqlite_journal(tmp_path).url, tmp_path) as edge:
        assert (await edge.sender().send(b"1")).status == 202
    assert (tmp_path / SPOOL).read_bytes() == b"no database" * 1000
