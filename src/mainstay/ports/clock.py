"""Time, injected everywhere, so that a year of schedules runs in seconds."""

import heapq
import itertools
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio


class Clock(Protocol):
    """Wall time, monotonic time and waiting. All in seconds."""

    def now(self) -> float:
        """Seconds since 1970; may step when the machine's clock is set."""
        ...

    def monotonic(self) -> float:
        """Seconds that never step back; for intervals, time-outs and latencies."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    def busy(self) -> AbstractContextManager[None]:
        """Mark work outside the loop (a thread, a server): a fake clock stands still meanwhile."""
        ...


class SystemClock:
    """The machine's own clocks."""

    # Not wrapped: the edge looks at them several times for each request.
    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        import asyncio  # a command that only asks what time it is starts without it

        await asyncio.sleep(max(0.0, seconds))

    @contextmanager
    def busy(self) -> Iterator[None]:
        yield


class FakeClock:
    """A clock for tests: it stands still until `advance`, then jumps from timer to timer."""

    def __init__(self, start: float = 1_780_000_000.0) -> None:
        self._now = start
        self._steps = 0.0
        self._timers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = itertools.count()
        self._busy = 0

    def now(self) -> float:
        return self._now + self._steps

    def monotonic(self) -> float:
        return self._now

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or back, as a person or NTP would; timers do not notice."""
        self._steps += seconds

    @contextmanager
    def busy(self) -> Iterator[None]:
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1

    async def sleep(self, seconds: float) -> None:
        import asyncio

        if seconds <= 0:
            await asyncio.sleep(0)
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._timers, (self._now + seconds, next(self._count), done))
        await done

    async def settle(self) -> None:
        """Let every task run until all of them wait for the clock."""
        import asyncio

        quiet = 0
        while quiet < 5:
            if self._busy:
                quiet = 0
                await asyncio.sleep(0.0005)
            else:
                quiet += 1
                await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass, waking every sleeper at its own time."""
        end = self._now + seconds
        await self.settle()
        while self._timers and self._timers[0][0] <= end:
            due, _, done = heapq.heappop(self._timers)
            if done.done():
                continue
            self._now = max(self._now, due)
            done.set_result(None)
            await self.settle()
        self._now = end
        await self.settle()
