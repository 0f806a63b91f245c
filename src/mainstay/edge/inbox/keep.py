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
    """The thread that appends to the log."""

    def __init__(self, to: Log) -> None:
        self._log = to
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[tuple[Sequence[Arrival], asyncio.Future[None]] | None] = SimpleQueue()
        self._worker = threading.Thread(target=self._serve, name="inbox-log", daemon=True)
        self._worker.start()

    async def write(self, arrivals: Sequence[Arrival]) -> None:
        """Append events; they are on disk when this returns. Raises `JournalError`."""
        done: asyncio.Future[None] = self._loop.create_future()
        self._queue.put((arrivals, done))
        await done

    async def close(self) -> None:
        """End the thread and seal the segment."""
        self._queue.put(None)
        await asyncio.to_thread(self._worker.join)

    def _serve(self) -> None:
        while True:
            entry = self._queue.get()
            if entry is None:
                break
            self._loop.call_soon_threadsafe(partial(_tell, entry[1], self._append(entry[0])))
        self._log.close()

    def _append(self, arrivals: Sequence[Arrival]) -> Exception | None:
        try:
            self._log.append([encode(one) for one in arrivals])
        except Exception as fault:
            return fault
        return None


def _tell(done: "asyncio.Future[None]", fault: Exception | None) -> None:
    if done.done():
        return
    if fault is None:
        done.set_result(None)
    else:
        done.set_exception(fault)


class LogKeeper:
    """Keeps events in the log. A copy of one that is there, or in the journal, is told the first one's id."""

    def __init__(self, to: Log, known: Known, older: Older, clock: Clock) -> None:
        self._log = to
        self._known = known
        self._older = older
        self._clock = clock
        self._scribe = Scribe(to)

    async def keep(self, arrivals: Sequence[Arrival]) -> list[Stored]:
        """Put events on disk. Raises `JournalError` when nothing is certain."""
        with self._clock.busy():
            older = await self._older.look(self._known.unknown(arrivals))
            if others := self._known.conflicting(arrivals, older):
                older = {**older, **await self._older.look(others)}
            stored, fresh = self._known.judge(arrivals, older)
            new = [one for one, verdict in zip(arrivals, stored, strict=True) if verdict.new]
            if new:
                await self._scribe.write(new)
                self._known.learn(self._log.name, fresh)
                self._known.keep_only(self._log.present)
        return stored

    async def close(self) -> None:
        """Seal the log."""
        with self._clock.busy():
            await self._scribe.close()
