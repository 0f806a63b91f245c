"""Group commit: whatever arrives while one write is under way goes into the next one, and is acknowledged with it."""

import asyncio
import logging
from collections.abc import Callable, Generator, Sequence
from typing import Protocol

from mainstay.core.errors import JournalError
from mainstay.edge.inbox.counts import Counts
from mainstay.ports.clock import Clock
from mainstay.store.inbox import Arrival, Stored

log = logging.getLogger(__name__)

Done = Callable[[Stored | None], None]
"""Told what became of an arrival once that is on disk; None when it could not be kept."""

LARGEST = 512
"""The most events in one write."""
HEAVIEST = 8 * 2**20
"""Bytes of bodies after which a write takes no further event."""
AROUND = 2048
"""Bytes that an event takes besides its body, about."""
QUIET = 3
"""Rounds of the event loop that bring nothing, after which a write begins: those just answered come again at once."""
LONGEST = 0.005
"""Seconds after which it begins in any case: this loop may have slow work of others to do."""
PAUSE = 1.0
"""Seconds for which nothing is taken in after a write has failed; then one batch tries again."""


class Keeper(Protocol):
    """Where events are kept."""

    async def keep(self, arrivals: Sequence[Arrival]) -> list[Stored]:
        """Put events on disk. Raises `JournalError` when nothing is certain."""
        ...


class Gather:
    """Holds what is not on disk yet: so many events and bytes at most."""

    def __init__(
        self, keeper: Keeper, clock: Clock, counts: Counts, most: int = 8192, most_bytes: int = 64 * 2**20
    ) -> None:
        self._keeper = keeper
        self._counts = counts
        self._clock = clock
        self._most = most
        self._most_bytes = most_bytes
        self._waiting: list[tuple[Arrival, Done]] = []
        self._writing = 0
        self.bytes = 0
        """Bytes that are not on disk yet, or are being received."""
        self._wake = asyncio.Event()
        self._closed_until = 0.0
        self._ending = False
        self.writes = 0
        """Writes that reached the disk."""
        self.events = 0
        """Events that reached the disk, copies among them."""
        self.trouble: str | None = None
        """Why nothing is taken in now."""
        self._task = asyncio.create_task(self._work(), name="inbox-writer")

    @property
    def unsaved(self) -> int:
        """Events that are not on disk yet."""
        return len(self._waiting) + self._writing

    def has_room(self, size: int) -> bool:
        """Whether a further event with a body of `size` bytes may be taken in now."""
        if self.trouble is not None and self._clock.monotonic() < self._closed_until:
            return False
        return not self._ending and self.unsaved < self._most and not self.is_full_of_bytes(size)

    def is_full_of_bytes(self, size: int) -> bool:
        """Whether it is for their bytes that an event of `size` has no room."""
        return self.bytes + size > self._most_bytes

    def reserve(self, size: int) -> None:
        """Count bytes that are being received; a negative size gives them back."""
        self.bytes += size

    def put(self, arrival: Arrival, done: Done) -> None:
        """Take an event in. `done` is called from the event loop, never at once."""
        self._waiting.append((arrival, done))
        self.bytes += len(arrival.body) + AROUND
        if not self._writing:
            self._wake.set()

    async def close(self) -> None:
        """Finish what was taken in, then end."""
        self._ending = True
        self._wake.set()
        await self._task

    async def _work(self) -> None:
        while not (self._ending and not self._waiting):
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
                continue
            await self._settle()
            await self._write(self._next())

    async def _settle(self) -> None:
        """Let join what is coming just now: most of what a write costs it costs once, however many events are in it."""
        before, quiet = 0, 0
        until = self._clock.monotonic() + LONGEST
        with self._clock.busy():
            while quiet < QUIET and len(self._waiting) < LARGEST and self.bytes < HEAVIEST:
                quiet = quiet + 1 if len(self._waiting) == before else 0
                before = len(self._waiting)
                await _Round()
                if self._clock.monotonic() >= until:
                    break

    def _next(self) -> list[tuple[Arrival, Done]]:
        weight, count = 0, 0
        for arrival, _ in self._waiting[:LARGEST]:
            weight += len(arrival.body)
            count += 1
            if weight > HEAVIEST:
                break
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch

    async def _write(self, batch: list[tuple[Arrival, Done]]) -> None:
        self._writing = len(batch)
        self._counts.unsaved.set(self.unsaved)
        try:
            stored = await self._keeper.keep([arrival for arrival, _ in batch])
        except JournalError as fault:
            self._refuse(batch, str(fault))
        except Exception as error:
            log.exception("an inbox batch could not be written")
            self._refuse(batch, f"{type(error).__name__} in the inbox")
        else:
            self._recover()
            self.writes += 1
            self._counts.writes.add()
            self.events += len(batch)
            self._release(batch)
            for (_, done), one in zip(batch, stored, strict=True):
                _tell(done, one)

    def _recover(self) -> None:
        if self.trouble is not None:
            log.warning("webhooks are taken in again")
            self._counts.trouble.set(0.0)
            self.trouble = None

    def _refuse(self, batch: list[tuple[Arrival, Done]], why: str) -> None:
        """Nobody knows whether the batch is on disk: say so to all of it and to those who wait behind it.

        It is never written a second time from here: the senders come again, and what was kept is known by its key.
        """
        if self.trouble is None:
            log.error("webhooks are refused with 503: %s", why)
        self.trouble = why
        self._counts.trouble.set(1.0)
        self._closed_until = self._clock.monotonic() + PAUSE
        refused = batch + self._waiting
        self._waiting = []
        self._release(refused)
        for _, done in refused:
            _tell(done, None)

    def _release(self, batch: list[tuple[Arrival, Done]]) -> None:
        self._writing = 0
        self._counts.unsaved.set(len(self._waiting))
        self.bytes -= sum(len(arrival.body) + AROUND for arrival, _ in batch)


class _Round:
    """A bare `yield`: no clock has a say in how long a round takes, nor is one of a test moved by it."""

    def __await__(self) -> Generator[None, None, None]:
        yield


def _tell(done: Done, stored: Stored | None) -> None:
    """Say what became of an arrival. A fault in one answer must not end what writes everybody's events."""
    try:
        done(stored)
    except Exception:
        log.exception("the sender of a webhook could not be told what became of it")
