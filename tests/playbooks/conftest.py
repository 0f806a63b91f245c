"""Journals and clocks for playbooks: on SQLite, and on either database where a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journals import Journal, clock, postgres_url, sqlite_journal, store

__all__ = ["clock", "journal", "store"]


@pytest.fixture
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    """An empty journal: on SQLite unless the test is parametrized with another database."""
    if getattr(request, "param", "sqlite") == "sqlite":
        yield sqlite_journal(tmp_path)
        return
    server = request.getfixturevalue("postgres")
    for url in postgres_url(server):
        yield Journal(url, "postgres", server=server)
