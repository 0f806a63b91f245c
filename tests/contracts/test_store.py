"""What every journal promises, on each database."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mainstay.core.errors import JournalError
from mainstay.core.incident import Event, EventKind
from mainstay.ports.clock import FakeClock
from mainstay.store import incidents, meta, named
from mainstay.store.base import Conflict, Store, Tx
from tests.journals import Journal, get, put


async def test_what_was_written_is_there_after_reopening(journal: Journal) -> None:
    async with journal.opened() as store:
        await store.write(put("a", "ä\n'\"%s :x"))
    async with journal.opened() as store:
        assert await store.read(get("a")) == "ä\n'\"%s :x"


async def test_a_unit_gives_its_value(store: Store) -> None:
    assert await store.write(lambda tx: 41 + 1) == 42
    assert await store.read(lambda tx: tx.dialect) == store.dialect


async def test_an_exception_undoes_its_own_unit_only(store: Store) -> None:
    def fails(tx: Tx) -> None:
        meta.put(tx, "bad", "1")
        raise ValueError("no")

    units = [put(f"good{i}") if i % 3 else fails for i in range(30)]
    given = await asyncio.gather(*[store.write(unit) for unit in units], return_exceptions=True)
    assert [isinstance(one, ValueError) for one in given] == [i % 3 == 0 for i in range(30)]
    assert await store.read(get("bad")) is None
    for i in range(30):
        assert await store.read(get(f"good{i}")) == ("1" if i % 3 else None)


async def test_a_lone_unit_that_fails_leaves_nothing(store: Store) -> None:
    def fails(tx: Tx) -> None:
        meta.put(tx, "bad", "1")
        raise StopIteration("even this")

    with pytest.raises(RuntimeError, match="even this"):
        await store.write(fails)
    assert await store.read(get("bad")) is None


async def test_units_that_wait_share_a_commit(store: Store) -> None:
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(tx: Tx) -> None:
        meta.put(tx, "slow", "1")
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(queued.wait(), loop).result(10)

    queued = asyncio.Event()
    first = asyncio.create_task(store.write(slow))
    await begun.wait()
    rest = [asyncio.create_task(store.write(put(f"k{i}"))) for i in range(100)]
    await asyncio.sleep(0)
    queued.set()
    await asyncio.gather(first, *rest)
    writer: Any = store.writer  # type: ignore[attr-defined]
    assert (writer.commits, writer.units) == (2, 101)


async def test_many_writers_do_not_lose_an_update(journal: Journal) -> None:
    def add(tx: Tx) -> None:
        meta.put(tx, "sum", str(int(meta.get(tx, "sum") or 0) + 1))

    async with journal.opened() as one, journal.opened() as two:
        await asyncio.gather(*[store.write(add) for store in (one, two) for _ in range(50)])
        assert await one.read(get("sum")) == "100"


async def test_write_skew_is_impossible(journal: Journal) -> None:
    """Each of two units writes only if the other has not: one of them must see the other."""

    def claim(mine: str, other: str) -> Callable[[Tx], bool]:
        def unit(tx: Tx) -> bool:
            free = meta.get(tx, other) is None
            if free:
                meta.put(tx, mine, "1")
            return free

        return unit

    async with journal.opened() as one, journal.opened() as two:
        for i in range(25):
            won = await asyncio.gather(one.write(claim(f"a{i}", f"b{i}")), two.write(claim(f"b{i}", f"a{i}")))
            assert sorted(won) == [False, True]


async def test_reads_see_one_moment_and_do_not_wait_for_writers(store: Store) -> None:
    loop = asyncio.get_running_loop()
    looked, written = asyncio.Event(), asyncio.Event()

    def look_twice(tx: Tx) -> tuple[str | None, str | None]:
        before = meta.get(tx, "a")
        loop.call_soon_threadsafe(looked.set)
        asyncio.run_coroutine_threadsafe(written.wait(), loop).result(10)
        return before, meta.get(tx, "a")

    await store.write(put("a", "old"))
    reading = asyncio.create_task(store.read(look_twice))
    await looked.wait()
    await store.write(put("a", "new"))
    written.set()
    assert await reading == ("old", "old")
    assert await store.read(get("a")) == "new"


async def test_a_read_must_not_write(store: Store) -> None:
    with pytest.raises(JournalError):
        await store.read(put("a"))
    assert await store.read(get("a")) is None


async def test_a_doubled_key_is_a_conflict(store: Store) -> None:
    entry = {"id": "1", "at": 1.0, "who": "w", "action": "a", "target": "t", "detail": "{}"}

    def note(tx: Tx) -> None:
        tx.run("audit.note", **entry)

    await store.write(note)
    with pytest.raises(Conflict):
        await store.write(note)


async def test_a_swallowed_error_still_undoes_the_unit(store: Store) -> None:
    """PostgreSQL cannot go on after a failed statement, so no journal may pretend to."""
    entry = {"id": "1", "at": 1.0, "who": "w", "action": "a", "target": "t", "detail": "{}"}

    def swallows(tx: Tx) -> str:
        meta.put(tx, "before", "1")
        tx.run("audit.note", **entry)
        with contextlib.suppress(JournalError):
            tx.run("audit.note", **entry)
        return "fine"

    with pytest.raises(Conflict):
        await store.write(swallows)
    given = await asyncio.gather(store.write(swallows), store.write(put("other")), return_exceptions=True)
    assert isinstance(given[0], Conflict)
    assert await store.read(get("before")) is None
    assert await store.read(get("other")) == "1"


async def test_a_broken_foreign_key_is_a_conflict(store: Store) -> None:
    event = Event("e", "no-such-incident", 1.0, EventKind.NOTE, "an orphan")
    with pytest.raises(Conflict):
        await store.write(lambda tx: incidents.add_event(tx, event))


async def test_values_go_in_and_come_out_alike(store: Store) -> None:
    def unit(tx: Tx) -> dict[str, Any]:
        tx.run(
            "results.state",
            check="s/a",
            service="s",
            verdict="ok",
            at=1.25,
            latency=None,
            detail="a\x00b \ud800 ü",
            facts=json.dumps({"a": 1}),
        )
        (row,) = tx.all("results.states")
        return dict(row)

    row = await store.write(unit)
    assert row == {
        "check_id": "s/a",
        "service": "s",
        "verdict": "ok",
        "since": 1.25,
        "at": 1.25,
        "latency": None,
        "detail": "a\ufffdb ? ü",
        "facts": '{"a": 1}',
    }
    assert type(row["at"]) is float


async def test_a_missing_parameter_is_named(store: Store) -> None:
    with pytest.raises(TypeError, match=r"meta\.put needs value"):
        await store.write(lambda tx: tx.run("meta.put", key="a"))
    with pytest.raises(LookupError, match=r"meta\.sql"):
        await store.read(lambda tx: tx.all("meta.nothing"))


async def test_changes_are_counted(store: Store) -> None:
    assert await store.write(lambda tx: tx.run("meta.put", key="a", value="1")) == 1
    assert await store.write(lambda tx: tx.run("meta.drop", key="nothing")) == 0
    await store.write(lambda tx: tx.many("meta.put", ({"key": key, "value": key} for key in "ab")))
    await store.write(lambda tx: tx.many("meta.put", []))
    assert await store.read(get("a")) == "a"


PROBE = """
-- name: sums
-- What databases compute in types of their own.
SELECT sum(number) AS whole, avg(number) AS mean, count(*) AS count, max(number) = :two AS truth,
    :text || '%:x' AS text, CAST(:bytes AS BLOB) AS bytes, :two * 40000 * 40000 AS product, CAST('-1.5' AS REAL) AS part
FROM (SELECT CAST(1 AS BIGINT) AS number UNION ALL SELECT 2) AS numbers;

-- name: sums (postgres)
-- The same, with the names that types have there.
SELECT sum(number) AS whole, avg(number) AS mean, count(*) AS count, max(number) = :two AS truth,
    :text || '%:x' AS text, :bytes::bytea AS bytes, :two * 40000 * 40000 AS product, '-1.5'::numeric AS part
FROM (SELECT CAST(1 AS BIGINT) AS number UNION ALL SELECT 2) AS numbers;
"""


async def test_what_databases_compute_comes_alike(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named, "QUERIES", tmp_path)
    (tmp_path / "probe.sql").write_text(PROBE)
    row = await store.read(lambda tx: tx.one("probe.sums", two=2, text="a", bytes=b"\x00\xff"))
    wanted = {
        "whole": 3,
        "mean": 1.5,
        "count": 2,
        "truth": 1,
        "text": "a%:x",
        "bytes": b"\x00\xff",
        "product": 3_200_000_000,
        "part": -1.5,
    }
    assert row == wanted
    assert {name: type(value) for name, value in wanted.items()} == {name: type(row[name]) for name in wanted}


async def test_a_read_cannot_swallow_a_failed_statement(store: Store) -> None:
    def swallows(tx: Tx) -> str:
        with contextlib.suppress(JournalError):
            meta.put(tx, "a", "1")
        return "fine"

    with pytest.raises(JournalError):
        await store.read(swallows)
    assert await store.read(get("a")) is None


# --- signals -------------------------------------------------------------------------------------------------------


async def test_a_wait_ends_after_its_time(store: Store, clock: FakeClock) -> None:
    waiting = asyncio.create_task(store.wait("runs", 60))
    await clock.advance(59)
    assert not waiting.done()
    await clock.advance(1)
    assert await waiting is False


async def test_a_signal_wakes_who_waits_and_only_for_its_topic(store: Store, clock: FakeClock) -> None:
    runs, outbox = (asyncio.create_task(store.wait(topic, 60)) for topic in ("runs", "outbox"))
    await clock.settle()
    await store.write(lambda tx: tx.signal("runs"))
    assert await runs is True
    assert not outbox.done()
    await clock.advance(60)
    assert await outbox is False


async def test_a_signal_before_the_wait_is_seen_by_the_version(store: Store) -> None:
    before = store.version("runs")
    await store.write(lambda tx: tx.signal("runs"))
    assert store.version("runs") == before + 1


async def test_a_signal_between_the_call_and_the_wait_is_not_lost(store: Store) -> None:
    waiting = store.wait("runs", 60)
    await store.write(lambda tx: tx.signal("runs"))
    assert await waiting is True


async def test_a_unit_that_fails_signals_nothing(store: Store) -> None:
    def fails(tx: Tx) -> None:
        tx.signal("runs")
        raise ValueError

    def unit(tx: Tx) -> None:
        tx.signal("outbox")

    given = await asyncio.gather(
        store.write(fails), store.write(unit), store.write(fails), return_exceptions=True
    )
    assert [type(one) for one in given] == [ValueError, type(None), ValueError]
    assert (store.version("runs"), store.version("outbox")) == (0, 1)


async def test_a_signal_reaches_another_store(journal: Journal) -> None:
    async with journal.opened() as one, journal.opened() as two:
        waiting = two.wait("runs", 30)
        await one.write(lambda tx: tx.signal("runs"))
        assert await waiting is True
        assert one.version("runs") == 1
        assert two.version("runs") == 1


# --- end -----------------------------------------------------------------------------------------------------------


async def test_close_finishes_what_was_accepted(journal: Journal) -> None:
    async with journal.opened() as store:
        writes = [asyncio.create_task(store.write(put(f"k{i}"))) for i in range(5000)]
        await asyncio.sleep(0)
    await asyncio.gather(*writes)
    with pytest.raises(JournalError, match="closed"):
        await store.write(put("late"))
    with pytest.raises(JournalError, match="closed"):
        await store.read(get("late"))
    await store.close()
    async with journal.opened() as store:
        assert await store.read(get("k4999")) == "1"


async def test_a_cancelled_write_harms_nobody(store: Store) -> None:
    writes = [asyncio.create_task(store.write(put(f"k{i}"))) for i in range(20)]
    await asyncio.sleep(0)
    for write in writes[::2]:
        write.cancel()
    await asyncio.gather(*writes, return_exceptions=True)
    assert await store.read(get("k19")) == "1"
    await store.write(put("more"))


async def test_opening_at_once(journal: Journal) -> None:
    async def use(number: int) -> None:
        async with journal.opened() as store:
            await store.write(put(f"k{number}"))

    await asyncio.gather(*[use(number) for number in range(6)])
    async with journal.opened() as store:
        for number in range(6):
            assert await store.read(get(f"k{number}")) == "1"


async def test_a_newer_journal_is_refused(journal: Journal) -> None:
    async with journal.opened() as store:
        await store.write(put("schema", "999"))
    with pytest.raises(JournalError, match="schema 999") as caught:
        async with journal.opened():
            pass
    assert caught.value.hint
    assert caught.value.exit_code == 3
