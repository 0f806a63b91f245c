"""The arithmetic of limits, in whole nanoseconds so that nothing is rounded in favour of a client.

A bucket is one number: the *theoretical arrival time* (TAT), at which it would be as good as new. Each admitted
request moves it on by one interval, and a request is admitted when it then lies at most `full` ahead. It follows that
in any span of S seconds no more than `burst + S / interval` are admitted. A refused request changes nothing. A bucket
whose TAT has passed is the same as none, so it may be forgotten.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from mainstay.edge.gateway.rates import LimitSettings

SECOND: Final = 1_000_000_000
_GRAIN: Final = 1000
"""Intervals are whole microseconds, rounded up: that is what Redis can count with exactly."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A limit, ready to be counted with."""

    name: str
    """What headers call it."""
    quota: int
    window: int
    """Seconds."""
    interval: int
    """Nanoseconds between two requests at the steady rate."""
    full: int
    """Nanoseconds that a bucket may be ahead: burst x interval."""
    said: tuple[bytes, bytes, str] = field(init=False, compare=False, repr=False)
    """What headers say of it: its quota, its policy, and how what is left of it begins."""

    def __post_init__(self) -> None:
        name = self.name.encode()
        policy = b'"%b";q=%d;w=%d' % (name, self.quota, self.window)
        object.__setattr__(self, "said", (b"%d" % self.quota, policy, f'"{self.name}";r='))

    @classmethod
    def of(cls, name: str, limit: LimitSettings | None) -> "Rule | None":
        """Make a rule; None when nothing is limited."""
        if limit is None or limit.rate is None:
            return None
        quota, window = limit.rate
        interval = -(-window * SECOND // (quota * _GRAIN)) * _GRAIN
        return cls(name, quota, window, interval, interval * limit.most)

    def key(self, who: str) -> str:
        """Name somebody's bucket. A rule that is changed counts anew, since its old debts were of another measure."""
        return f"{self.name}:{self.quota}/{self.window}/{self.full // self.interval}:{who}"

    def remaining(self, debt: int) -> int:
        """Give how many requests would be admitted at once by a bucket that is `debt` nanoseconds ahead."""
        return max(0, (self.full - debt) // self.interval)


Want = tuple[str, Rule]
"""A bucket's key and its rule."""


class Taken:
    """How a request fared with its limits: either each of them has counted it, or none has."""

    __slots__ = ("debts", "down", "refused", "wait")

    def __init__(self, debts: list[int], refused: int = -1, wait: int = 0, down: bool = False) -> None:
        self.debts = debts
        """By how many nanoseconds each bucket is ahead now."""
        self.refused = refused
        """Which of them refused it; -1 when all of them let it through."""
        self.wait = wait
        """Nanoseconds after which that one would admit a request."""
        self.down = down
        """It was refused because the store does not answer."""


class Limiter(Protocol):
    """Counts requests. `now` is monotonic, in nanoseconds."""

    def take(self, wants: Sequence[Want], now: int) -> "Taken | asyncio.Future[Taken]":
        """Count a request in all of the buckets, or in none when one of them is full."""
        ...

    def close(self) -> None:
        """Let go of what is held."""
        ...


class LocalLimiter(Limiter, Protocol):
    """One that always knows at once."""

    def take(self, wants: Sequence[Want], now: int) -> Taken:
        """Count a request in all of the buckets, or in none when one of them is full."""
        ...

    def look(self, want: Want, now: int) -> Taken:
        """Say how a request would fare, without counting it."""
        ...

    def give(self, want: Want) -> None:
        """Take back what one request was counted for."""
        ...


def judge(tats: Sequence[int], wants: Sequence[Want], now: int) -> Taken:
    """Judge a request by its buckets' TATs. When it is admitted the debts count it already, else they do not."""
    debts = []
    for index, (_, rule) in enumerate(wants):
        tat = tats[index]
        ahead = (tat - now if tat > now else 0) + rule.interval
        if ahead > rule.full:
            held = [max(0, tat - now) for tat in tats]
            return Taken(held, index, ahead - rule.full)
        debts.append(ahead)
    return Taken(debts)
