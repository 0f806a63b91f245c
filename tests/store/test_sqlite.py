"""What only a journal in a file can suffer, and how the file is made."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest

from mainstay.core.errors import JournalError
from mainstay.ports.clock import FakeClock, SystemClock
from mainstay.store.base import Store, Tx
from mainstay.store.migrate import Migration, migrations, statements
from mainstay.store.open import open_store, sqlite_path
from mainstay.store.sqlite_file import prepare
from mainstay.store.sqlite_link import PAGE, connect
from tests.helpers import aeventually
from tests.journals import Journal, get, lost, put, sqlite_journal

MEBIBYTE = 1 << 20


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return sqlite_journal(tmp_path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


# --- the file ------------------------------------------------------------------------------------------------------


async def test_the_file_is_for_its_owner_only_and_durable(journal: Journal, path: Path) -> None:
    async with journal.opened() as store:
        await store.write(put("a"))
        for name in ("journal.db", "journal.db-wal", "journal.db-shm", "journal.db.lock"):
            assert stat.S_IMODE((path.parent / name).stat().st_mode) == 0o600, name
    with closing(connect(path)) as connection:
        for pragma, value in {
            "page_size": PAGE,
            "journal_mode": "wal",
            "synchronous": 2,
            "foreign_keys": 1,
            "wal_autocheckpoint": 0,
        }.items():
            assert connection.execute(f"PRAGMA {pragma}").fetchone() == (value,), pragma


async def test_children_inherit_nothing_of_it(journal: Journal, path: Path) -> None:
    async with journal.opened() as store:
        await store.write(put("a"))
        await store.read(get("a"))
        held = [
            int(entry.name)
            for entry in Path("/proc/self/fd").iterdir()
            if entry.is_symlink() and str(entry.readlink()).startswith(str(path))
        ]
        assert held
        for number in held:
            assert fcntl.fcntl(number, fcntl.F_GETFD) & fcntl.FD_CLOEXEC


async def test_closing_leaves_one_file_without_a_log(journal: Journal, path: Path) -> None:
    async with journal.opened() as store:
        await store.write(put("a"))
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["journal.db", "journal.db.lock"]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("journal")]


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("sqlite:///here.db", "here.db"),
        ("sqlite:////var/lib/mainstay/journal.db", "/var/lib/mainstay/journal.db"),
        ("sqlite:///a%20b.db", "a b.db"),
    ],
)
def test_urls_name_files(url: str, wanted: str) -> None:
    assert sqlite_path(url) == Path(wanted)


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite://host/x.db", "sqlite:///:memory:", "mysql://h/d", "x"]
)
async def test_urls_that_name_none_are_refused(url: str) -> None:
    with pytest.raises(JournalError) as caught:
        await open_store(url, SystemClock())
    assert caught.value.hint


async def test_files_that_are_no_journal_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("something else\n" * 2000)
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE meta (key TEXT, value TEXT)")
    for name, told in {"text.db": "not a journal", "other.db": "not a journal of mainstay"}.items():
        with pytest.raises(JournalError, match=told) as caught:
            await open_store(f"sqlite:///{tmp_path / name}", SystemClock())
        assert caught.value.hint
    assert text.read_text().startswith("something else")


async def test_a_place_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "directory.db").mkdir()
    for name in ("file/journal.db", "directory.db"):
        with pytest.raises(JournalError) as caught:
            await open_store(f"sqlite:///{tmp_path / name}", SystemClock())
        assert caught.value.hint


# --- the schema ----------------------------------------------------------------------------------------------------


def newer(*texts: str) -> tuple[Migration, ...]:
    first = len(migrations()) + 1
    return (*migrations(), *(Migration(first + i, f"more{i}", text) for i, text in enumerate(texts)))


async def test_migrating_forward_keeps_what_is_there_and_a_copy(journal: Journal, path: Path) -> None:
    async with journal.opened() as store:
        await store.write(put("a"))
    number = len(migrations())
    prepare(
        path, newer("CREATE TABLE more (a TEXT DEFAULT 'x;y'); -- a; comment\nINSERT INTO more VALUES ('1');")
    )
    copy = path.with_name(f"journal.db.schema-{number}")
    for file, schema in ((path, number + 1), (copy, number)):
        with closing(sqlite3.connect(file)) as connection:
            rows = dict(connection.execute("SELECT key, value FROM meta"))
            assert rows == {"a": "1", "schema": str(schema)}
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with pytest.raises(JournalError, match=f"schema {number + 1}"):
        prepare(path)
    # The way back that the hint names: the copy is a whole journal of the old schema.
    copy.replace(path)
    async with journal.opened() as store:
        assert await store.read(get("a")) == "1"


def test_a_step_that_fails_leaves_the_journal_as_it_was(path: Path) -> None:
    prepare(path)
    with pytest.raises(JournalError, match="could not be applied") as caught:
        prepare(path, newer("CREATE TABLE fine (a TEXT)", "CREATE TABLE half (a TEXT); SELECT nothing;"))
    assert caught.value.hint
    with closing(sqlite3.connect(path)) as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    assert "fine" in tables
    assert "half" not in tables
    prepare(path, newer("CREATE TABLE fine (a TEXT)"))


async def test_several_migrate_at_once(path: Path) -> None:
    prepare(path)
    steps = newer("CREATE TABLE one (a TEXT)", "CREATE TABLE two (a TEXT)")
    await asyncio.gather(*[asyncio.to_thread(prepare, path, steps) for _ in range(6)])
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone() == (
            str(len(steps)),
        )


def test_steps_are_numbered_without_a_gap(tmp_path: Path) -> None:
    (tmp_path / "0001_first.sql").write_text("SELECT 1;")
    (tmp_path / "0003_third.sql").write_text("SELECT 1;")
    with pytest.raises(ValueError, match="not numbered"):
        migrations(tmp_path)


def test_a_script_is_split_outside_of_strings_and_comments() -> None:
    script = "-- a; b\nSELECT ';', \";\" /* ; */;;\n SELECT 2 -- end;\n; -- nothing;\n /* ; */"
    assert list(statements(script)) == ["-- a; b\nSELECT ';', \";\" /* ; */", "SELECT 2 -- end;"]


# --- at work -------------------------------------------------------------------------------------------------------


async def test_a_fake_clock_stands_still_while_a_unit_runs(journal: Journal) -> None:
    clock = FakeClock()
    loop = asyncio.get_running_loop()
    begun, go_on = asyncio.Event(), threading.Event()

    def slow(tx: Tx) -> float:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(10)
        return clock.now()

    async with journal.opened(clock) as store:
        start = clock.now()
        writing = asyncio.create_task(store.write(slow))
        await begun.wait()
        passing = asyncio.create_task(clock.advance(3600))
        for _ in range(20):
            await asyncio.sleep(0)
        assert clock.now() == start
        go_on.set()
        await passing
        assert await writing == start
        assert clock.now() == start + 3600


async def test_a_foreign_lock_is_waited_for(journal: Journal, path: Path) -> None:
    async with journal.opened() as store:
        with closing(sqlite3.connect(path, isolation_level=None)) as foreign:
            foreign.execute("BEGIN IMMEDIATE")
            writing = asyncio.create_task(store.write(put("a")))
            assert await store.read(get("a")) is None
            assert not writing.done()
            foreign.execute("COMMIT")
        await writing
        assert await store.read(get("a")) == "1"


async def test_a_lock_that_never_ends_is_told(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mainstay.store.sqlite_link.PATIENCE", 0.05)
    async with journal.opened() as store:
        with closing(sqlite3.connect(path, isolation_level=None)) as foreign:
            foreign.execute("BEGIN IMMEDIATE")
            with pytest.raises(JournalError, match="another process kept it locked") as caught:
                await store.write(put("a"))
            assert caught.value.hint
            foreign.execute("COMMIT")
        await store.write(put("a", "2"))


async def test_the_log_stays_small_under_load(journal: Journal, path: Path) -> None:
    """About 150 MB go through the log, with readers about; it is copied into the file as it grows."""
    log, largest = path.with_name("journal.db-wal"), 0

    async def writer(store: Store, writer: int) -> None:
        nonlocal largest
        for number in range(250):
            await store.write(put(f"k{writer}", f"{number:06}" * 10_000))
            largest = max(largest, log.stat().st_size)

    async def reader(store: Store) -> None:
        while not done.is_set():
            await store.read(get("k0"))

    done = asyncio.Event()
    async with journal.opened() as store:
        reading = asyncio.create_task(reader(store))
        await asyncio.gather(*[writer(store, number) for number in range(8)])
        done.set()
        await reading
    assert 4 * MEBIBYTE < largest < 64 * MEBIBYTE


async def test_a_damaged_file_is_told(journal: Journal, path: Path) -> None:
    async with journal.opened() as store:
        for number in range(50):
            await store.write(put(f"k{number}", "x" * 5000))
    with path.open("r+b") as file:
        file.seek(2 * PAGE)
        file.write(os.urandom(path.stat().st_size - 3 * PAGE))

    async def look() -> None:
        async with journal.opened() as store:
            await store.read(lost([f"k{number}" for number in range(50)]))

    with pytest.raises(JournalError, match="damaged") as caught:
        await look()
    assert "restore the newest copy" in (caught.value.hint or "")


async def test_the_last_signals_of_before_are_no_news(journal: Journal) -> None:
    async with journal.opened() as store:
        await store.write(lambda tx: tx.signal("runs"))
    async with journal.opened() as one, journal.opened() as two:
        await one.write(lambda tx: tx.signal("outbox"))
        await aeventually(lambda: two.version("outbox"))
        assert (one.version("runs"), two.version("runs")) == (0, 0)


# --- the file taken away -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gone", [("",), ("", "-wal", "-shm"), ("", "-wal", "-shm", ".lock")])
async def test_a_journal_that_is_removed_is_begun_anew_and_that_is_known(
    journal: Journal, path: Path, gone: tuple[str, ...]
) -> None:
    async with journal.opened() as store, journal.opened() as other:
        for each in (store, other):
            await each.write(put("before"))
            await each.read(get("before"))
        for suffix in gone:
            Path(f"{path}{suffix}").unlink()
        await store.write(put("after"))
        assert store.renewed == 1
        assert await store.read(get("after")) == "1"
        assert await store.read(get("before")) is None
        await other.write(put("from the other"))
        assert [await store.read(get(key)) for key in ("after", "from the other")] == ["1", "1"]
        assert await other.read(get("after")) == "1"
    async with journal.opened() as store:
        assert await store.read(lost(["after", "from the other"])) == []


async def test_a_copy_put_in_its_place_is_taken_up(journal: Journal, path: Path, tmp_path: Path) -> None:
    async with journal.opened() as store:
        await store.write(put("before"))
    (tmp_path / "copy").write_bytes(path.read_bytes())
    async with journal.opened() as store:
        await store.write(put("later"))
        (tmp_path / "copy").chmod(0o600)
        for suffix in ("-wal", "-shm"):
            Path(f"{path}{suffix}").unlink()
        (tmp_path / "copy").replace(path)
        await store.write(put("after"))
        assert await store.read(lost(["before", "after", "later"])) == ["later"]
        assert store.renewed == 1


async def test_signals_are_heard_in_the_journal_that_came_after(journal: Journal, path: Path) -> None:
    async with journal.opened() as store, journal.opened() as other:
        for _ in range(5):
            await other.write(lambda tx: tx.signal("runs"))
        await aeventually(lambda: store.version("runs") > 0)
        version = store.version("runs")
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").unlink()
        await other.write(put("after"))
        await aeventually(lambda: store.version("runs") > version)  # whoever waits looks at the new journal
        version = store.version("runs")
        await other.write(lambda tx: tx.signal("runs"))
        await aeventually(lambda: store.version("runs") > version)


async def test_a_directory_that_is_gone_is_told(journal: Journal, path: Path) -> None:
    async with journal.opened() as store:
        await store.write(put("before"))
        moved = path.parent.rename(path.parent.with_name("moved"))
        path.parent.write_text("a file where the directory was")
        with pytest.raises(JournalError, match="cannot be opened"):
            await store.write(put("after"))
        path.parent.unlink()
        moved.rename(path.parent)
        await store.write(put("after"))
        assert await store.read(lost(["before", "after"])) == []
