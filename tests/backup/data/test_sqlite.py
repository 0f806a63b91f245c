"""A SQLite file: one snapshot while others write, integrity and every table compared."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from mainstay.backup.data.base import DataError
from mainstay.backup.data.sqlite import FILE, SqliteData
from mainstay.core.errors import MainstayError
from mainstay.store.backups import BackupState
from tests.backup.data.room import Room, equal, flip


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A file in WAL mode with odd values in it."""
    file = tmp_path / "ledger.db"
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA user_version = 7")
        db.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, name TEXT, balance)")
        db.execute('CREATE TABLE "odd "" name" (a, b)')
        db.execute("CREATE TABLE empty (x) ")
        db.execute("CREATE TABLE pair (k TEXT PRIMARY KEY, v) WITHOUT ROWID")
        db.execute("CREATE INDEX by_name ON account (name)")
        db.execute("CREATE VIRTUAL TABLE words USING fts5(text)")
        db.executemany("INSERT INTO account VALUES (?, ?, ?)", [(n, f"n{n}", n) for n in range(500)])
        db.executemany(
            'INSERT INTO "odd "" name" VALUES (?, ?)',
            [(1, 1.0), ("1", b"1"), (None, float("inf")), (b"\xff\x00", "\U0001f600"), (1, 1.0)],
        )
        db.execute("INSERT INTO account VALUES (1000, CAST(x'ff41' AS TEXT), -1)")
        db.execute("INSERT INTO pair VALUES ('a', 1)")
        db.execute("INSERT INTO words VALUES ('to be found')")
        db.commit()
    return file


def dump(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as db:
        db.text_factory = bytes
        rows = db.execute("SELECT * FROM account UNION ALL SELECT *, 0 FROM pair").fetchall()
        return sorted(map(repr, rows))


async def test_a_file_is_taken_and_proven(room: Room, ledger: Path, tmp_path: Path) -> None:
    ledger.chmod(0o640)
    room.set(SqliteData, path=ledger)
    backup = await room.proven()
    counted = room.manifest(backup).counted
    assert {name: counted[name].rows for name in ("account", 'odd " name', "empty", "pair")} == {
        "account": 501, 'odd " name': 5, "empty": 0, "pair": 1,
    }  # fmt: skip
    assert "words" not in counted
    assert counted["words_content"].rows == 1
    done = await room.restore(backup, tmp_path / "restored.db")
    assert equal(done.judgement)
    assert dump(tmp_path / "restored.db") == dump(ledger)
    assert (tmp_path / "restored.db").stat().st_mode & 0o777 == 0o640


async def test_rows_that_are_not_yet_in_the_file_itself_are_taken(room: Room, ledger: Path) -> None:
    with closing(sqlite3.connect(ledger)) as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("INSERT INTO account VALUES (2000, 'in the log only', 0)")
        db.commit()
        room.set(SqliteData, path=ledger)
        backup = await room.proven()
    assert room.manifest(backup).counted["account"].rows == 502


async def test_it_is_one_moment_while_others_write(room: Room, ledger: Path, tmp_path: Path) -> None:
    writing, stop = threading.Event(), threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(ledger, timeout=30)) as db:
            while not stop.is_set():
                db.execute("UPDATE account SET balance = balance - 1 WHERE id = 1")
                db.execute("UPDATE account SET balance = balance + 1 WHERE id = 2")
                db.commit()
                writing.set()

    with closing(sqlite3.connect(ledger)) as db:
        (total,) = db.execute("SELECT sum(balance) FROM account").fetchone()
    thread = threading.Thread(target=write)
    thread.start()
    writing.wait()
    try:
        room.set(SqliteData, path=ledger)
        backup = await room.proven()
    finally:
        stop.set()
        thread.join()
    await room.restore(backup, tmp_path / "restored.db")
    with closing(sqlite3.connect(tmp_path / "restored.db")) as db:
        assert db.execute("SELECT sum(balance) FROM account").fetchone() == (total,)


async def test_a_flipped_bit_is_found(room: Room, ledger: Path) -> None:
    room.set(SqliteData, path=ledger)
    backup = await room.proven()
    flip(room.object(backup, FILE))
    assert (await room.house.prove(backup)).verdict is BackupState.FAILED


async def test_a_row_that_is_another_in_the_copy_is_found(room: Room, ledger: Path) -> None:
    from mainstay.backup.data.prove import judge
    from mainstay.backup.data.sqlite import count, reading

    room.set(SqliteData, path=ledger)
    backup = await room.proven()
    with closing(sqlite3.connect(ledger)) as db:
        db.execute("UPDATE account SET balance = '3' WHERE id = 3")  # the same to a reader, not to SQLite
        db.commit()
    with reading(ledger, 1) as (connection, _):
        judgement = judge(room.manifest(backup), count(connection, lambda done, total: None))
    assert judgement.verdict is BackupState.FAILED
    assert [each.what for each in judgement.differences] == ["account"]


async def test_a_file_that_is_damaged_already_is_no_backup(room: Room, ledger: Path) -> None:
    with closing(sqlite3.connect(ledger)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(ledger.read_bytes())
    data[4096:8192] = bytes(4096)
    ledger.write_bytes(data)
    room.set(SqliteData, path=ledger)
    with pytest.raises(MainstayError):
        await room.backup()
    assert all(each.state is not BackupState.PROVEN for each in await room.house.all())


async def test_a_broken_index_is_found_by_the_proof(room: Room, ledger: Path) -> None:
    with closing(sqlite3.connect(ledger)) as db:
        db.execute("PRAGMA writable_schema = ON")
        # The index is said to be one of another column: what it holds is wrong, and no count shows it.
        db.execute(
            "UPDATE sqlite_schema SET sql = 'CREATE INDEX by_name ON account (balance)' WHERE name = 'by_name'"
        )
        db.commit()
    room.set(SqliteData, path=ledger)
    with pytest.raises(MainstayError, match="integrity"):
        await room.backup()


async def test_a_locked_file_is_said_to_be_locked(room: Room, ledger: Path) -> None:
    with closing(sqlite3.connect(ledger, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("BEGIN EXCLUSIVE")
        room.set(SqliteData, path=ledger, lock_timeout=0.01)
        with pytest.raises(DataError, match="database is locked"):
            await room.backup()


@pytest.mark.parametrize(
    ("contents", "match"),
    [(None, "No such file"), (b"", "there is no table"), (b"not a database at all" * 100, "not a database")],
)
async def test_what_is_no_database(room: Room, tmp_path: Path, contents: bytes | None, match: str) -> None:
    file = tmp_path / "some.db"
    if contents is not None:
        file.write_bytes(contents)
    room.set(SqliteData, path=file)
    with pytest.raises(DataError, match=match):
        await room.backup()
    assert file.exists() is (contents is not None)


async def test_what_belongs_to_the_old_file_goes_with_it(room: Room, ledger: Path) -> None:
    """A log that stays would be applied to the restored file, and damage it."""
    room.set(SqliteData, path=ledger)
    backup = await room.proven()
    with closing(sqlite3.connect(ledger)) as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("DELETE FROM account")
        db.commit()
        assert Path(f"{ledger}-wal").exists()
        done = await room.restore(backup, ledger, replace=True)
    assert done.kept_as is not None
    with closing(sqlite3.connect(ledger)) as restored, closing(sqlite3.connect(done.kept_as)) as kept:
        assert restored.execute("SELECT count(*) FROM account").fetchone() == (501,)
        assert restored.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert kept.execute("SELECT count(*) FROM account").fetchone() == (0,)
