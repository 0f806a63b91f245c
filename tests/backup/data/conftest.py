"""A house without a database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mainstay.ports.clock import FakeClock
from mainstay.store.open import open_store
from tests.backup.data.room import Room
from tests.backup.house import START, House


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    """A journal on SQLite and a vault; what is backed up is said by the test."""
    clock = FakeClock(START)
    store = await open_store(f"sqlite:///{tmp_path}/journal.db", clock)
    yield Room(House(store, clock, tmp_path, "postgresql://nobody@127.0.0.1:1/nothing"))
    await store.close()
