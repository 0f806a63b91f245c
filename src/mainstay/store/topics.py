"""Who waits for which topic in this process."""

import asyncio
from collections.abc import Iterable

from mainstay.ports.clock import Clock


class Topics:
    """Numbers that grow with every signal seen, and those who wait for them. Used from the event loop only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._versions: dict[str, int] = {}
        self._seen: dict[str, int] = {}
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    def version(self, topic: str) -> int:
        return self._versions.setdefault(topic, 0)

    def bump(self, topic: str) -> None:
        """A signal has come: wake everybody who waits for it."""
        self._versions[topic] = self.version(topic) + 1
        for waiting in self._waiting.pop(topic, ()):
            if not waiting.done():
                waiting.set_result(None)

    def known(self, numbers: Iterable[tuple[str, int]]) -> None:
        """Take the journal's own numbers as the start: nothing of before counts as a signal."""
        self._seen.update(numbers)

    def saw(self, numbers: Iterable[tuple[str, int]]) -> None:
        """Compare with the journal's own numbers; a topic whose number grew is bumped once."""
        for topic, number in numbers:
            if number > self._seen.get(topic, 0):
                self._seen[topic] = number
                self.bump(topic)

    def anew(self) -> None:
        """It is another journal from here on, with numbers of its own: wake everybody."""
        self._seen.clear()
        self.bump_all()

    def bump_all(self) -> None:
        """Signals may have been missed: wake everybody."""
        for topic in list(self._versions):
            self.bump(topic)

    async def wait(self, topic: str, timeout: float, seen: int) -> bool:
        """Wait until the version differs from `seen`, at most `timeout` seconds of the injected clock."""
        if self.version(topic) != seen:
            return True
        woken = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(topic, set()).add(woken)
        sleeper = asyncio.ensure_future(self._clock.sleep(timeout))
        try:
            await asyncio.wait({woken, sleeper}, return_when=asyncio.FIRST_COMPLETED)
            return woken.done()
        finally:
            sleeper.cancel()
            self._waiting.get(topic, set()).discard(woken)
