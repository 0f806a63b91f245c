"""Databases made sick on purpose, and jobs that look after them."""

from __future__ import annotations

from typing import Any

import psycopg

from mainstay.core.secret import Secret
from mainstay.ports.clock import Clock
from mainstay.store.base import Store
from mainstay.upkeep.optimise.job import OptimizeDatabase
from mainstay.upkeep.ports import UpkeepPorts
from tests.upkeep.house import job_of

SMALL = {"smallest": "100kB", "rows": 500}
"""Thresholds for databases of a test's size."""

SICK = """
CREATE TABLE customer (id int PRIMARY KEY, mail text NOT NULL);
INSERT INTO customer SELECT n, 'c' || n || '@example.com' FROM generate_series(1, 2000) n;
CREATE TABLE sale (id int PRIMARY KEY, customer int REFERENCES customer, at timestamptz, note text, amount int)
  WITH (autovacuum_enabled = off);
INSERT INTO sale SELECT n, n % 2000 + 1, now() - n * interval '1 minute', md5(n::text) || md5(n::text), n % 500
  FROM generate_series(1, 30000) n;
CREATE INDEX sale_note ON sale (note);
CREATE INDEX sale_at ON sale (at);
CREATE INDEX sale_at_again ON sale (at);
CREATE INDEX sale_at_amount ON sale (at, amount);
CREATE UNIQUE INDEX sale_one ON sale (id, at);
ANALYZE;
DELETE FROM sale WHERE id % 3 <> 0;
"""
"""Two thirds of the rows are dead, so that the table and its indexes are three times as large as they need be."""


def fall_sick(dsn: str, script: str = SICK) -> None:
    """Make a database sick; its statistics are written before this returns."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in filter(str.strip, script.split(";\n")):
            connection.execute(statement.encode())
            if connection.info.server_version >= 150000:
                connection.execute("SELECT pg_stat_force_next_flush()")


def leave_invalid(dsn: str, script: str) -> None:
    """Let an index build fail, as a wrong value or a time-out would make it."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        try:
            connection.execute(script.encode())
        except psycopg.errors.UniqueViolation:
            return
    raise AssertionError("the build succeeded")


def ask(dsn: str, query: str) -> Any:
    """The one value of a query."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
        return row[0] if row else None


def ports_of(store: Store, clock: Clock, **dsns: str) -> UpkeepPorts:
    """The ports of upkeep with databases."""
    return UpkeepPorts(
        store, clock, databases={name: Secret(f"{name}_dsn", dsn) for name, dsn in dsns.items()}
    )


def doctor(**options: Any) -> OptimizeDatabase:
    """A job with thresholds for small databases."""
    options["thresholds"] = {**SMALL, **options.get("thresholds", {})}
    made: OptimizeDatabase = job_of(OptimizeDatabase, **options)
    return made
