"""A few threads that read, each on a snapshot of its own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Protocol, TypeVar

from mainstay.core.errors import JournalError
from mainstay.ports.clock import Clock
from mainstay.store.base import Unit
from mainstay.store.writer import Again, Broken

T = TypeVar("T")

READERS = 4
TRIES = 3


class Reader(Protocol):
    """A connection that reads."""

    def snapshot(self, unit: Unit[T]) -> T:
        """Run a unit on a consistent snapshot. Raises `Again` or `Broken` when the connection is lost."""
        ...

    def drop(self) -> None:
        """Close the connection. Never raises."""
        ...


class Readers:
    """Runs reading units in threads, on connections that are opened when needed and kept."""

    def __init__(self, connect: Callable[[], Reader], clock: Clock) -> None:
        self._connect = connect
        self._clock = clock
        self._idle: SimpleQueue[Reader] = SimpleQueue()
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="journal-reader")
        self._closed = False

    async def read(self, unit: Unit[T]) -> T:
        """Run a unit on a consistent snapshot."""
        if self._closed:
            raise JournalError("the journal is closed")
        with self._clock.busy():
            return await asyncio.get_running_loop().run_in_executor(self._threads, self.here, unit)

    async def close(self) -> None:
        """Finish what was accepted, then close."""
        self._closed = True
        with self._clock.busy():
            await asyncio.to_thread(self._threads.shutdown)
            self._drop_idle()

    def here(self, unit: Unit[T]) -> T:
        """Run a unit on a consistent snapshot in the calling thread."""
        for _ in range(TRIES):
            reader = self._take()
            try:
                given = reader.snapshot(unit)
            except Again as again:
                # What failed this one has failed the others: the server went away and may be back.
                reader.drop()
                self._drop_idle()
                last = again
            except Broken as broken:
                reader.drop()
                raise broken.told from broken
            except BaseException:
                self._idle.put(reader)
                raise
            else:
                self._idle.put(reader)
                return given
        raise JournalError(f"the journal could not be read: {last}")

    def _take(self) -> Reader:
        try:
            return self._idle.get_nowait()
        except Empty:
            return self._connect()

    def _drop_idle(self) -> None:
        while True:
            try:
                self._idle.get_nowait().drop()
            except Empty:
                return
