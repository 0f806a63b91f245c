"""Journals for tests: an empty one on each database, on files and servers that are gone afterwards.

A room's conftest does `from tests.journals import clock, journal, store` and its tests take `store`; they run once on
SQLite and once on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from mainstay.ports.clock import Clock, FakeClock, SystemClock
from mainstay.store import meta
from mainstay.store.base import Store, Tx
from mainstay.store.open import open_store
from mainstay.store.postgres import prepare
from mainstay.store.postgres_link import Place
from tests.servers.postgres import PostgresServer


@dataclass(frozen=True)
class Journal:
    """An empty journal that may be opened as often as a test likes."""

    url: str
    dialect: str
    server: PostgresServer | None = None
    path: Path | None = None

    @asynccontextmanager
    async def opened(self, clock: Clock | None = None) -> AsyncIterator[Store]:
        """An open store, closed afterwards; on the machine's own clock unless told otherwise."""
        store = await open_store(self.url, clock or SystemClock())
        try:
            yield store
        finally:
            await store.close()


def put(key: str, value: str = "1") -> Callable[[Tx], None]:
    """A unit that writes one value."""
    return lambda tx: meta.put(tx, key, value)


def get(key: str) -> Callable[[Tx], str | None]:
    """A unit that reads one value."""
    return lambda tx: meta.get(tx, key)


def lost(keys: Iterable[str]) -> Callable[[Tx], list[str]]:
    """A unit that tells which of the keys are not there."""
    return lambda tx: [key for key in keys if meta.get(tx, key) is None]


def sqlite_journal(directory: Path) -> Journal:
    path = directory / "journal.db"
    return Journal(f"sqlite:///{path}", "sqlite", path=path)


def postgres_url(server: PostgresServer) -> Iterator[str]:
    """The URL of a database with an empty journal at the newest schema."""
    with server.fresh(server.template("journal", lambda url: prepare(Place.parse(url)))) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    """An empty journal on either database."""
    if request.param == "sqlite":
        yield sqlite_journal(tmp_path)
        return
    server = cast("PostgresServer", request.getfixturevalue("postgres"))
    for url in postgres_url(server):
        yield Journal(url, "postgres", server=server)


@pytest.fixture
def clock() -> FakeClock:
    """Time that stands still until the test lets it pass."""
    return FakeClock()


@pytest.fixture
async def store(journal: Journal, clock: FakeClock) -> AsyncIterator[Store]:
    """An open and empty journal on either database, on the fake clock."""
    async with journal.opened(clock) as opened:
        yield opened
