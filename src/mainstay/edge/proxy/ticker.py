"""A coarse clock for time-outs: asking the real one for every packet would cost more than the packet."""

import asyncio
from collections.abc import Callable
from typing import Final

from mainstay.edge.http.burst import Burst
from mainstay.ports.clock import Clock

TICK: Final = 0.25


class Ticker:
    """`now` is monotonic and at most `TICK` old; whoever registers is called at each tick."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.now = clock.monotonic()
        self.burst = Burst()
        """What is to be sent at the end of this round of the loop."""
        self._calls: dict[object, Callable[[float], None]] = {}
        self._task: asyncio.Task[None] | None = None

    def call(self, key: object, action: Callable[[float], None]) -> None:
        """Call `action(now)` at each tick, until `drop`."""
        self._calls[key] = action

    def drop(self, key: object) -> None:
        """Call it no more."""
        self._calls.pop(key, None)

    def tick(self) -> None:
        """Take the time anew and call everyone."""
        self.now = self.clock.monotonic()
        for action in list(self._calls.values()):
            action(self.now)

    def start(self) -> None:
        """Tick until `stop`."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Tick no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _run(self) -> None:
        while True:
            await self.clock.sleep(TICK)
            self.tick()
