"""Where events are kept: in the journal and, while a journal on a server is away, in a spool on this machine's disk."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

from mainstay.core.errors import JournalError
from mainstay.edge.inbox.counts import Counts
from mainstay.edge.inbox.gather import Uses
from mainstay.edge.inbox.settings import IntakeSettings
from mainstay.edge.inbox.spool import Spool
from mainstay.ports.clock import Clock
from mainstay.store import inbox
from mainstay.store.base import Rejected, Store, Tx
from mainstay.store.inbox import Arrival, Stored

log = logging.getLogger(__name__)

Connect = Callable[[], Awaitable[Store]]
"""Opens the journal. Raises `JournalError`."""

PATIENCE = 0.5
"""Seconds that a write may take before the spool takes over."""
LOOK = 1.0
"""Seconds between two looks at whether the journal is back."""
LOAD = 500
"""Events that go from the spool into the journal in one write."""


def put(tx: Tx, arrivals: Sequence[Arrival], uses: Uses) -> list[Stored]:
    """Write a batch of events, and when secrets were used, as one unit."""
    if uses:
        inbox.used(tx, uses.items())
    return inbox.put_many(tx, arrivals)


async def put_each(store: Store, arrivals: Sequence[Arrival], uses: Uses) -> list[Stored | None]:
    """Write a batch; when the journal will not have it, one event at a time. None for those that it will not have.

    Raises `JournalError` when the journal is not well.
    """
    try:
        return [*await store.write(partial(put, arrivals=arrivals, uses=uses))]
    except Rejected as fault:
        if len(arrivals) < 2:
            log.error("the webhook %s is not kept: %s", "".join(one.id for one in arrivals), fault)
            return [None] * len(arrivals)
    return [(await put_each(store, [arrival], {}))[0] for arrival in arrivals]


class JournalKeeper:
    """Keeps events in the journal alone: a file on this machine is there or nothing is."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def keep(self, arrivals: Sequence[Arrival], uses: Uses) -> list[Stored | None]:
        """Put events on disk; None for those that cannot be. Raises `JournalError` when nothing is certain."""
        return await put_each(self._store, arrivals, uses)


class SpoolingKeeper:
    """Keeps events in the journal, or in the spool while the journal is away.

    Until the spool is empty again everything goes through it, in all processes of the machine, so that nothing
    overtakes what was acknowledged before. An event may get into both, when nobody knows whether the journal took it:
    its id sees to it that it is one.
    """

    settings: Callable[[str], IntakeSettings]
    """Gives how a source is taken in. To be set before anything is awaited."""

    def __init__(self, connect: Connect, spool: Spool, clock: Clock, counts: Counts) -> None:
        self._counts = counts
        self._connect = connect
        self._spool = spool
        self._clock = clock
        self._store: Store | None = None
        self._uses: dict[tuple[str, str], float] = {}
        self._turn = asyncio.Lock()
        self._abandoned: set[asyncio.Future[list[Stored | None]]] = set()
        self._draining: asyncio.Task[None] | None = None
        self.drained = 0
        """Events that went from the spool into the journal since the start."""
        self._away()

    @property
    def away(self) -> bool:
        """Whether the spool stands in for the journal."""
        return self._draining is not None

    async def keep(self, arrivals: Sequence[Arrival], uses: Uses) -> list[Stored | None]:
        """Put events on disk; None for those that cannot be. Raises `JournalError` when nothing is certain."""
        if not self.away and self._store is not None and await self._is_first():
            stored = await self._try(self._store, arrivals, uses)
            if stored is not None:
                return stored
        self._away()
        self._uses |= uses
        async with self._turn:
            if self.away:
                stored = [*await self._spool.put(arrivals)]
                self._counts.spooled.add(len(arrivals))
                return stored
        return await self.keep(arrivals, uses)

    async def _is_first(self) -> bool:
        """Whether nothing waits in the spool: another process may see the journal away, or have died while it was."""
        try:
            return await self._spool.is_empty()
        except JournalError:
            return True  # while this machine's disk is broken nothing can be put there either

    async def _try(self, store: Store, arrivals: Sequence[Arrival], uses: Uses) -> list[Stored | None] | None:
        """Write to the journal; None when it refuses or takes too long. What takes too long may still be written."""
        writing = asyncio.ensure_future(put_each(store, arrivals, uses))
        await asyncio.wait([writing], timeout=PATIENCE)
        if not writing.done():
            self._abandoned.add(writing)
            writing.add_done_callback(self._forget)
            log.error("the journal has not answered for %.1f s; the spool takes over", PATIENCE)
            return None
        try:
            return writing.result()
        except JournalError as fault:
            log.error("the spool takes over: %s", fault)
            return None

    def _forget(self, writing: "asyncio.Future[list[Stored | None]]") -> None:
        self._abandoned.discard(writing)
        if not writing.cancelled():
            writing.exception()  # it was in the spool before this came out

    def _away(self) -> None:
        if self._draining is None:
            self._counts.away.set(1.0)
            self._draining = asyncio.create_task(self._drain(), name="inbox-spool")

    async def _drain(self) -> None:
        """Bring the spool's events into the journal, the oldest first, until there are none and it takes over again."""
        while True:
            try:
                while await self._load():
                    pass
                return
            except JournalError as fault:
                log.info("the spool still stands in for the journal: %s", fault)
            await self._clock.sleep(LOOK)

    async def _load(self) -> bool:
        """Bring over some events; false when everything is there and the journal takes over again."""
        if self._store is None:
            self._store = await self._connect()
        waiting = [self._told(one) for one in await self._spool.oldest(LOAD)]
        if waiting or self._uses:
            await self._bring(self._store, waiting)
            return True
        async with self._turn:
            if await self._spool.oldest(1):
                return True
            await self._spool.clear()
            self._draining = None
            self._counts.away.set(0.0)
        if self.drained:
            log.warning("the journal is back: %d webhooks went from the spool into it", self.drained)
        return False

    def _told(self, arrival: Arrival) -> Arrival:
        """Add what the configuration of today says, and the spool does not know."""
        settings = self.settings(arrival.source)
        arrival.window, arrival.state = settings.dedup, settings.first_state
        return arrival

    async def _bring(self, store: Store, waiting: list[Arrival]) -> None:
        uses, self._uses = self._uses, {}
        try:
            stored = await put_each(store, waiting, uses)
        except JournalError:
            self._uses = uses | self._uses
            raise
        gone = [arrival for arrival, one in zip(waiting, stored, strict=True) if one is not None]
        await self._spool.drop(gone)
        self.drained += len(gone)
        for arrival, one in zip(waiting, stored, strict=True):
            if one is None:
                await self._spool.set_aside(arrival, "the journal will not have it")

    async def settled(self, timeout: float) -> None:
        """Wait until the journal has taken over, `timeout` seconds at most."""
        if self._draining is not None:
            await asyncio.wait([self._draining], timeout=timeout)

    async def close(self) -> None:
        """End; what is in the spool stays there for the next start."""
        if self._draining is not None:
            self._draining.cancel()
            with suppress(asyncio.CancelledError):
                await self._draining
        if self._store is not None:
            await self._store.close()
        await self._spool.close()
