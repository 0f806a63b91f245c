"""Hands results on in batches, the important ones at once."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from mainstay.core.check import Result, Verdict
from mainstay.core.errors import JournalError
from mainstay.ports.clock import Clock

log = logging.getLogger(__name__)

Sink = Callable[[list[Result]], Awaitable[object]]
"""Takes a batch; when it returns, the batch is safe. It gets the same batch again when it raises."""

BATCH_EVERY = 0.2
RETRY_EVERY = 1.0
MOST_WAITING = 20_000
LAST_WORDS = 5.0
SIFT_AFTER = 5
"""Failures in a row after which results are handed on one by one: a single one must not hold back all the others."""
HOPELESS = 20
"""So many in a row that fail one by one show that it is the sink, not the results."""
REFUSALS = 3


class Nap:
    """A sleep on the injected clock that can be cut short."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sleeper: asyncio.Task[None] | None = None
        self._woken = False

    def wake(self) -> None:
        """End the sleep, or the next one when nobody sleeps."""
        self._woken = True
        if self._sleeper is not None:
            self._sleeper.cancel()

    async def sleep(self, seconds: float) -> None:
        """Wait, at most this long."""
        if not self._woken:
            self._sleeper = asyncio.ensure_future(self._sleep(seconds))
            try:
                await asyncio.wait({self._sleeper})
            finally:
                self._sleeper.cancel()
                self._sleeper = None
        self._woken = False

    async def _sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)


class Outlet:
    """Collects results for `BATCH_EVERY` seconds, or not at all when one of them is urgent.

    While the sink cannot take them they wait, at most `MOST_WAITING`; then good news are dropped first.
    """

    def __init__(self, clock: Clock, sink: Sink) -> None:
        self._clock = clock
        self._sink = sink
        self._waiting: list[Result] = []
        self._some = asyncio.Event()
        self._nap = Nap(clock)
        self._failures = 0
        self._refusals: dict[tuple[str, float], int] = {}

    def put(self, result: Result, *, urgent: bool) -> None:
        """Take one result; never blocks."""
        self._waiting.append(result)
        self._some.set()
        if urgent:
            self._nap.wake()

    async def serve(self) -> None:
        """Hand on until cancelled, then hand on the rest."""
        try:
            while True:
                await self._some.wait()
                await self._nap.sleep(BATCH_EVERY)
                await self._deliver()
        finally:
            if self._waiting:
                async with asyncio.timeout(LAST_WORDS):
                    await self._deliver()

    async def _deliver(self) -> None:
        batch, self._waiting = self._waiting, []
        self._some.clear()
        try:
            await self._sink(batch)
            self._failures = 0
        except Exception as fault:
            self._failures += 1
            # What is wrong with the journal is known; a fault of our own has to be found.
            unknown = None if isinstance(fault, JournalError) else fault
            log.warning("%d results cannot be kept yet: %s", len(batch), fault, exc_info=unknown)
            if self._failures >= SIFT_AFTER:
                batch = await self._sift(batch)
            self._waiting = _thinned(batch + self._waiting)
            await self._clock.sleep(RETRY_EVERY)
            self._some.set()
        except asyncio.CancelledError:
            self._waiting = batch + self._waiting
            raise

    async def _sift(self, batch: list[Result]) -> list[Result]:
        """Hand on one by one; give those to be tried again, in order: what follows on a refused one waits for it.

        One that was refused `REFUSALS` times while others were taken is at fault itself, and dropped.
        """
        refused: dict[str, tuple[Result, str]] = {}
        taken: list[Result] = []
        for result in batch:
            if result.check in refused:
                continue
            try:
                await self._sink([result])
                taken.append(result)
            except Exception as fault:
                refused[result.check] = (result, f"{type(fault).__name__}: {fault}")
            if len(refused) == HOPELESS and not taken:
                break
        if not taken:
            return batch
        spent = [result for result, why in refused.values() if self._spent(result, why)]
        done = {id(result) for result in taken + spent}
        return [result for result in batch if id(result) not in done]

    def _spent(self, result: Result, why: str) -> bool:
        """Note that a result was refused; true when that was once too often."""
        count = self._refusals.pop((result.check, result.at), 0) + 1
        if count < REFUSALS:
            self._refusals[result.check, result.at] = count
            return False
        log.error("an answer of %s cannot be kept and is dropped: %s", result.check, why)
        return True


def _thinned(results: list[Result]) -> list[Result]:
    """Drop the oldest results, good ones first, until they are few enough."""
    spare = len(results) - MOST_WAITING
    for worthless in (Verdict.OK, None):
        if spare <= 0:
            break
        kept = []
        for result in results:
            if spare > 0 and worthless in (result.verdict, None):
                spare -= 1
            else:
                kept.append(result)
        results = kept
    return results
