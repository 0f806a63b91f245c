"""Where events are kept until they are in the journal: appended to the log, after a look at what came before."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from queue import SimpleQueue

from mainstay.core.errors import JournalError
from mainstay.edge.inbox.counts import Counts
from mainstay.edge.inbox.known import Found, Key, Known
from mainstay.edge.inbox.log import Log
from mainstay.edge.inbox.record import encode
from mainstay.ports.clock import Clock
from mainstay.store import inbox
from mainstay.store.base import Store
from mainstay.store.inbox import Arrival, Stored
from mainstay.store.sqlite import SqliteStore

log = logging.getLogger(__name__)

Connect = Callable[[], Awaitable[Store]]
"""Opens the journal. Raises `JournalError`."""

PATIENCE = 0.5
"""Seconds that the journal may take to say which events it has."""
LOOK = 1.0
"""Seconds between two looks at whether the journal is back."""


class Older:
    """What the journal has, as far as it can be asked. While it cannot, copies are dropped on their way into it."""

    def __init__(self, connect: Connect, clock: Clock, counts: Counts) -> None:
        self._connect = connect
        self._clock = clock
        self._away = counts.away
        self._loop = asyncio.get_running_loop()
        self._file: SqliteStore | None = None
        self.store: Store | None = None
        self.reached = asyncio.Event()
        """Whether the journal is open."""
        self._reads: set[asyncio.Task[Found]] = set()
        self._trying: asyncio.Task[None] | None = None

    @property
    def away(self) -> bool:
        """Whether the journal does not answer."""
        return self._trying is not None

    def open(self) -> "asyncio.Task[None]":
        """Begin to reach for the journal; the task ends when it answers."""
        trying = self._trying
        if trying is None:
            self._away.set(1.0)
            trying = self._trying = asyncio.create_task(self._try(), name="inbox-journal")
        return trying

    @property
    def at_hand(self) -> bool:
        """Whether the journal is a file, which the thread of the log asks itself."""
        return self._file is not None and self._trying is None

    def look_here(self, keys: Sequence[Key]) -> Found:
        """Give those events that the journal has, for another thread than the event loop's."""
        if not keys or self._file is None:
            return {}
        try:
            return self._file.read_here(partial(inbox.seen, keys=keys))
        except JournalError as fault:
            log.error("webhooks wait in the log: %s", fault)
            self._loop.call_soon_threadsafe(self.open)
            return {}

    async def look(self, keys: Sequence[Key]) -> Found:
        """Give those events that the journal has and can say within `PATIENCE`."""
        if not keys or self.store is None or self._trying is not None:
            return {}
        reading = asyncio.create_task(self._ask(self.store, keys))
        await asyncio.wait([reading], timeout=PATIENCE)
        if not reading.done():
            self._reads.add(reading)
            reading.add_done_callback(self._forget)
            log.error("the journal has not answered for %.1f s; webhooks wait in the log", PATIENCE)
        else:
            try:
                return reading.result()
            except JournalError as fault:
                log.error("webhooks wait in the log: %s", fault)
        _ = self.open()
        return {}

    async def _ask(self, store: Store, keys: Sequence[Key]) -> Found:
        return await store.read(partial(inbox.seen, keys=keys))

    def _forget(self, reading: "asyncio.Task[Found]") -> None:
        self._reads.discard(reading)
        if not reading.cancelled():
            reading.exception()

    async def _try(self) -> None:
        level = logging.WARNING
        while True:
            try:
                if self.store is None:
                    self.store = await self._connect()
                    self._file = self.store if isinstance(self.store, SqliteStore) else None
                    self.reached.set()
                await self.store.read(partial(inbox.seen, keys=()))
                break
            except JournalError as fault:
                log.log(level, "webhooks wait in the log: %s", fault)
                level = logging.INFO
            await self._clock.sleep(LOOK)
        self._trying = None
        self._away.set(0.0)

    async def close(self) -> None:
        """Let go of the journal."""
        if self._trying is not None:
            self._trying.cancel()
            await asyncio.wait([self._trying])
        if self.store is not None:
            await self.store.close()


class Scribe:
    """The thread that judges what is new and appends it to the log."""

    def __init__(self, to: Log, known: Known, older: Older) -> None:
        self._log = to
        self._known = known
        self._older = older
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[tuple[Sequence[Arrival], Found, asyncio.Future[list[Stored]]] | None]
        self._queue = SimpleQueue()
        self._worker = threading.Thread(target=self._serve, name="inbox-log", daemon=True)
        self._worker.start()

    async def keep(self, arrivals: Sequence[Arrival], older: Found) -> list[Stored]:
        """Append those that are new; they are on disk when this returns. Raises `JournalError`."""
        done: asyncio.Future[list[Stored]] = self._loop.create_future()
        self._queue.put((arrivals, older, done))
        return await done

    async def close(self) -> None:
        """End the thread and seal the segment."""
        self._queue.put(None)
        await asyncio.to_thread(self._worker.join)

    def _serve(self) -> None:
        while True:
            entry = self._queue.get()
            if entry is None:
                break
            stored: list[Stored] = []
            fault: Exception | None = None
            try:
                stored = self._keep(entry[0], entry[1])
            except Exception as error:
                fault = error
            self._loop.call_soon_threadsafe(_tell, entry[2], stored, fault)
        self._log.close()

    def _keep(self, arrivals: Sequence[Arrival], older: Found) -> list[Stored]:
        known = self._known
        if self._older.at_hand:
            older = self._older.look_here(known.unknown(arrivals))
        stored, fresh = known.judge(arrivals, older)
        if self._older.at_hand and _doubtful(stored):
            older = {**older, **self._older.look_here(known.conflicting(arrivals, older))}
            stored, fresh = known.judge(arrivals, older)
        records = [encode(one) for one, verdict in zip(arrivals, stored, strict=True) if verdict.new]
        if records:
            self._log.append(records)
            if self._log.replaced:
                known.moved(self._log.replaced, self._log.name)
                self._log.replaced = ""
            known.learn(self._log.name, fresh)
            known.keep_only(self._log.present)
        return stored


def _tell(done: "asyncio.Future[list[Stored]]", stored: list[Stored], fault: Exception | None) -> None:
    if done.done():
        return
    if fault is None:
        done.set_result(stored)
    else:
        done.set_exception(fault)


def _doubtful(stored: list[Stored]) -> bool:
    """Whether there are other bodies under a known id, which may be copies of each other."""
    for one in stored:  # noqa: SIM110 - compiled it is quicker
        if one.conflict_of is not None and one.new:
            return True
    return False


class LogKeeper:
    """Keeps events in the log. A copy of one that is there, or in the journal, is told the first one's id."""

    def __init__(self, to: Log, known: Known, older: Older, clock: Clock) -> None:
        self._known = known
        self._older = older
        self._clock = clock
        self._scribe = Scribe(to, known, older)

    async def keep(self, arrivals: Sequence[Arrival]) -> list[Stored]:
        """Put events on disk. Raises `JournalError` when nothing is certain."""
        with self._clock.busy():
            older: Found = {}
            if not self._older.at_hand:  # the thread is idle meanwhile: one batch goes after the other
                older = await self._older.look(self._known.unknown(arrivals))
                if others := self._known.conflicting(arrivals, older):
                    older = {**older, **await self._older.look(others)}
            return await self._scribe.keep(arrivals, older)

    async def close(self) -> None:
        """Seal the log."""
        with self._clock.busy():
            await self._scribe.close()
