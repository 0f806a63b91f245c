"""Live updates: who has a page open is told which topics of the journal have changed."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from mainstay.core.errors import JournalError
from mainstay.ports.clock import Clock
from mainstay.store.base import Store

TOPICS = (
    "results",
    "incidents",
    "runs",
    "backups",
    "outbox",
    "log",
    "certificates",
    "inbox",
    "deliveries",
    "gateway",
)
BEAT = 15.0
"""Seconds between two signs of life on a quiet stream."""
LIFE = 300.0
"""Seconds after which a stream ends, so that its reader comes back and shows that it is still logged in."""


class Listener:
    """One open stream: the topics that changed since it last looked."""

    def __init__(self) -> None:
        self._changed: set[str] = set()
        self._woken = asyncio.Event()

    def tell(self, topic: str) -> None:
        """Something changed; the empty topic only wakes."""
        if topic:
            self._changed.add(topic)
        self._woken.set()

    async def next(self, clock: Clock, timeout: float) -> set[str]:
        """Wait for a change, `timeout` seconds at most; give the topics."""
        sleeper = asyncio.ensure_future(clock.sleep(timeout))
        waiter = asyncio.ensure_future(self._woken.wait())
        try:
            await asyncio.wait({sleeper, waiter}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeper.cancel()
            waiter.cancel()
        self._woken.clear()
        changed, self._changed = self._changed, set()
        return changed


class Live:
    """Listens to the journal once for all open pages."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.clock = clock
        self.closed = False
        self._store = store
        self._listeners: set[Listener] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to listen."""
        self._tasks = [asyncio.create_task(self._listen(topic)) for topic in TOPICS]

    def end(self) -> None:
        """End every open stream."""
        self.closed = True
        for listener in self._listeners:
            listener.tell("")

    async def close(self) -> None:
        """End every open stream and stop listening."""
        self.end()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @contextmanager
    def listening(self) -> Iterator[Listener]:
        """Be told of changes inside the block."""
        listener = Listener()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    async def _listen(self, topic: str) -> None:
        seen = self._store.version(topic)
        while True:
            try:
                await self._store.wait(topic, BEAT)
            except JournalError:
                await self.clock.sleep(BEAT)  # the journal is away; pages say so themselves
                continue
            version = self._store.version(topic)
            if version != seen:
                seen = version
                for listener in self._listeners:
                    listener.tell(topic)

    async def stream(self, wanted: set[str]) -> AsyncIterator[str]:
        """Give server-sent events: `change` with the topics, and signs of life."""
        ends = self.clock.monotonic() + LIFE
        with self.listening() as listener:
            yield "retry: 2000\n\n: connected\n\n"
            while not self.closed and self.clock.monotonic() < ends:
                seen = await listener.next(self.clock, BEAT)
                if seen & wanted:
                    yield f"event: change\ndata: {','.join(sorted(seen & wanted))}\n\n"
                elif not seen:
                    yield ": beat\n\n"
