"""Limits of one process."""

from collections import deque
from collections.abc import Sequence
from typing import Final

from mainstay.edge.gateway.limits.gcra import Taken, Want, judge

SHARED_BY_MANY: Final = 1024


class MemoryLimiter:
    """Buckets in a dictionary of at most `most`.

    Only buckets that are as good as new are forgotten. When all of them are in use, newcomers share one of a thousand
    buckets: they may be refused for what others did, but nobody gets a fresh bucket by crowding the old one out.
    """

    def __init__(self, most: int = 100_000) -> None:
        self._most = most
        self._tats: dict[str, int] = {}
        self._hand: deque[str] = (
            deque()
        )  # the keys of the dictionary, in the order in which they are looked at
        self._crowd = [0] * SHARED_BY_MANY
        self._crowded_until = 0

    def __len__(self) -> int:
        return len(self._tats)

    def take(self, wants: Sequence[Want], now: int) -> Taken:
        """Count a request in all of the buckets, or in none when one of them is full."""
        tats, crowded = self._tats, self._crowded_until > now
        debts = []
        for key, rule in wants:  # as `judge`, which is too slow here
            tat = self._find(key) if crowded else tats.get(key, 0)
            ahead = rule.interval + tat - now if tat > now else rule.interval
            if ahead > rule.full:
                return judge(
                    [self._find(key) if crowded else tats.get(key, 0) for key, _ in wants], wants, now
                )
            debts.append(ahead)
        for (key, rule), debt in zip(wants, debts, strict=True):
            if key in tats:
                tats[key] = now + debt
            else:
                self._put(key, now + debt, now, rule.interval)
        return Taken(debts)

    def look(self, want: Want, now: int) -> Taken:
        """Say how a request would fare, without counting it."""
        return judge(
            [self._find(want[0]) if self._crowded_until > now else self._tats.get(want[0], 0)], (want,), now
        )

    def give(self, want: Want) -> None:
        """Take back what one request was counted for."""
        key, rule = want
        if key in self._tats:
            self._tats[key] -= rule.interval

    def close(self) -> None:
        """Nothing is held."""

    def _find(self, key: str) -> int:
        """Whoever shared a bucket brings its debt along: it may all be theirs."""
        found = self._tats.get(key)
        return self._crowd[hash(key) % SHARED_BY_MANY] if found is None else found

    def _put(self, key: str, tat: int, now: int, interval: int) -> None:
        self._sweep(now)
        if len(self._tats) < self._most:
            self._tats[key] = tat
            self._hand.append(key)
            return
        place = hash(key) % SHARED_BY_MANY
        self._crowd[place] = max(self._crowd[place], now) + interval
        self._crowded_until = max(self._crowded_until, self._crowd[place])

    def _sweep(self, now: int) -> None:
        """Look at two buckets for each new one, so that forgetting keeps up and never takes long."""
        hand, tats = self._hand, self._tats
        for _ in range(min(2, len(hand))):
            key = hand.popleft()
            if tats[key] <= now:
                del tats[key]
            else:
                hand.append(key)
