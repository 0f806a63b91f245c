"""A database made sick on purpose: what is found, what is mended, what is left alone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mainstay.app import open_app
from mainstay.app.upkeep import ailments_hook
from mainstay.config import load
from mainstay.core.run import Run, RunState
from mainstay.engine.foresight import Foresight
from mainstay.incidents.desk import Desk
from mainstay.incidents.routing import Routing
from mainstay.ports.clock import FakeClock, SystemClock
from mainstay.store import incidents, runs, views
from mainstay.store.base import Store
from mainstay.upkeep.optimise import tables
from mainstay.upkeep.ports import UpkeepPorts
from tests.helpers import aeventually, mainstay
from tests.servers.postgres import PostgresServer
from tests.upkeep.house import House
from tests.upkeep.ward import ask, doctor, fall_sick, leave_invalid, ports_of

SIZE = "SELECT pg_relation_size('sale_note')"


@pytest.fixture
def house(store: Store, clock: FakeClock, tmp_path: Path) -> House:
    (tmp_path / "state").mkdir()
    return House(store, clock, tmp_path / "state")


def ill(run: Run, kind: str) -> dict[str, dict[str, Any]]:
    """The ailments of a kind that a run told, by subject."""
    return {each["subject"]: each for each in run.outcome["ailments"] if each["kind"] == kind}


def did(run: Run) -> set[str]:
    return {each["what"] for each in run.outcome["mended"]}


@pytest.mark.parametrize("server", ["estimated", "measured"])
async def test_a_sick_database_is_mended_beside_its_users(
    house: House, request: pytest.FixtureRequest, server: str
) -> None:
    measured = server == "measured"
    dsn = request.getfixturevalue("debian_database" if measured else "database")
    fall_sick(dsn)
    if measured:
        fall_sick(dsn, "CREATE EXTENSION pgstattuple")
    before = ask(dsn, SIZE)
    leave_invalid(dsn, "CREATE UNIQUE INDEX CONCURRENTLY sale_amount ON sale (amount)")
    run = await house.run(doctor(), ports=ports_of(house.store, house.clock, shop=dsn))
    assert run.state is RunState.DONE
    assert "VACUUM (ANALYZE, SKIP_LOCKED, TRUNCATE false) public.sale" in did(run)
    assert ask(dsn, "SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'sale'") < 100
    assert "REINDEX INDEX CONCURRENTLY public.sale_note" in did(run)
    assert ask(dsn, SIZE) * 2 < before
    assert run.outcome["freed_bytes"] > 0
    assert "public.sale_note" not in ill(run, "index_bloat")
    known_by = run.outcome["databases"]["shop"]["empty_known_by"]
    assert known_by == ("pgstattuple" if measured else "estimates")
    table = ill(run, "table_bloat")["public.sale"]
    assert table["facts"]["measured"] is measured
    assert ("measured" in table["words"], "pg_repack" in table["fix"]) == (measured, True)
    assert set(ill(run, "duplicate_index")) == {"public.sale_at_again"}
    assert ill(run, "redundant_index")["public.sale_at"]["facts"]["other"] == "public.sale_at_amount"
    assert "public.sale_note" in ill(run, "unused_index")
    missing = ill(run, "missing_index")["public.sale (customer)"]
    assert (missing["facts"]["proven"], "unproven" in missing["words"]) == (False, True)
    # A unique index over values that are not unique cannot be made valid: it is told, and its halves are cleared away.
    assert "public.sale_amount" in ill(run, "invalid_index")
    assert ask(dsn, "SELECT count(*) FROM pg_class WHERE relname LIKE '%\\_cc%'") == 0


async def test_what_a_cut_off_rebuild_left_is_dropped_and_ours_leaves_nothing(
    house: House, database: str
) -> None:
    fall_sick(database, "CREATE TABLE t (n int);\nINSERT INTO t SELECT generate_series(1, 2000)")
    fall_sick(
        database,
        "CREATE INDEX t_n ON t (n);\nCREATE TABLE mine (n int);\nCREATE INDEX mine_ccnew ON mine (n)",
    )
    job = doctor(lock_timeout="300ms")
    ports = ports_of(house.store, house.clock, shop=database)
    with psycopg.connect(database) as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT count(*) FROM mine")
        with psycopg.connect(database, autocommit=True) as other:
            other.execute("SET lock_timeout = '300ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                other.execute("REINDEX INDEX CONCURRENTLY t_n")
        assert ask(database, "SELECT to_regclass('t_n_ccnew')") is not None
        run = await house.run(job, ports=ports)
        assert "DROP INDEX CONCURRENTLY IF EXISTS public.t_n_ccnew" in did(run)
        assert ask(database, "SELECT to_regclass('t_n_ccnew')") is None
        fall_sick(database, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 't_n'::regclass")
        run = await house.run(job, ports=ports)
        assert [each["why"] for each in run.outcome["left"]] == ["another session holds a lock"]
        assert any("t_n_ccnew was left over" in line for line in await house.lines(run))
        assert ask(database, "SELECT count(*) FROM pg_class WHERE relname LIKE 't\\_n\\_cc%'") == 0
    run = await house.run(job, ports=ports)
    assert "REINDEX INDEX CONCURRENTLY public.t_n" in did(run)
    assert ask(database, "SELECT indisvalid FROM pg_index WHERE indexrelid = 't_n'::regclass") is True
    # What only bears such a name, and is valid, belongs to somebody.
    assert ask(database, "SELECT to_regclass('mine_ccnew')") is not None


async def test_a_table_that_somebody_has_locked_is_left_alone(house: House, database: str) -> None:
    fall_sick(database)
    ports = ports_of(house.store, house.clock, shop=database)
    with psycopg.connect(database) as other:
        other.execute("LOCK TABLE sale IN SHARE MODE")
        run = await house.run(doctor(lock_timeout="100ms"), ports=ports)
    assert run.state is RunState.DONE
    assert any(
        "VACUUM" in each["what"] and each["why"] == "another session holds a lock"
        for each in run.outcome["left"]
    )
    assert "could not be done" in run.summary


async def test_old_transaction_numbers_are_frozen(house: House, database: str) -> None:
    fall_sick(database, "CREATE TABLE quiet AS SELECT 1 AS n")
    with psycopg.connect(database, autocommit=True) as connection:
        for _ in range(60):
            connection.execute("SELECT txid_current()")
    age = "SELECT age(relfrozenxid) FROM pg_class WHERE relname = 'quiet'"
    assert ask(database, age) >= 50
    job = doctor(thresholds={"freeze": 50})
    run = await house.run(job, ports=ports_of(house.store, house.clock, shop=database))
    assert "VACUUM (FREEZE, SKIP_LOCKED, TRUNCATE false) public.quiet" in did(run)
    assert ask(database, age) < 50
    assert run.outcome["databases"]["shop"]["xid_age"] > 0


class Slow(FakeClock):
    """A clock on which a second passes whenever anybody looks at it, once it is wound up."""

    going = False

    def monotonic(self) -> float:
        self._now += 1 if self.going else 0
        return super().monotonic()


async def test_it_stops_at_its_budget_and_goes_on_where_it_stopped(
    store: Store, clock: FakeClock, tmp_path: Path, database: str
) -> None:
    for name in "abcde":
        fall_sick(
            database, f"CREATE TABLE {name} (n int);\nINSERT INTO {name} SELECT generate_series(1, 2000)"
        )
    (tmp_path / "state").mkdir()
    slow = Slow(clock.now())
    house = House(store, clock, tmp_path / "state")
    seen: list[str] = []
    for _ in range(5):
        slow.going = True
        run = await house.run(doctor(budget=8), ports=ports_of(store, slow, shop=database))
        slow.going = False
        assert run.state is RunState.DONE
        seen += [each["what"].rpartition(".")[2] for each in run.outcome["mended"]]
        if run.outcome["in_time"]:
            break
        assert "the next run goes on" in run.summary
        for name in seen:  # what was done wants it again, and must not keep the rest waiting
            fall_sick(database, f"INSERT INTO {name} SELECT generate_series(1, 9000)")
    assert list(dict.fromkeys(seen)) == list("abcde"), seen


@pytest.mark.parametrize("cut", ["by its own limit", "by the end of the time"])
async def test_a_rebuild_that_takes_too_long_leaves_nothing_behind(
    house: House, clock: FakeClock, database: str, cut: str
) -> None:
    body = "RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT n"
    fall_sick(database, f"CREATE FUNCTION slow(n int) {body}';\nCREATE TABLE t AS SELECT 1 AS n, 2 AS m")
    fall_sick(
        database, "INSERT INTO t SELECT 1, 2 FROM generate_series(1, 9);\nCREATE INDEX t_slow ON t (slow(n))"
    )
    fall_sick(database, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 't_slow'::regclass")
    fall_sick(database, f"CREATE OR REPLACE FUNCTION slow(n int) {body} FROM pg_sleep(1)'")
    if cut == "by its own limit":
        run = await house.run(doctor(statement_timeout=1), ports=ports_of(house.store, clock, shop=database))
        assert "takes longer than it may" in run.outcome["left"][0]["why"]
        assert run.outcome["in_time"] is True
    else:
        slow = Slow(clock.now())
        slow.going = True
        run = await house.run(doctor(budget=6), ports=ports_of(house.store, slow, shop=database))
        assert (run.outcome["left"], run.outcome["waiting"], run.outcome["in_time"]) == ([], 1, False)
    assert ask(database, "SELECT count(*) FROM pg_class WHERE relname LIKE '%\\_cc%'") == 0


async def test_a_rehearsal_says_what_would_be_done_and_does_nothing(house: House, database: str) -> None:
    fall_sick(database)
    ports = ports_of(house.store, house.clock, shop=database)
    look = Foresight(house.clock, {UpkeepPorts: ports}, {})
    lines = await doctor().foresee(look)
    assert any(
        line.startswith("shop: VACUUM") and "public.sale: 20,000 dead rows, 67%" in line for line in lines
    )
    assert any("sale_at_again" in line and line.endswith("only told") for line in lines)
    lines = await doctor(drop_duplicates=True).foresee(look)
    assert any("DROP INDEX CONCURRENTLY IF EXISTS public.sale_at_again" in line for line in lines)
    assert not any("VACUUM" in line for line in await doctor(mend=False).foresee(look))
    run = await house.run(doctor(mend=False), ports=ports)
    assert (
        did(run),
        ask(database, "SELECT last_vacuum FROM pg_stat_user_tables WHERE relname = 'sale'"),
    ) == (set(), None)


async def test_duplicates_go_when_that_is_wanted_and_the_one_of_a_constraint_stays(
    house: House, database: str
) -> None:
    fall_sick(
        database, "CREATE TABLE t (n int PRIMARY KEY, a int, b text);\nCREATE UNIQUE INDEX also ON t (n)"
    )
    for index in ("a1 ON t (a)", "a2 ON t (a)", "part ON t (a) WHERE a > 3", "down ON t (a DESC)"):
        fall_sick(database, f"CREATE INDEX {index}")
    fall_sick(database, "CREATE INDEX b1 ON t (b);\nCREATE INDEX b2 ON t (b text_pattern_ops)")
    run = await house.run(
        doctor(drop_duplicates=True), ports=ports_of(house.store, house.clock, shop=database)
    )
    assert did(run) == {f"DROP INDEX CONCURRENTLY IF EXISTS public.{name}" for name in ("also", "a2")}
    left = ask(
        database, "SELECT array_agg(indexrelname::text ORDER BY indexrelname) FROM pg_stat_user_indexes"
    )
    assert left == ["a1", "b1", "b2", "down", "part", "t_pkey"]


async def test_an_index_is_called_unused_after_a_month_without_a_use(
    house: House, clock: FakeClock, database: str
) -> None:
    fall_sick(database)
    ports = ports_of(house.store, clock, shop=database)
    young = ill(await house.run(doctor(), ports=ports), "unused_index")["public.sale_note"]
    assert (young["facts"]["ripe"], young["fix"]) == (False, "judge it in 30 days")
    clock.step(31 * 86400)
    old = ill(await house.run(doctor(), ports=ports), "unused_index")["public.sale_note"]
    assert (old["facts"]["ripe"], old["fix"]) == (True, "DROP INDEX CONCURRENTLY public.sale_note")
    fall_sick(database, "SET enable_seqscan = off;\nSELECT * FROM sale WHERE note = 'x'")
    assert "public.sale_note" not in ill(await house.run(doctor(), ports=ports), "unused_index")


async def test_it_says_what_changed_since_last_week(house: House, clock: FakeClock, database: str) -> None:
    fall_sick(database)
    ports = ports_of(house.store, clock, shop=database)
    first = await house.run(doctor(mend=False), ports=ports)
    assert first.outcome["changes"] == {}
    clock.step(7 * 86400)
    second = await house.run(doctor(), ports=ports)
    changes = second.outcome["changes"]
    dead = changes["figures"]["shop"]["dead_rows"]
    assert (dead["before"], dead["now"] < 100) == (20000, True)
    assert "shop/dead_rows/public.sale" in changes["gone"]
    assert len(second.outcome["history"]) == 2


async def test_tables_of_others_are_told_and_not_tried(
    house: House, postgres: PostgresServer, database: str
) -> None:
    fall_sick(database)
    fall_sick(
        database, "DO $$ BEGIN CREATE ROLE stranger LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    )
    dsn = database.replace("postgres@", "stranger@")
    run = await house.run(doctor(), ports=ports_of(house.store, house.clock, shop=dsn))
    assert (run.state, did(run), run.outcome["left"]) == (RunState.DONE, set(), [])
    assert "public.sale" in ill(run, "dead_rows")


async def test_a_database_that_cannot_be_reached_spares_the_others(house: House, database: str) -> None:
    fall_sick(database)
    gone = database.rpartition("/")[0] + "/gone"
    run = await house.run(
        doctor(retries=0), ports=ports_of(house.store, house.clock, gone=gone, shop=database)
    )
    assert (run.state, "gone: cannot connect" in (run.error or "")) == (RunState.FAILED, True)
    assert ask(database, "SELECT last_vacuum IS NOT NULL FROM pg_stat_user_tables WHERE relname = 'sale'")
    wrong = await house.run(
        doctor(databases=["shopp"]), ports=ports_of(house.store, house.clock, shop=database)
    )
    assert "no database is called shopp" in (wrong.error or "")


async def test_what_keeps_dead_rows_alive_is_told_with_its_remedy(
    house: House, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fall_sick(database)
    ports = ports_of(house.store, house.clock, shop=database)
    with psycopg.connect(database) as other:
        other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT count(*) FROM sale")
        assert ill(await house.run(doctor(mend=False), ports=ports), "horizon") == {}  # it is young
        monkeypatch.setattr(tables, "HOLDING", 0.0)
        found = ill(await house.run(doctor(mend=False), ports=ports), "horizon")
        [held] = [each for each in found.values() if each["subject"] == f"session {other.info.backend_pid}"]
    assert "a transaction of postgres is open" in held["words"]
    assert held["fix"] == f"SELECT pg_terminate_backend({held['subject'].removeprefix('session ')})"


async def test_settings_that_are_never_right_are_told(house: House, database: str) -> None:
    run = await house.run(doctor(), ports=ports_of(house.store, house.clock, shop=database))
    told = ill(run, "setting")  # servers of tests may lose what they hold
    assert {"fsync", "full_page_writes"} <= set(told)
    assert told["fsync"]["fix"] == "ALTER SYSTEM SET fsync = on"
    assert "autovacuum" not in told


async def test_half_an_index_of_values_kept_out_of_line_is_dropped(house: House, database: str) -> None:
    fall_sick(database, "CREATE TABLE t (b text);\nINSERT INTO t VALUES ('x')")
    with psycopg.connect(database) as reader, psycopg.connect(database, autocommit=True) as other:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT 1 FROM pg_class")
        other.execute("SET lock_timeout = '300ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("REINDEX TABLE CONCURRENTLY t")
    halves = "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = indexrelid WHERE NOT indisvalid"
    assert ask(database, halves) > 0
    run = await house.run(doctor(), ports=ports_of(house.store, house.clock, shop=database))
    assert any("pg_toast" in what for what in did(run)), run.outcome
    assert ask(database, halves) == 0


async def test_a_database_near_its_end_wakes_people_until_it_is_mended(
    store: Store, clock: FakeClock, house: House, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.hooks = [ailments_hook(Desk(clock, Routing([])))]
    ports = ports_of(store, clock, shop=database)
    fall_sick(database, "CREATE TABLE old AS SELECT 1 AS n")
    monkeypatch.setattr(tables, "GRAVE", 1)
    await house.run(doctor(mend=False, thresholds={"freeze": 1}), ports=ports)
    [incident] = await store.read(incidents.live)
    assert (incident.title, incident.severity) == ("A database runs out of transaction numbers", "critical")
    monkeypatch.setattr(tables, "GRAVE", 10**9)
    await house.run(doctor(), ports=ports)
    assert await store.read(incidents.live) == []


async def test_a_killed_run_goes_on_after_what_it_has_done(tmp_path: Path, database: str) -> None:
    for name in "ab":
        fall_sick(
            database, f"CREATE TABLE {name} (n int);\nINSERT INTO {name} SELECT generate_series(1, 2000)"
        )
    (tmp_path / "mainstay.yaml").write_text(
        f"name: x\nstate_dir: state\ndatabases: {{shop: {{dsn: '{database}'}}}}\njobs: {{optimize_database: {{}}}}\n"
    )
    crash = {"MAINSTAY_CRASH_AT": "optimise.begun@2"}
    assert mainstay("run", "optimize_database", cwd=tmp_path, env=crash).returncode == -9
    analysed = "SELECT analyze_count FROM pg_stat_user_tables WHERE relname = "
    assert (ask(database, f"{analysed} 'a'"), ask(database, f"{analysed} 'b'")) == (1, 0)
    config = load(tmp_path / "mainstay.yaml")
    async with open_app(config, SystemClock(), role="agent") as app:
        serving = asyncio.create_task(app.runner.serve())

        async def ended() -> Run | None:
            [run] = await app.store.read(lambda tx: views.runs(tx, job="optimize_database"))
            found = await app.store.read(lambda tx: runs.require(tx, run["id"]))
            return found if found.state.ended else None

        done = await aeventually(ended, 30)
        await app.runner.stop()
        await asyncio.wait([serving])
    assert isinstance(done, Run)
    assert (done.state, len(done.outcome["mended"])) == (RunState.DONE, 2)
    assert (ask(database, f"{analysed} 'a'"), ask(database, f"{analysed} 'b'")) == (1, 1)
