"""What a killed restore left in a server is taken away by the next one; what people may use by now is not."""

from __future__ import annotations

import os

import pytest

from mainstay.backup.physical.under_way import MARK, database_under_way, schema_under_way
from mainstay.core.errors import MainstayError
from mainstay.ports.postgres.dsn import Dsn
from tests.servers.postgres import PostgresServer


class Ears:
    """Hears what is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, label: str, done: float, total: float | None = None, unit: str = "") -> None:
        raise AssertionError("nothing here takes long")


COMMENT = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{}'"


async def test_a_database_after_a_fault_is_not_dropped_and_one_after_a_kill_is(
    debian_postgres: PostgresServer,
) -> None:
    name, ears = f"back_{os.getpid()}", Ears()
    target = Dsn.parse(debian_postgres.dsn(name))

    async def again() -> None:
        async with database_under_way(ears, target):
            raise AssertionError("there is one under way")

    async def faulty() -> None:
        async with database_under_way(ears, target) as made:
            assert made
            debian_postgres.execute("CREATE TABLE taken_into_use (x int)", name)
            with pytest.raises(MainstayError, match="just now"):
                await again()
            raise MainstayError("a fault")

    try:
        with pytest.raises(MainstayError, match="a fault"):
            await faulty()
        async with database_under_way(ears, target) as made:
            assert not made
        assert debian_postgres.execute("SELECT count(*) FROM taken_into_use", name) == [(0,)]
        debian_postgres.execute(f"COMMENT ON DATABASE {name} IS '{MARK}'")
        async with database_under_way(ears, target) as made:
            assert made
            assert debian_postgres.execute(COMMENT.format(name)) == [(MARK,)]
        assert debian_postgres.execute(COMMENT.format(name)) == [(None,)]
        assert ears.lines == [f"dropped the database {name}, left by a restore that was cut off"]
    finally:
        debian_postgres.execute(f"DROP DATABASE IF EXISTS {name}")


async def test_so_it_is_with_a_schema(debian_postgres: PostgresServer) -> None:
    ears, target = Ears(), Dsn.parse(debian_postgres.dsn())

    async def faulty() -> None:
        async with schema_under_way(ears, target, "restored_1"):
            debian_postgres.execute("CREATE SCHEMA restored_1")
            debian_postgres.execute(f"COMMENT ON SCHEMA restored_1 IS '{MARK}'")
            raise MainstayError("a fault")

    try:
        with pytest.raises(MainstayError, match="a fault"):
            await faulty()
        debian_postgres.execute("CREATE SCHEMA restored_2")
        debian_postgres.execute(f"COMMENT ON SCHEMA restored_2 IS '{MARK}'")
        async with schema_under_way(ears, target, "restored_1"):
            pass
        assert ears.lines == ["dropped the schema restored_2, left by a restore that was cut off"]
        there = debian_postgres.execute(
            "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'restored%'"
        )
        assert there == [("restored_1",)]
    finally:
        for name in ("restored_1", "restored_2"):
            debian_postgres.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")
