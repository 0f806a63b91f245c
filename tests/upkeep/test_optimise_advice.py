"""What only extensions know: slow queries, and indexes that the planner would take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mainstay.core.run import Run
from mainstay.ports.clock import FakeClock
from mainstay.store.base import Store
from tests.servers.postgres import PostgresServer, debian_binaries
from tests.servers.process import missing
from tests.upkeep.house import House
from tests.upkeep.ward import doctor, fall_sick, ports_of

SHOP = """
CREATE EXTENSION hypopg;
CREATE EXTENSION pg_stat_statements;
CREATE TABLE customer (id int PRIMARY KEY);
INSERT INTO customer SELECT generate_series(1, 2000);
CREATE TABLE sale (id int PRIMARY KEY, customer int REFERENCES customer, "Shop" int, day date, note text);
INSERT INTO sale SELECT n, n % 2000 + 1, n % 300, date '2026-01-01' + n % 365, md5(n::text)
  FROM generate_series(1, 20000) n;
ANALYZE;
SELECT pg_stat_statements_reset()
"""


@pytest.fixture(scope="module")
def statements() -> Iterator[PostgresServer]:
    """A server that remembers its queries, and can imagine indexes."""
    programs = debian_binaries()
    if programs is None:
        missing("postgresql", "postgresql")
    if not Path(f"/usr/lib/postgresql/{programs.parent.name}/lib/hypopg.so").exists():
        missing("hypopg", f"postgresql-{programs.parent.name}-hypopg")
    server = PostgresServer(programs)
    try:
        with (server.data / "postgresql.conf").open("a") as conf:
            conf.write("shared_preload_libraries = 'pg_stat_statements'\n")
        server.stop()
        server.start()
        server.template("shop", lambda dsn: fall_sick(dsn, SHOP))
        yield server
    finally:
        server.remove()


@pytest.fixture
def shop(statements: PostgresServer) -> Iterator[str]:
    with statements.fresh("shop") as dsn:
        yield dsn


@pytest.fixture
def house(store: Store, clock: FakeClock, tmp_path: Path) -> House:
    (tmp_path / "state").mkdir()
    return House(store, clock, tmp_path / "state")


async def look(house: House, dsn: str, **thresholds: Any) -> Run:
    job = doctor(mend=False, thresholds=thresholds)
    return await house.run(job, ports=ports_of(house.store, house.clock, shop=dsn))


def advised(run: Run) -> dict[str, dict[str, Any]]:
    found = [each for each in run.outcome["ailments"] if each["kind"] == "missing_index"]
    return {each["subject"]: each for each in found}


async def test_an_index_is_advised_with_the_planners_cost_before_and_after(house: House, shop: str) -> None:
    fall_sick(
        shop, "SELECT note FROM sale WHERE \"Shop\" = 7 AND day > '2026-06-01' AND note <> 'customer = 3'"
    )
    found = advised(await look(house, shop))
    assert set(found) == {"public.sale (customer)", 'public.sale ("Shop", day)'}
    for each in found.values():
        assert each["facts"]["proven"] is True
        assert each["facts"]["cost_after"] < 0.8 * each["facts"]["cost_before"]
        assert "the planner's cost falls from" in each["words"]
        fall_sick(shop, each["fix"])  # what it advises can be done as it is written
    assert advised(await look(house, shop)) == {}


async def test_an_index_that_would_not_help_is_not_advised(house: House, shop: str) -> None:
    fall_sick(shop, "CREATE INDEX ON sale (customer);\nSELECT count(*) FROM sale WHERE day > '2020-01-01'")
    fall_sick(shop, "SELECT count(*) FROM sale WHERE \"Shop\" = 3 OR note = 'x'")
    assert advised(await look(house, shop)) == {}


async def test_queries_of_others_are_told_and_never_planned(house: House, shop: str) -> None:
    fall_sick(
        shop,
        "DO $$ BEGIN CREATE ROLE app LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;\n"
        "GRANT SELECT ON sale TO app;\nCREATE INDEX ON sale (customer)",
    )
    fall_sick(shop.replace("postgres@", "app@"), 'SELECT note, pg_sleep(0.01) FROM sale WHERE "Shop" = 7')
    run = await look(house, shop, slow="300ms")
    assert advised(run) == {}
    [slow] = [each for each in run.outcome["ailments"] if each["kind"] == "slow_query"]
    assert '"Shop" = $' in slow["facts"]["query"]
    assert slow["facts"]["calls"] == 1


async def test_without_hypopg_a_table_that_is_read_from_end_to_end_is_an_unproven_candidate(
    house: House, database: str
) -> None:
    fall_sick(database, "CREATE TABLE log AS SELECT n, md5(n::text) FROM generate_series(1, 12000) n")
    fall_sick(database, ";\n".join(["SELECT count(*) FROM log"] * 50))
    found = advised(await look(house, database))["public.log"]
    assert found["facts"] == {"proven": False, "table": "public.log", "scans": 50}
    assert found["words"].startswith("unproven: read from end to end 50 times, 12,000 rows each")


async def test_a_log_that_is_too_small_is_told_with_the_servers_own_counts(house: House, shop: str) -> None:
    fall_sick(shop, ";\n".join(["CHECKPOINT"] * 101))
    run = await look(house, shop)
    settings = {each["subject"]: each for each in run.outcome["ailments"] if each["kind"] == "setting"}
    assert "checkpoints came early" in settings["max_wal_size"]["words"]
    assert settings["max_wal_size"]["fix"] == "ALTER SYSTEM SET max_wal_size = '2048MB'"
