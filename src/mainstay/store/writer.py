"""One thread that writes, in groups: units queued while a commit runs go into the next transaction together."""

import asyncio
import random
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

from mainstay.core import crash
from mainstay.core.errors import JournalError
from mainstay.ports.clock import Clock
from mainstay.store.base import Tx, Unit

T = TypeVar("T")

GROUP = 256
"""The most units in one commit."""
QUEUE = 4096
"""The most units that may wait; those who come later wait for a place."""
TRIES = 12
"""How often a group is repeated when the database asks for it."""


class Again(Exception):
    """The database asks to repeat the whole transaction; nothing of it was kept."""


class Careless(Exception):
    """A unit of a group without savepoints failed: the group is to be repeated with them."""


class Broken(Exception):
    """The transaction is gone and the connection is not to be trusted. The cause is what callers are told."""

    def __init__(self, told: JournalError) -> None:
        super().__init__(str(told))
        self.told = told


class Link(Protocol):
    """The connection that writes. Its methods raise `Again` or `Broken`, nothing else."""

    careful: bool
    """Whether each unit of a group gets a savepoint at once, or only when the group is repeated because one failed."""
    signals: list[str]
    """The topics signalled in this transaction so far."""
    failed: Exception | None
    """A statement that failed, even if the unit swallowed it; `Again` or `Broken` undo more than the unit."""

    @property
    def tx(self) -> Tx:
        """The transaction that units are given."""
        ...

    def begin(self) -> None:
        """Open a transaction, and before it the connection if need be."""
        ...

    def mark(self) -> None:
        """Begin a savepoint."""
        ...

    def keep(self) -> None:
        """End the savepoint, keeping what was done."""
        ...

    def undo(self) -> None:
        """End the savepoint, undoing what was done."""
        ...

    def commit(self) -> Any:
        """Make it durable; gives what the event loop is to be told."""
        ...

    def rollback(self) -> None:
        """Undo the transaction. Never raises."""
        ...

    def drop(self) -> None:
        """Close the connection, undoing what was not committed. Never raises."""
        ...

    def idle(self) -> None:
        """A group has ended. Never raises."""
        ...


@dataclass(slots=True)
class Item:
    """One accepted unit, and how it ended."""

    unit: Unit[Any]
    future: asyncio.Future[Any]
    value: Any = None
    error: BaseException | None = None


class GroupWriter:
    """Accepts units from one event loop and runs them on `link` in a thread of its own.

    `committed` is called in the event loop with what `link.commit` gave, before the units' futures are resolved.
    """

    def __init__(self, link: Link, clock: Clock, committed: Callable[[Any], None]) -> None:
        self._link = link
        self._clock = clock
        self._committed = committed
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Item | Callable[[], None] | None] = SimpleQueue()
        self._room = asyncio.Semaphore(QUEUE)
        self._pending = 0
        self._drained = asyncio.Event()
        self._closing = False
        self.commits = 0
        """Transactions that reached the disk."""
        self.units = 0
        """Units that reached the disk."""
        self.repeats = 0
        """How often the database asked to repeat a transaction."""
        self._writer = threading.Thread(target=self._serve, name="journal-writer", daemon=True)
        self._writer.start()

    async def write(self, unit: Unit[T]) -> T:
        """Run a unit; it is durable when this returns."""
        if self._closing:
            raise JournalError("the journal is closed")
        self._pending += 1
        try:
            async with self._room:
                with self._clock.busy():
                    item = Item(unit, self._loop.create_future())
                    self._queue.put(item)
                    return await item.future  # type: ignore[no-any-return]
        finally:
            self._pending -= 1
            if not self._pending:
                self._drained.set()

    def between(self, action: Callable[[], None]) -> None:
        """Have `action` done on the writing thread, between two groups. May be called from any thread."""
        self._queue.put(action)

    async def close(self) -> None:
        """Finish what was accepted, then end the thread."""
        self._closing = True
        while self._pending:
            self._drained.clear()
            await self._drained.wait()
        self._queue.put(None)
        with self._clock.busy():
            await asyncio.to_thread(self._writer.join)

    def _serve(self) -> None:
        while True:
            entry = self._queue.get()
            if entry is None:
                break
            if not isinstance(entry, Item):
                entry()
                continue
            ending = self._group([entry])
            self._link.idle()
            if ending:
                break
        self._link.drop()

    def _group(self, batch: list[Item]) -> bool:
        """Fill up the group with what waits, run it, tell the loop; true when the end was reached."""
        last: Item | Callable[[], None] | None = batch[0]
        while len(batch) < GROUP:
            try:
                last = self._queue.get_nowait()
            except Empty:
                break
            if not isinstance(last, Item):
                break
            batch.append(last)
        live = [item for item in batch if not item.future.cancelled()]
        self._tell(live, self._run(live))
        if last is not None and not isinstance(last, Item):
            last()
        return last is None

    def _run(self, batch: list[Item]) -> list[Any]:
        """Run a group until it is durable or has failed for good; gives what the commits gave."""
        careful = self._link.careful
        for attempt in range(TRIES):
            try:
                return [self._attempt(batch, careful=careful)]
            except Careless:
                self._link.rollback()
                careful = True
            except Again as again:
                self._link.rollback()
                self.repeats += 1
                if len(batch) > 1 and attempt >= 1:
                    return [told for item in batch for told in self._run([item])]
                told = JournalError(f"the database refused the write {attempt + 1} times: {again}")
                threading.Event().wait(random.uniform(0, min(0.5, 0.002 * 2**attempt)))  # noqa: S311 - no secret
            except Broken as broken:
                told = broken.told
                self._link.drop()
                break
            except Exception as error:
                told = JournalError(f"the journal's writer failed: {type(error).__name__}: {error}")
                self._link.drop()
                break
        for item in batch:
            item.error = type(told)(told.what, hint=told.hint, where=told.where)
        return []

    def _attempt(self, batch: list[Item], *, careful: bool) -> Any:
        link = self._link
        link.begin()
        link.signals.clear()
        marked = careful and len(batch) > 1
        kept = 0
        for item in batch:
            done = self._one(item, marked=marked)
            if not done and not marked and len(batch) > 1:
                raise Careless
            kept += done
        if not kept:
            link.rollback()
            return None
        crash.point("journal.before_commit")
        given = link.commit()
        crash.point("journal.committed")
        self.commits += 1
        self.units += kept
        return given

    def _one(self, item: Item, *, marked: bool) -> bool:
        """Run one unit; true if it is to be kept."""
        link = self._link
        before = len(link.signals)
        item.value, item.error = None, None
        if marked:
            link.mark()
        link.failed = None
        try:
            item.value = item.unit(link.tx)
        except BaseException as error:
            # A future refuses to carry StopIteration.
            item.error = RuntimeError(repr(error)) if isinstance(error, StopIteration) else error
        failed = _failed(link)
        if isinstance(failed, Again | Broken):
            raise failed
        item.error = item.error or failed
        if item.error is not None:
            del link.signals[before:]
        if marked:
            (link.keep if item.error is None else link.undo)()
        return item.error is None

    def _tell(self, batch: Iterable[Item], given: list[Any]) -> None:
        def tell() -> None:
            for one in given:
                if one is not None:
                    self._committed(one)
            for item in batch:
                if item.future.done():
                    continue
                if item.error is not None:
                    item.future.set_exception(item.error)
                else:
                    item.future.set_result(item.value)

        with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(tell)


def _failed(link: Link) -> Exception | None:
    """Give what failed meanwhile. Where it was set to None, type checkers and compilers believe that it still is."""
    return link.failed
