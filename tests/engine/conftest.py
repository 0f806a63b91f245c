"""Fixtures of the engine's tests: both journals, nodes and runners that are stopped afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mainstay.ports.clock import FakeClock
from mainstay.store.base import Store
from tests.engine.house import House
from tests.journals import clock, journal, store

__all__ = ["clock", "house", "journal", "store"]


@pytest.fixture
async def house(store: Store, clock: FakeClock, tmp_path: Path) -> AsyncIterator[House]:
    """Nodes with runners on one journal."""
    made = House(store, clock, tmp_path)
    yield made
    await made.close()
