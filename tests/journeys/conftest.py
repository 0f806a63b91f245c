"""A running company for each journey."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.journeys.house import Company
from tests.servers.recorder import Recorder


@pytest.fixture
def company(tmp_path: Path, recorder: Recorder) -> Iterator[Company]:
    """A company whose API heals."""
    made = Company(tmp_path, recorder, heal=True, dsn=None)
    with made.running():
        yield made


@pytest.fixture
def fragile(tmp_path: Path, recorder: Recorder) -> Iterator[Company]:
    """A company that nobody heals."""
    made = Company(tmp_path, recorder, heal=False, dsn=None)
    with made.running():
        yield made


@pytest.fixture
def shop(tmp_path: Path, recorder: Recorder, database: str) -> Iterator[Company]:
    """A company with a database."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE orders AS SELECT n AS id, md5(n::text) AS what FROM generate_series(1, 5000) n"
        )
    made = Company(tmp_path, recorder, heal=True, dsn=database)
    with made.running():
        yield made
