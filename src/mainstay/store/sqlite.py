"""The journal in one SQLite file, shared by the processes of one machine."""

import asyncio
import fcntl
import os
import sqlite3
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from mainstay.core.errors import JournalError
from mainstay.ports.clock import Clock
from mainstay.store.base import Unit
from mainstay.store.migrate import Migration, forward, migrations, statements
from mainstay.store.named import query
from mainstay.store.sqlite_link import SqliteTx, connect, fatal, told
from mainstay.store.topics import Topics
from mainstay.store.writer import Broken, GroupWriter

T = TypeVar("T")

READERS = 4
LOOK = 0.1
"""Seconds between looks at whether another process has written."""
CHECKPOINT_EVERY = 128
"""Commits after which the log is copied into the file."""


async def open_sqlite(path: Path, clock: Clock) -> "SqliteStore":
    """Open a journal, make it if it is not there, bring it to the newest schema. Raises `JournalError`."""
    with clock.busy():
        await asyncio.to_thread(prepare, path)
        return SqliteStore(path, clock)


def prepare(path: Path) -> None:
    """Make the file if needed and bring it to the newest schema; only one process at a time does so."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path):
            _create(path)
            connection = connect(path)
            try:
                _migrate(connection, path)
            finally:
                connection.close()
    except OSError as error:
        raise JournalError(
            f"the journal {path} cannot be opened: {error.strerror}",
            hint="look at the directory and its owner",
        ) from error
    except sqlite3.Error as error:
        raise told(error, path) from error


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _create(path: Path) -> None:
    # Only a file that did not exist is ever opened here: closing a second descriptor of a live SQLite file
    # would drop the locks of every connection in this process.
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def schema(connection: sqlite3.Connection, path: Path) -> int:
    """Give the schema's number, 0 for an empty file. Raises `JournalError` if it is somebody else's file."""
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return 0
    row = "meta" in tables and connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    if not row:
        raise JournalError(f"{path} is not a journal of mainstay", hint="give the journal a file of its own")
    return int(row[0])


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    def apply(step: Migration) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements(step.text):
                connection.execute(statement)
            connection.execute(query("meta.put", "sqlite").text, {"key": "schema", "value": str(step.number)})
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def before(present: int) -> None:
        copy = path.with_name(f"{path.name}.before-schema-{present + 1}")
        copy.unlink(missing_ok=True)
        connection.execute("VACUUM INTO ?", (str(copy),))

    forward(schema(connection, path), migrations(), apply, before)


class SqliteLink(SqliteTx):
    """The connection that writes; opened when needed, dropped after a fault."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.signals = []
        self.doom = None
        self.tx = self
        self._open: sqlite3.Connection | None = None
        self.on_idle = lambda: None

    def begin(self) -> None:
        self.doom = None
        try:
            if self._open is None:
                self._open = self.connection = connect(self.path)
            self._open.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise Broken(told(error, self.path)) from error

    def mark(self) -> None:
        self._say("SAVEPOINT unit")

    def keep(self) -> None:
        self._say("RELEASE unit")

    def undo(self) -> None:
        self._say("ROLLBACK TO unit")
        self._say("RELEASE unit")

    def commit(self) -> list[tuple[str, int]]:
        numbers = []
        try:
            for topic in dict.fromkeys(self.signals):
                row = self.connection.execute(
                    query("topics.count", self.dialect).text, {"name": topic}
                ).fetchall()
                numbers.append((topic, int(row[0][0])))
            self.connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise Broken(told(error, self.path)) from error
        return numbers

    def rollback(self) -> None:
        if self.connection.in_transaction:
            self._say("ROLLBACK")

    def drop(self) -> None:
        if self._open is not None:
            opened, self._open = self._open, None
            try:
                opened.close()
            except sqlite3.Error:
                pass  # what it had to say was said by the commit

    def idle(self) -> None:
        self.on_idle()

    def checkpoint(self) -> None:
        """Copy what is left of the log into the file, if nothing is in the way."""
        if self._open is not None:
            passive(self._open)

    def _say(self, statement: str) -> None:
        try:
            self.connection.execute(statement)
        except sqlite3.Error as error:
            raise Broken(told(error, self.path)) from error


def passive(connection: sqlite3.Connection) -> None:
    """Copy from the log into the file whatever can be copied without waiting for anybody."""
    try:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    except sqlite3.Error:
        pass  # the log only grows meanwhile; a disk that is full or broken is told by the next write


class SqliteStore:
    """An open SQLite journal."""

    dialect = "sqlite"

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._topics = Topics(clock)
        self._link = SqliteLink(path)
        self.writer = GroupWriter(self._link, clock, self._topics.saw)
        self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="journal-reader")
        self._stop = threading.Event()
        self._full = threading.Event()
        self._commits = 0
        self._link.on_idle = self._count
        watcher = connect(path, reading=True)
        self._topics.known(watcher.execute(query("topics.all", "sqlite").text).fetchall())
        self._threads = [
            threading.Thread(target=self._watch, args=(watcher,), name="journal-watcher", daemon=True),
            threading.Thread(target=self._checkpoint, name="journal-checkpointer", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    async def write(self, unit: Unit[T]) -> T:
        return await self.writer.write(unit)

    async def read(self, unit: Unit[T]) -> T:
        if self._stop.is_set():
            raise JournalError("the journal is closed")
        with self._clock.busy():
            return await self._loop.run_in_executor(self._readers, self._snapshot, unit)

    def wait(self, topic: str, timeout: float) -> Coroutine[Any, Any, bool]:
        return self._topics.wait(topic, timeout, self._topics.version(topic))

    def version(self, topic: str) -> int:
        return self._topics.version(topic)

    async def close(self) -> None:
        if self._stop.is_set():
            return
        await self.writer.close()
        self._stop.set()
        self._full.set()
        with self._clock.busy():
            await asyncio.to_thread(self._end)

    def _end(self) -> None:
        for thread in self._threads:
            thread.join()
        self._readers.shutdown()
        while not self._idle.empty():
            self._idle.get().close()

    def _snapshot(self, unit: Unit[T]) -> T:
        try:
            connection = self._idle.get_nowait()
        except Empty:
            connection = self._connect()
        tx = SqliteTx(connection, self.path)
        try:
            connection.execute("BEGIN")
            return unit(tx)
        except Broken as broken:
            raise broken.told from broken
        except sqlite3.Error as error:
            raise told(error, self.path) from error
        finally:
            self._put_back(connection, whole=tx.doom is None)

    def _connect(self) -> sqlite3.Connection:
        try:
            return connect(self.path, reading=True)
        except sqlite3.Error as error:
            raise told(error, self.path) from error

    def _put_back(self, connection: sqlite3.Connection, *, whole: bool) -> None:
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            whole = False
        if whole:
            self._idle.put(connection)
        else:
            connection.close()

    def _count(self) -> None:
        if self.writer.commits - self._commits >= CHECKPOINT_EVERY:
            self._commits = self.writer.commits
            self._full.set()

    def _checkpoint(self) -> None:
        """Copy the bulk of the log here; the writer copies the small rest between two groups, then the log restarts."""
        connection: sqlite3.Connection | None = None
        while not self._stop.is_set():
            self._full.wait()
            self._full.clear()
            try:
                connection = connection or connect(self.path)
            except sqlite3.Error:
                continue
            passive(connection)
            if not self._stop.is_set():
                self.writer.between(self._link.checkpoint)
        if connection:
            connection.close()

    def _watch(self, connection: sqlite3.Connection) -> None:
        """See by SQLite's own counter that somebody has written, and by the topics' numbers what was signalled."""
        last = None
        while not self._stop.wait(LOOK):
            try:
                now = connection.execute("PRAGMA data_version").fetchone()
                if now == last:
                    continue
                last = now
                numbers = connection.execute(query("topics.all", "sqlite").text).fetchall()
                self._loop.call_soon_threadsafe(self._topics.saw, numbers)
            except sqlite3.Error as error:
                if fatal(error):
                    last = None
            except RuntimeError:
                break  # the loop is closed
        connection.close()
