"""Fixtures of the room of certificates."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mainstay.ports.clock import SystemClock
from mainstay.store.base import Store
from tests.certs.house import House
from tests.journals import sqlite_journal
from tests.servers.acme import Acme


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    (tmp_path / "journal").mkdir()
    async with sqlite_journal(tmp_path / "journal").opened() as opened:
        yield opened


@pytest.fixture
def house(store: Store, tmp_path: Path, acme: Acme) -> House:
    return House(store, SystemClock(), tmp_path, acme)
