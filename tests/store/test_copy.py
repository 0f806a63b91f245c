"""The journal copies itself while it is in use, and looks at the copy before it counts."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from mainstay.core.errors import JournalError
from mainstay.ports.clock import SystemClock
from mainstay.store.base import Store
from mainstay.store.copy import copies, copy_journal
from mainstay.store.open import open_store
from mainstay.store.sqlite_link import PAGE
from tests.helpers import ROOT
from tests.journals import get, lost, put, sqlite_journal

DAY = 86400.0
NOW = 1_780_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


async def fill(store: Store, name: str, count: int) -> None:
    await asyncio.gather(*[store.write(put(f"{name}{number}", "x" * 2000)) for number in range(count)])


async def test_a_copy_taken_under_writers_is_a_whole_journal(tmp_path: Path, path: Path) -> None:
    stop = asyncio.Event()

    async def keep_writing(store: Store) -> int:
        number = 0
        while not stop.is_set():
            await store.write(put(f"later{number}", "x" * 2000))
            number += 1
        return number

    async with sqlite_journal(tmp_path).opened() as store:
        await fill(store, "k", 500)
        writing = asyncio.create_task(keep_writing(store))
        made = await asyncio.to_thread(copy_journal, path, tmp_path / "copies", NOW)
        stop.set()
        assert await writing > 0
    assert made.path.name == "journal-20260528T202640Z.db"
    assert (made.taken_at, made.bytes) == (NOW, made.path.stat().st_size)
    assert made.rows >= 500
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    assert [entry.name for entry in (tmp_path / "copies").iterdir()] == [made.path.name]
    copied = await open_store(f"sqlite:///{made.path}", SystemClock())
    try:
        assert await copied.read(lost([f"k{number}" for number in range(500)])) == []
        await copied.write(put("alive"))
    finally:
        await copied.close()


async def test_the_newest_copies_are_kept(tmp_path: Path, path: Path) -> None:
    async with sqlite_journal(tmp_path).opened():
        for day in range(5):
            copy_journal(path, tmp_path, NOW + day * DAY, keep=3)
    assert [copy.name[8:16] for copy in copies(path, tmp_path)] == ["20260601", "20260531", "20260530"]


async def test_a_copy_that_fails_leaves_those_of_before(tmp_path: Path, path: Path) -> None:
    async with sqlite_journal(tmp_path).opened() as store:
        await fill(store, "k", 100)
        good = copy_journal(path, tmp_path / "copies", NOW)
    with path.open("r+b") as file:
        file.seek(2 * PAGE)
        file.write(os.urandom(path.stat().st_size - 2 * PAGE))
    with pytest.raises(JournalError) as caught:
        copy_journal(path, tmp_path / "copies", NOW + DAY, keep=1)
    assert "damaged" in str(caught.value)
    assert [entry.name for entry in (tmp_path / "copies").iterdir()] == [good.path.name]


async def test_an_index_that_lies_is_found(tmp_path: Path, path: Path) -> None:
    """All rows are there and every page can be read; only a look through the whole file sees it."""
    async with sqlite_journal(tmp_path).opened() as store:
        await fill(store, "k", 20)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, 'opened_at)', 'failed_at)') WHERE name = 'incident_opened'"
        )
        connection.execute("PRAGMA writable_schema = RESET")
        row = {"key": "k", "service": "s", "severity": "info", "title": "t", "detail": "d", "state": "open"}
        connection.execute(
            "INSERT INTO incident (id, key, service, severity, title, detail, state, opened_at, failed_at)"
            " VALUES ('1', :key, :service, :severity, :title, :detail, :state, 5.0, 4.0)",
            row,
        )
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, 'failed_at)', 'opened_at)') WHERE name = 'incident_opened'"
        )
    with pytest.raises(JournalError, match="the copy of the journal is damaged") as caught:
        copy_journal(path, tmp_path / "copies", NOW)
    assert caught.value.hint
    assert list((tmp_path / "copies").iterdir()) == []


async def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, path: Path) -> None:
    async with sqlite_journal(tmp_path).opened():
        (tmp_path / "file").write_text("")
        with pytest.raises(JournalError, match="could not be copied") as caught:
            copy_journal(path, tmp_path / "file" / "copies", NOW)
        assert caught.value.hint
    with pytest.raises(JournalError, match="cannot be opened"):
        copy_journal(tmp_path / "nowhere" / "journal.db", tmp_path / "copies", NOW)


async def test_a_killed_copy_leaves_nothing_that_counts(tmp_path: Path, path: Path) -> None:
    async with sqlite_journal(tmp_path).opened() as store:
        await fill(store, "k", 20)
        killed = subprocess.run(
            [sys.executable, "-c", COPY, str(path), str(tmp_path / "copies")],
            cwd=ROOT,
            env={**os.environ, "MAINSTAY_CRASH_AT": "journal.copied"},
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL
        assert copies(path, tmp_path / "copies") == []
        assert list((tmp_path / "copies").iterdir()) != []
        made = copy_journal(path, tmp_path / "copies", NOW)
        assert await store.read(get("k0"))
    assert [entry.name for entry in (tmp_path / "copies").iterdir()] == [made.path.name]


COPY = """
import sys
from pathlib import Path
from mainstay.store.copy import copy_journal
copy_journal(Path(sys.argv[1]), Path(sys.argv[2]), 1_780_000_000.0)
"""
