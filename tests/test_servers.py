"""The engines themselves: they are real, they are ready, they come back, they leave nothing behind."""

from __future__ import annotations

import psycopg
import pytest

from tests.helpers import NeverHappened, aeventually, eventually
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer


def version(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        return connection.info.server_version // 10000


def test_wheel_postgres_is_a_real_server(postgres: PostgresServer, database: str) -> None:
    assert version(database) >= 16
    assert (postgres.bin / "pg_dump").exists()


def test_debian_postgres_is_a_real_server(debian_postgres: PostgresServer, debian_database: str) -> None:
    assert version(debian_database) >= 13
    assert debian_postgres.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'")


def test_a_fresh_database_is_empty_and_goes_away(postgres: PostgresServer) -> None:
    with postgres.fresh() as dsn, psycopg.connect(dsn) as left_open:
        assert left_open.execute("SELECT count(*) FROM pg_stat_user_tables").fetchone() == (0,)
        name = left_open.info.dbname
    assert not postgres.execute(f"SELECT 1 FROM pg_database WHERE datname = '{name}'")


def test_a_template_is_filled_once_and_cloned(postgres: PostgresServer) -> None:
    fillings = []

    def fill(dsn: str) -> None:
        fillings.append(dsn)
        with psycopg.connect(dsn) as connection:
            connection.execute("CREATE TABLE fact AS SELECT 42 AS answer")

    for _ in range(2):
        with postgres.fresh(postgres.template("with_fact", fill)) as dsn, psycopg.connect(dsn) as connection:
            assert connection.execute("SELECT answer FROM fact").fetchone() == (42,)
    assert len(fillings) == 1


def test_postgres_comes_back_on_its_port_after_sigkill(postgres: PostgresServer, database: str) -> None:
    port = postgres.port
    postgres.kill()
    with pytest.raises(psycopg.OperationalError):
        version(database)
    postgres.start()
    assert postgres.port == port
    assert version(database) >= 16


def test_redis_is_emptied_for_every_test(redis: RedisServer) -> None:
    with redis.client() as client:
        client.set("left", "over")
        redis.flush()
        assert client.dbsize() == 0


def test_redis_comes_back_on_its_port_after_sigkill(redis: RedisServer) -> None:
    url = redis.url
    redis.kill()
    redis.start()
    assert redis.url == url
    assert redis.answers()


def test_eventually_returns_the_value_and_forgives_early_errors() -> None:
    attempts = iter([ValueError("early"), 0, "late"])

    def next_attempt() -> object:
        value = next(attempts)
        if isinstance(value, Exception):
            raise value
        return value

    assert eventually(next_attempt) == "late"


def test_eventually_says_what_it_saw_last() -> None:
    with pytest.raises(NeverHappened, match=r"within 0.02 s, last it was \[\]"):
        eventually(list, deadline=0.02)


async def test_eventually_in_a_loop_takes_functions_and_coroutines() -> None:
    async def yes() -> str:
        return "yes"

    assert await aeventually(yes) == "yes"
    assert await aeventually(lambda: "plain") == "plain"
    with pytest.raises(NeverHappened):
        await aeventually(lambda: None, deadline=0.01)
