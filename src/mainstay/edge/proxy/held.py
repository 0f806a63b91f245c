"""Answers that are held back: whoever floods us waits for them, instead of coming back at once with the next one."""

import logging
from collections import deque
from collections.abc import Callable

from mainstay.edge.proxy.ticker import Ticker

logger = logging.getLogger(__name__)

MOST = 4096
"""Answers that are held back at a time; further ones go out at once."""


class Held:
    """What is said later, in the order of its times."""

    def __init__(self, ticker: Ticker) -> None:
        self._ticker = ticker
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()

    def put(self, seconds: float, action: Callable[[], None]) -> None:
        """Have something done after a while; `seconds` is the same for all."""
        if not seconds or len(self._waiting) >= MOST:
            action()
        else:
            self._waiting.append((self._ticker.clock.monotonic() + seconds, action))
            self._ticker.call(self, self._look)

    def _look(self, now: float) -> None:
        while self._waiting and self._waiting[0][0] <= now:
            try:
                self._waiting.popleft()[1]()
            except Exception:
                # The clock that calls us keeps everybody's time-outs.
                logger.exception("an answer that was held back could not be given")
        if not self._waiting:
            self._ticker.drop(self)
