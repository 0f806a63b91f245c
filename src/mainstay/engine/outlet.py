"""Hands results on in batches, the important ones at once."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from mainstay.core.check import Result, Verdict
from mainstay.ports.clock import Clock

log = logging.getLogger(__name__)

Sink = Callable[[list[Result]], Awaitable[object]]
"""Takes a batch; when it returns, the batch is safe. It gets the same batch again when it raises."""

BATCH_EVERY = 0.2
RETRY_EVERY = 1.0
MOST_WAITING = 20_000
LAST_WORDS = 5.0


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
        except Exception:
            log.exception("%d results could not be kept; trying again", len(batch))
            self._waiting = _thinned(batch + self._waiting)
            await self._clock.sleep(RETRY_EVERY)
            self._some.set()
        except asyncio.CancelledError:
            self._waiting = batch + self._waiting
            raise


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
