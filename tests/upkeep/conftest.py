"""Journals and clocks for upkeep: on SQLite, and a clock that is a month ahead, so that every file is old."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainstay.ports.clock import FakeClock, SystemClock
from tests.journals import Journal, sqlite_journal, store

__all__ = ["clock", "journal", "store"]

MONTH = 30 * 86400.0


@pytest.fixture
def clock() -> FakeClock:
    """Time that stands still, a month from now."""
    return FakeClock(SystemClock().now() + MONTH)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """An empty journal."""
    return sqlite_journal(tmp_path)
