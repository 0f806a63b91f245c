"""Connections to a SQLite journal, and the transaction over one."""

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from mainstay.core.errors import JournalError
from mainstay.store.base import Conflict, Rejected, Row, Unit
from mainstay.store.named import Query, query
from mainstay.store.writer import Again, Broken

T = TypeVar("T")

PAGE = 4096
"""Bytes of a page of a fresh journal. A commit writes whole pages, and what many webhooks are known by lies all over an
index: with a million of them 16 KiB pages take twice as long, and with few of them no size is quicker than another."""
LOG_LIMIT = 16 << 20
"""Bytes to which SQLite cuts a log that starts again."""
PATIENCE = 30.0
"""Seconds to wait while another process writes."""

_GONE = {
    sqlite3.SQLITE_IOERR: (
        "the disk refused",
        "see the kernel's log; it is opened anew before the next write",
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
    sqlite3.SQLITE_BUSY: (f"another process kept it locked for {PATIENCE:.0f} s", "find who holds it open"),
    sqlite3.SQLITE_INTERRUPT: ("the statement was interrupted", None),
}


def connect(path: Path, *, reading: bool = False) -> sqlite3.Connection:
    """Open one connection to a file that is there: durable commits, checked foreign keys. Raises `sqlite3.Error`."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=PATIENCE,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=512,
    )
    try:
        for pragma in (
            f"page_size = {PAGE}",
            "synchronous = FULL",
            "fullfsync = ON",
            "checkpoint_fullfsync = ON",
            "foreign_keys = ON",
            "wal_autocheckpoint = 0",
            f"journal_size_limit = {LOG_LIMIT}",
            "cache_size = -16384",
            "temp_store = MEMORY",
            "query_only = ON" if reading else "journal_mode = WAL",
        ):
            connection.execute(f"PRAGMA {pragma}").close()
    except BaseException:
        connection.close()
        raise
    return connection


def identity(path: Path) -> tuple[int, int] | None:
    """Tell the file that stands at a path from others that stood there before; None when there is none.

    SQLite itself writes on into a file that was removed, and all of that is lost.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class Line:
    """A connection to whatever file stands at a path: opened anew when it is another one. Used by one thread."""

    def __init__(self, path: Path, *, reading: bool = False) -> None:
        self._path = path
        self._reading = reading
        self._file: tuple[int, int] | None = None
        self._connection: sqlite3.Connection | None = None

    @property
    def moved(self) -> bool:
        """Whether another file, or none, stands there than the one that was opened."""
        return self._connection is not None and identity(self._path) != self._file

    def get(self) -> sqlite3.Connection:
        """Give the connection. Raises `sqlite3.Error`."""
        if self.moved:
            self.close()
        if self._connection is None:
            self._file = identity(self._path)
            self._connection = connect(self._path, reading=self._reading)
        return self._connection

    def close(self) -> None:
        """Close it. Never raises."""
        if self._connection is not None:
            closing, self._connection = self._connection, None
            with suppress(sqlite3.Error):
                closing.close()


def told(error: sqlite3.Error, path: Path) -> JournalError:
    """Say in people's words what SQLite says."""
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    what, hint = _GONE.get(_code(error), (str(error), None))
    return JournalError(f"the journal {path}: {what} ({name})", hint=hint)


def fatal(error: sqlite3.Error) -> bool:
    """Whether the transaction, and not only the statement, is lost."""
    return _code(error) in _GONE


def _code(error: sqlite3.Error) -> int:
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def passive(connection: sqlite3.Connection) -> None:
    """Copy from the log into the file whatever can be copied without waiting for anybody."""
    # When it fails the log only grows; a disk that is full or broken is told by the next write.
    with suppress(sqlite3.Error):
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def settle(connection: sqlite3.Connection, path: Path) -> None:
    """Copy the whole log into the file and begin it anew. Raises `sqlite3.Error`, or `JournalError` when it cannot yet.

    The kernel reports a failed fsync once and forgets the pages: a later fsync that succeeds says nothing of them. So
    nothing may be acknowledged before everything in the log was written once more, and synced, by this.
    """
    (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise JournalError(
            f"the journal {path}: its log could not be written anew after the disk failed, because it is being read",
            hint="it is tried again before the next write",
        )


class SqliteTx:
    """A transaction over one connection."""

    dialect = "sqlite"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection: sqlite3.Connection | None = None
        self.signals: list[str] = []
        self.failed: Exception | None = None

    def all(self, which: str, /, **params: Any) -> list[Row]:
        return self._execute(which, params, _rows)

    def one(self, which: str, /, **params: Any) -> Row | None:
        return self._execute(which, params, _first)

    def run(self, which: str, /, **params: Any) -> int:
        return self._execute(which, params, _count)

    def many(self, which: str, /, rows: Iterable[Mapping[str, Any]]) -> int:
        found, text, order = _many(which)
        ready = found.ordered(rows, order)
        cursor = self._live().cursor()
        try:
            return _count(cursor.executemany(text, ready))
        except sqlite3.Error as error:
            raise self._fault(error, which) from error
        finally:
            cursor.close()

    def signal(self, topic: str) -> None:
        self.signals.append(topic)

    def _execute(self, name: str, params: Mapping[str, Any], take: Callable[[sqlite3.Cursor], T]) -> T:
        found = query(name, self.dialect)
        cursor = self._live().cursor()
        try:
            return take(cursor.execute(found.text, found.checked(params)))
        except sqlite3.Error as error:
            raise self._fault(error, name) from error
        finally:
            cursor.close()

    def _live(self) -> sqlite3.Connection:
        if self.connection is None:
            self.failed = Again("the connection was closed after a fault")
            raise self.failed
        return self.connection

    def _say(self, statement: str) -> None:
        try:
            self._live().execute(statement)
        except sqlite3.Error as error:
            raise self._broken(error) from error

    def _fault(self, error: sqlite3.Error, name: str) -> Exception:
        if fatal(error):
            return self._broken(error)
        kind = Conflict if isinstance(error, sqlite3.IntegrityError) else Rejected
        refused = kind(f"the journal refused {name}: {error}")
        self.failed = self.failed or refused
        return refused

    def _broken(self, error: sqlite3.Error) -> Broken:
        self.failed = broken = Broken(told(error, self.path))
        return broken

    def rollback(self) -> None:
        """Undo the transaction, if there is one. Never raises."""
        if self.connection is not None and self.connection.in_transaction:
            try:
                self.connection.execute("ROLLBACK")
            except sqlite3.Error:
                self.drop()

    def drop(self) -> None:
        """Close the connection. Never raises."""
        if self.connection is not None:
            closing, self.connection = self.connection, None
            with suppress(sqlite3.Error):  # what it had to say was said by the commit
                closing.close()


def _failed(tx: SqliteTx) -> Exception | None:
    """Give what failed meanwhile. Where it was set to None, the compiler believes that it still is."""
    return tx.failed


@cache
def _many(name: str) -> tuple[Query, str, tuple[str, ...]]:
    found = query(name, "sqlite")
    return found, *found.numbered()


def _rows(cursor: sqlite3.Cursor) -> list[Row]:
    columns = [column[0] for column in cursor.description or ()]
    return [dict(zip(columns, row, strict=True)) for row in cursor]


def _first(cursor: sqlite3.Cursor) -> Row | None:
    row = cursor.fetchone()
    return None if row is None else dict(zip([column[0] for column in cursor.description], row, strict=True))


def _count(cursor: sqlite3.Cursor) -> int:
    return max(0, cursor.rowcount)


class SqliteReader(SqliteTx):
    """A connection that reads."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._file = identity(path)
        try:
            self.connection = connect(path, reading=True)
        except sqlite3.Error as error:
            raise told(error, path) from error

    def snapshot(self, unit: Unit[T]) -> T:
        if identity(self.path) != self._file:
            raise Again("its file was removed or replaced")
        self.failed = None
        self._say("BEGIN")
        try:
            given = unit(self)
        finally:
            self.rollback()
        failed = _failed(self)
        if failed is not None:
            raise failed
        return given


class SqliteLink(SqliteTx):
    """The connection that writes; opened when needed, dropped after a fault."""

    careful = True
    """Savepoints cost next to nothing within the process."""

    def __init__(self, path: Path, idle: Callable[[], None], renew: Callable[[], None]) -> None:
        """`renew` sees to it that a journal stands at the path after the file was removed or replaced."""
        super().__init__(path)
        self._idle = idle
        self._renew = renew
        self._file: tuple[int, int] | None = None
        self._doubtful = False

    @property
    def tx(self) -> "SqliteLink":
        return self

    def begin(self) -> None:
        try:
            self._reach().execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise self._broken(error) from error
        except JournalError as fault:
            raise Broken(fault) from fault

    def _reach(self) -> sqlite3.Connection:
        if self._file is not None and identity(self.path) != self._file:
            self.drop()
            self._renew()
        if self.connection is None:
            self._file = identity(self.path)
            self.connection = connect(self.path)
            if self._doubtful:
                settle(self.connection, self.path)
                self._doubtful = False
        return self.connection

    def _broken(self, error: sqlite3.Error) -> Broken:
        self._doubtful = self._doubtful or _code(error) == sqlite3.SQLITE_IOERR
        return super()._broken(error)

    def mark(self) -> None:
        self._say("SAVEPOINT unit")

    def keep(self) -> None:
        self._say("RELEASE unit")

    def undo(self) -> None:
        self._say("ROLLBACK TO unit")
        self._say("RELEASE unit")

    def commit(self) -> list[tuple[str, int]]:
        numbers = []
        for topic in dict.fromkeys(self.signals):
            row = self.one("topics.count", name=topic)
            numbers.append((topic, int(row["number"]) if row else 0))
        self._say("COMMIT")
        return numbers

    def idle(self) -> None:
        self._idle()

    def checkpoint(self) -> None:
        """Copy what is left of the log into the file, if nothing is in the way."""
        if self.connection is not None:
            passive(self.connection)
