"""The journal in one SQLite file, shared by the processes of one machine."""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from mainstay.ports.clock import Clock
from mainstay.store.base import Unit
from mainstay.store.named import query
from mainstay.store.readers import Readers
from mainstay.store.sqlite_file import prepare
from mainstay.store.sqlite_link import LOG_LIMIT, Line, SqliteLink, SqliteReader, passive, told
from mainstay.store.topics import Topics
from mainstay.store.writer import GroupWriter

logger = logging.getLogger(__name__)

T = TypeVar("T")

LOOK = 0.1
"""Seconds between looks at whether another process has written."""
CHECKPOINT_EVERY = 128
"""Commits after which the log is copied into the file, unless it outgrows its limit before."""


async def open_sqlite(path: Path, clock: Clock) -> "SqliteStore":
    """Open a journal, make it if it is not there, bring it to the newest schema. Raises `JournalError`."""
    with clock.busy():
        await asyncio.to_thread(prepare, path)
        try:
            return SqliteStore(path, clock)
        except sqlite3.Error as error:
            raise told(error, path) from error


class SqliteStore:
    """An open SQLite journal."""

    dialect = "sqlite"

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self.renewed = 0
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._topics = Topics(clock)
        self._readers = Readers(lambda: SqliteReader(path), clock)
        self._stop = threading.Event()
        self._full = threading.Event()
        self._copied = 0
        self._log = path.with_name(f"{path.name}-wal")
        watcher = Line(path, reading=True)
        self._topics.known(watcher.get().execute(query("topics.all", "sqlite").text).fetchall())
        self._link = SqliteLink(path, self._count, self._renew)
        self.writer = GroupWriter(self._link, clock, self._topics.saw)
        self._threads = [
            threading.Thread(target=self._watch, args=(watcher,), name="journal-watcher", daemon=True),
            threading.Thread(target=self._checkpoint, name="journal-checkpointer", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    async def write(self, unit: Unit[T]) -> T:
        return await self.writer.write(unit)

    async def read(self, unit: Unit[T]) -> T:
        return await self._readers.read(unit)

    def read_here(self, unit: Unit[T]) -> T:
        """Run `unit` on a consistent snapshot in the calling thread, which is not that of the event loop."""
        return self._readers.here(unit)

    def wait(self, topic: str, timeout: float) -> Coroutine[Any, Any, bool]:
        return self._topics.wait(topic, timeout, self._topics.version(topic))

    def version(self, topic: str) -> int:
        return self._topics.version(topic)

    async def close(self) -> None:
        if self._stop.is_set():
            return
        await self.writer.close()
        await self._readers.close()
        self._stop.set()
        self._full.set()
        with self._clock.busy():
            await asyncio.to_thread(self._join)

    def _renew(self) -> None:
        """Somebody removed or replaced the file: go on with the journal that stands there now, or with a fresh one."""
        prepare(self.path)
        self.renewed += 1
        logger.error("the journal %s was removed or replaced; going on with what is there now", self.path)

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _count(self) -> None:
        if self.writer.commits - self._copied >= CHECKPOINT_EVERY or self._log_size() > LOG_LIMIT:
            self._copied = self.writer.commits
            self._full.set()

    def _log_size(self) -> int:
        try:
            return self._log.stat().st_size
        except OSError:
            return 0

    def _checkpoint(self) -> None:
        """Copy the bulk of the log here; the writer copies the small rest between two groups.

        Nothing is left to copy then, so the next write starts the log again from its beginning.
        """
        line = Line(self.path)
        while True:
            self._full.wait()
            self._full.clear()
            if self._stop.is_set():
                break
            try:
                passive(line.get())
            except sqlite3.Error:
                continue  # tried again after the next commits
            self.writer.between(self._link.checkpoint)
        line.close()

    def _watch(self, line: Line) -> None:
        """See by SQLite's own counter that somebody has written, and by the topics' numbers what was signalled."""
        last = None
        while not self._stop.wait(LOOK):
            try:
                if line.moved:
                    last = None
                    line.close()
                    self._loop.call_soon_threadsafe(self._topics.anew)
                connection = line.get()
                now = connection.execute("PRAGMA data_version").fetchone()
                if now == last:
                    continue
                numbers = connection.execute(query("topics.all", "sqlite").text).fetchall()
                last = now
                self._loop.call_soon_threadsafe(self._topics.saw, numbers)
            except sqlite3.Error:
                last = None  # the disk is full or broken for now: look again next time
            except RuntimeError:
                break  # the loop is closed
        line.close()
