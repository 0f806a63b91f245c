"""Copies of a SQLite journal: taken while it is in use, checked before they count, renamed into place at the end."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mainstay.core import crash
from mainstay.core.errors import JournalError
from mainstay.store.sqlite_file import sync_directory
from mainstay.store.sqlite_link import connect, told

PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class Copy:
    """A whole and checked copy of the journal."""

    path: Path
    taken_at: float
    """Seconds since 1970."""
    bytes: int
    tables: int
    rows: int


def copy_journal(journal: Path, directory: Path, now: float, keep: int = 7) -> Copy:
    """Copy a journal into `directory`, check the copy, and keep the newest `keep` of them. Blocks; use a thread.

    The copy is one consistent moment; nobody who reads or writes waits for it. Raises `JournalError`, and then the
    copies of before are still there.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for rest in directory.glob(f"{_prefix(journal)}*{PARTIAL}*"):
            rest.unlink(missing_ok=True)  # of a copy that was killed
        made = _copy(journal, directory, now)
        for old in copies(journal, directory)[max(1, keep) :]:
            old.unlink(missing_ok=True)
        return made
    except OSError as error:
        raise JournalError(
            f"the journal could not be copied to {directory}: {error.strerror}",
            hint="look at the directory, its owner and the room on its disk",
        ) from error


def copies(journal: Path, directory: Path) -> list[Path]:
    """Give the finished copies of a journal, newest first."""
    return sorted(directory.glob(f"{_prefix(journal)}*.db"), reverse=True)


def _prefix(journal: Path) -> str:
    return f"{journal.stem}-"


def _copy(journal: Path, directory: Path, now: float) -> Copy:
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    final = directory / f"{_prefix(journal)}{stamp}.db"
    partial = final.with_name(final.name + PARTIAL)
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with _faults(journal):
            wanted = _transfer(journal, partial)
        with _faults(partial):
            _check(partial, wanted)
        crash.point("journal.copied")
        _sync(partial)
        partial.replace(final)
        sync_directory(directory)
    finally:
        for rest in directory.glob(f"{partial.name}*"):
            with suppress(OSError):
                rest.unlink()
    return Copy(final, now, final.stat().st_size, len(wanted), sum(wanted.values()))


def _transfer(journal: Path, partial: Path) -> dict[str, int]:
    """Copy every page of one moment; gives how many rows each table had at that moment."""
    with closing(connect(journal, reading=True)) as source, closing(sqlite3.connect(partial)) as target:
        source.execute("BEGIN")
        counts = _counts(source)
        source.backup(target)
        source.execute("ROLLBACK")
        target.execute("PRAGMA journal_mode = DELETE")  # one file, no log beside it
    return counts


def _check(partial: Path, wanted: dict[str, int]) -> None:
    with closing(sqlite3.connect(f"file:{partial}?mode=ro", uri=True)) as copied:
        found = [row[0] for row in copied.execute("PRAGMA integrity_check(3)")]
        if found != ["ok"]:
            raise JournalError(
                f"the copy of the journal is damaged: {'; '.join(found)}",
                hint="look at both disks; the copies of before are still there",
            )
        counts = _counts(copied)
    if counts != wanted:
        odd = sorted(table for table in wanted | counts if wanted.get(table) != counts.get(table))
        raise JournalError(f"the copy of the journal differs in {', '.join(odd)}")


def _counts(connection: sqlite3.Connection) -> dict[str, int]:
    tables = [
        row[0]
        for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    ]
    return {
        table: int(connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0])  # noqa: S608 - our tables
        for table in tables
    }


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise told(error, path) from error
