"""The inbox's journals, and its log."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainstay.edge.inbox.log import Log
from tests.edge.inbox.records import CLOCK
from tests.journals import clock, journal, store

__all__ = ["clock", "journal", "store"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "inbox"


@pytest.fixture
def written(directory: Path) -> Log:
    return Log(directory, CLOCK)
