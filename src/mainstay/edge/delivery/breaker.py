"""A target that takes nothing is left alone, and looked at again and again until it is well."""

import random
from dataclasses import dataclass
from enum import StrEnum

from mainstay.edge.delivery.settings import BreakerSettings


class State(StrEnum):
    """Whether a target gets everything, nothing, or one event to see whether it is well."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class Change:
    """The breaker changed; `lasted` is for how many seconds the target had been left alone when it closed."""

    state: State
    detail: str
    lasted: float = 0.0


class Breaker:
    """Opens after failures in a row, lets one attempt through after a pause, closes when that one is answered.

    Times are monotonic seconds, given by the caller.
    """

    def __init__(self, settings: BreakerSettings, draw: random.Random) -> None:
        self.state = State.CLOSED
        self._settings = settings
        self._draw = draw
        self._failures = 0
        self._looks = 0
        self._opened_at = 0.0
        self._until = 0.0

    def resume(self, opened_at: float) -> None:
        """Go on where another process was: the target was left alone, and is looked at now."""
        self.state, self._opened_at, self._failures = State.OPEN, opened_at, self._settings.failures

    def room(self, now: float, under_way: int, most: int) -> int:
        """Say how many attempts may begin beside those under way."""
        if self.state is State.CLOSED:
            return max(0, most - under_way)
        if under_way or now < self._until:
            return 0
        return 1

    def wait(self, now: float) -> float | None:
        """Give the seconds until the next look; None while the target gets everything."""
        return None if self.state is State.CLOSED else max(0.0, self._until - now)

    def begins(self) -> None:
        """An attempt begins; while the target is left alone, that is the one look at it."""
        if self.state is State.OPEN:
            self.state = State.HALF_OPEN

    def answered(self, now: float) -> Change | None:
        """The target gave an answer, whatever it thinks of the event."""
        self._failures = 0
        if self.state is State.CLOSED:
            return None
        self.state = State.CLOSED
        self._looks = 0
        return Change(State.CLOSED, "", now - self._opened_at)

    def failed(self, now: float, detail: str) -> Change | None:
        """The target did not answer, or said that it cannot."""
        self._failures += 1
        if self.state is State.OPEN:  # it had begun before the target was left alone
            return None
        if self.state is State.CLOSED:
            if self._failures < self._settings.failures:
                return None
            self._opened_at = now
        was, self.state = self.state, State.OPEN
        pause = min(self._settings.longest_pause, self._settings.pause * 2.0 ** min(self._looks, 30))
        self._until = now + self._draw.uniform(pause / 2, pause)
        self._looks += 1
        return Change(State.OPEN, detail) if was is State.CLOSED else None

    def open_for(self, now: float) -> float:
        """Give for how many seconds the target has been left alone; 0 when it is not."""
        return 0.0 if self.state is State.CLOSED else now - self._opened_at
