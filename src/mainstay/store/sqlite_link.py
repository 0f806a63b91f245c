"""Connections to a SQLite journal, and the transaction over one."""

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mainstay.core.errors import JournalError
from mainstay.store.base import Conflict, Row
from mainstay.store.named import Query, query
from mainstay.store.writer import Again, Broken

PAGE = 16384
PATIENCE = 30.0
"""Seconds to wait while another process writes."""

_GONE = {
    sqlite3.SQLITE_IOERR: (
        "the disk refused",
        "see the kernel's log; the journal is opened anew before the next write",
    ),
    sqlite3.SQLITE_FULL: ("the disk is full", "make room on the journal's file system"),
    sqlite3.SQLITE_CORRUPT: (
        "the file is damaged",
        "stop mainstay and restore the newest copy of the journal",
    ),
    sqlite3.SQLITE_NOTADB: ("the file is not a journal", "look at the journal's path"),
    sqlite3.SQLITE_CANTOPEN: ("the file cannot be opened", "look at the directory and its owner"),
    sqlite3.SQLITE_READONLY: ("the file is read-only", "look at the file's owner and its file system"),
    sqlite3.SQLITE_NOMEM: ("there is no memory left", "look at the machine's memory"),
    sqlite3.SQLITE_BUSY: (
        f"another process kept it locked for {PATIENCE:.0f} s",
        "find the process that holds it",
    ),
}


def connect(path: Path, *, reading: bool = False) -> sqlite3.Connection:
    """Open one connection: durable commits, checked foreign keys. Raises `sqlite3.Error`."""
    connection = sqlite3.connect(
        path, timeout=PATIENCE, isolation_level=None, check_same_thread=False, cached_statements=512
    )
    try:
        for pragma in (
            f"page_size = {PAGE}",
            "synchronous = FULL",
            "fullfsync = ON",
            "checkpoint_fullfsync = ON",
            "foreign_keys = ON",
            "wal_autocheckpoint = 0",
            "journal_size_limit = 16777216",
            "cache_size = -16384",
            "temp_store = MEMORY",
            "query_only = ON" if reading else "journal_mode = WAL",
        ):
            connection.execute(f"PRAGMA {pragma}").close()
    except BaseException:
        connection.close()
        raise
    return connection


def told(error: sqlite3.Error, path: Path) -> JournalError:
    """Say in people's words what SQLite says."""
    code = getattr(error, "sqlite_errorcode", 0) or 0
    name = getattr(error, "sqlite_errorname", "") or type(error).__name__
    what, hint = _GONE.get(code & 0xFF, (str(error), None))
    return JournalError(f"the journal {path}: {what} ({name})", hint=hint)


def fatal(error: sqlite3.Error) -> bool:
    """Whether the transaction, and not only the statement, is lost."""
    return (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF in _GONE


class SqliteTx:
    """A transaction over one connection."""

    dialect = "sqlite"

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.connection = connection
        self.path = path
        self.signals: list[str] = []
        self.doom: Again | Broken | None = None

    def all(self, name: str, /, **params: Any) -> list[Row]:
        cursor = self._execute(name, params)
        try:
            columns = [column[0] for column in cursor.description or ()]
            return [dict(zip(columns, row, strict=True)) for row in cursor]
        except sqlite3.Error as error:
            raise self._fault(error, name) from error
        finally:
            cursor.close()

    def one(self, name: str, /, **params: Any) -> Row | None:
        cursor = self._execute(name, params)
        try:
            row = cursor.fetchone()
            return None if row is None else dict(zip([c[0] for c in cursor.description], row, strict=True))
        except sqlite3.Error as error:
            raise self._fault(error, name) from error
        finally:
            cursor.close()

    def run(self, name: str, /, **params: Any) -> int:
        cursor = self._execute(name, params)
        count = cursor.rowcount
        cursor.close()
        return max(0, count)

    def many(self, name: str, /, rows: Iterable[Mapping[str, Any]]) -> None:
        found = query(name, self.dialect)
        ready = [_checked(found, row) for row in rows]
        try:
            self.connection.executemany(found.text, ready).close()
        except sqlite3.Error as error:
            raise self._fault(error, name) from error

    def signal(self, topic: str) -> None:
        self.signals.append(topic)

    def _execute(self, name: str, params: Mapping[str, Any]) -> sqlite3.Cursor:
        found = query(name, self.dialect)
        try:
            return self.connection.execute(found.text, _checked(found, params))
        except sqlite3.Error as error:
            raise self._fault(error, name) from error

    def _fault(self, error: sqlite3.Error, name: str) -> Exception:
        if fatal(error):
            self.doom = Broken(told(error, self.path))
            return self.doom
        if isinstance(error, sqlite3.IntegrityError):
            return Conflict(f"{name}: {error}")
        return JournalError(f"{name}: {error}")


def _checked(found: Query, params: Mapping[str, Any]) -> Mapping[str, Any]:
    missing = found.params - params.keys()
    if missing:
        raise TypeError(f"{found.name} needs {', '.join(sorted(missing))}")
    return params
