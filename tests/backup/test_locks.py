"""A backup among people who write, drop and truncate."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from mainstay.backup import fingerprint, take
from mainstay.backup.fingerprint import Method, count_tables
from mainstay.backup.manifest import folder
from mainstay.backup.session import LockBusy, session
from mainstay.backup.snapshot import hold
from mainstay.ports.postgres.dsn import Dsn, PostgresError
from mainstay.store.backups import BackupState
from tests.backup.copies import Copies
from tests.backup.house import House, execute
from tests.helpers import aeventually

CLEAN = int(os.environ.get("MAINSTAY_CLEAN", "12"))
"""Backups beside the writers; fifty were clean in a row."""
PACE = 0.003
"""Seconds between two statements of a writer, so that they do not take the machine for themselves."""

WRITES = (
    "INSERT INTO sale (customer, amount, note) SELECT 1 + n, 1 + random() * 9, 'new' FROM generate_series(1, 20) n",
    "UPDATE customer SET data = jsonb_build_object('r', random()) WHERE id % 10 = (random() * 9)::int",
    "DELETE FROM sale WHERE id IN (SELECT id FROM sale ORDER BY random() LIMIT 15)",
    "SELECT nextval('customer_id_seq')",
    "BEGIN; TRUNCATE side; INSERT INTO side SELECT generate_series(1, 50); COMMIT",
    "BEGIN; DROP TABLE IF EXISTS short; CREATE TABLE short AS SELECT generate_series(1, 9) AS a; COMMIT",
    "ALTER TABLE side ADD COLUMN IF NOT EXISTS b int DEFAULT 7",
    "ALTER TABLE side DROP COLUMN IF EXISTS b",
    "CREATE INDEX IF NOT EXISTS note ON sale (note); DROP INDEX note",
    "SELECT lo_from_bytea(0, random()::text::bytea)",
    "REFRESH MATERIALIZED VIEW sums",
)


class Writers:
    """Threads that change the shop for as long as the block lasts; `done` counts what they did."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.done = 0
        self.stop = threading.Event()

    def work(self, seed: int) -> None:
        chance = random.Random(seed)
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SET lock_timeout = '300ms'")
            while not self.stop.is_set():
                try:
                    connection.execute(chance.choice(WRITES).encode())
                    self.done += 1
                except psycopg.Error:
                    connection.execute("ROLLBACK")
                self.stop.wait(PACE)


@contextmanager
def writers(url: str, count: int = 2) -> Iterator[Writers]:
    crowd = Writers(url)
    threads = [threading.Thread(target=crowd.work, args=(seed,)) for seed in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield crowd
    finally:
        crowd.stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_clean_backups_under_writers_raise_no_alarm(house: House, shop: str, copies: Copies) -> None:
    execute(
        shop,
        "CREATE TABLE side (a int)",
        "CREATE MATERIALIZED VIEW sums AS SELECT customer, sum(amount) FROM sale GROUP BY 1",
        "CREATE EXTENSION IF NOT EXISTS plpgsql",
    )
    different = set()
    with writers(shop) as crowd:
        for _ in range(CLEAN):
            before = crowd.done
            run = house.run()
            backup = await take.take(run, house.ports, "shop", folder("shop", run.due_at, run.id))
            judgement = await copies.judge(house, backup)
            assert judgement.verdict is BackupState.PROVEN, judgement.summary()
            different.add(house.manifest(backup).tables["public.sale"].sum)
            assert crowd.done > before
    assert len(different) > CLEAN / 2


async def waits(url: str, what: str) -> bool:
    """Whether a statement that contains `what` waits for a lock."""
    query = f"SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '{what}%'"
    return bool(execute(url, query))


@pytest.mark.parametrize(
    "statement", ["TRUNCATE sale", "DROP TABLE sale CASCADE", "ALTER TABLE sale DROP COLUMN note"]
)
async def test_a_snapshot_keeps_tables_from_vanishing(shop: str, statement: str) -> None:
    dsn = Dsn.parse(shop)
    async with hold(dsn, 5) as snapshot:
        vandal = threading.Thread(target=execute, args=(shop, statement))
        async with session(dsn) as reader:
            await snapshot.join(reader)
            vandal.start()
            await aeventually(lambda: waits(shop, statement))
            await snapshot.confirm()
            (count,) = await (await reader.execute("SELECT count(*) FROM public.sale")).fetchone() or (0,)
            assert count == 3000
    vandal.join()


async def test_who_waits_for_us_does_not_block_us_for_ever(shop: str) -> None:
    dsn = Dsn.parse(shop)
    async with hold(dsn, 5) as snapshot:
        vandal = threading.Thread(target=execute, args=(shop, "TRUNCATE sale"))
        vandal.start()
        await aeventually(lambda: waits(shop, "TRUNCATE"))
        # Whoever comes now stands in the queue behind it.
        with pytest.raises(LockBusy):
            await count_tables(dsn, snapshot.tables, Method.TEXT, snapshot.join, lock_timeout=0.2)
    vandal.join()


async def test_pg_dump_in_the_queue_begins_anew(
    house: House, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(take, "QUEUE", 0.3)
    vandals: list[threading.Thread] = []
    kept = fingerprint.read_sequences

    async def slow(dsn: Dsn, connection: object) -> dict[str, str]:
        if not vandals:  # between our locks and those of pg_dump
            vandals.append(threading.Thread(target=execute, args=(shop, "TRUNCATE sale")))
            vandals[0].start()
            await aeventually(lambda: waits(shop, "TRUNCATE"))
        return await kept(dsn, connection)  # type: ignore[arg-type]

    monkeypatch.setattr(take, "read_sequences", slow)
    run = house.run()
    backup = await house.take(run=run)
    vandals[0].join()
    assert "beginning anew" in run.said
    assert backup.rows == 300
    assert (await house.prove(backup)).verdict is BackupState.PROVEN


async def test_a_locked_table_is_named_with_who_locks_it(house: House, shop: str) -> None:
    house.database("shop", shop, lock_timeout="200ms")
    with psycopg.connect(shop, application_name="migration 42") as blocker:
        blocker.execute("LOCK TABLE sale IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(
            PostgresError, match=r"public\.sale by postgres \(migration 42, pid \d+\)"
        ) as told:
            await house.take()
        assert "lock_timeout" in str(told.value)
    assert house.files() == []


async def test_a_lost_snapshot_is_noticed_before_the_dump_counts(house: House, shop: str) -> None:
    async with hold(Dsn.parse(shop), 5) as snapshot:
        execute(shop, f"SELECT pg_terminate_backend({snapshot.connection.info.backend_pid})")
        with pytest.raises(PostgresError, match="terminating connection"):
            await snapshot.confirm()


async def test_tables_made_meanwhile_are_in_the_next_snapshot(shop: str) -> None:
    dsn = Dsn.parse(shop)
    async with hold(dsn, 5) as snapshot:
        execute(shop, "CREATE TABLE newcomer ()")
        assert "public.newcomer" not in {table.key for table in snapshot.tables}
    async with hold(dsn, 5) as snapshot:
        assert "public.newcomer" in {table.key for table in snapshot.tables}
