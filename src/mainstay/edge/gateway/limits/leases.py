"""Limits across hosts: a process fetches a few requests at a time from the common bucket and admits them by itself.

It never admits more than one bucket would. The requests of a lease stand one interval apart on the bucket's own line of
time; each may be spent until the bucket would have been as good as new without it. Up to then it makes no difference
whether it is counted when it is fetched or when it is spent; after that it is thrown away. So idle processes hold
nothing back, and at most the size of a lease per process is held back at all.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mainstay.edge.gateway.contact import Contact
from mainstay.edge.gateway.limits.gcra import SECOND, LocalLimiter, Rule, Taken, Want
from mainstay.edge.gateway.limits.redis import Central, Grant, StoreDown
from mainstay.ports.clock import Clock

_log = logging.getLogger(__name__)

_PAUSE = SECOND
"""How long the store is left alone after it did not answer."""

_TOLD = {"local": "each process counts by itself", "open": "nothing is limited", "closed": "503 it is"}


@dataclass(slots=True)
class _Part:
    """How one bucket of a request answered."""

    debt: int
    until: int = 0  # how long what was spent may lie unspent
    refused: bool = False
    wait: int = 0
    down: bool = False


class _Lease:
    """What this process holds of one bucket."""

    __slots__ = ("blocked", "left", "returned", "rule", "size", "top", "waiting")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.left = 0
        self.top = (
            0  # the bucket's TAT when it was last heard of; the requests that are left stand right before it
        )
        self.blocked = 0  # until then it cannot have anything
        self.size = 1  # how many to fetch at a time
        self.returned: list[int] = []  # until when each may be spent that was given back
        self.waiting: deque[asyncio.Future[_Part]] = deque()

    def spend(self, now: int) -> int | None:
        """Spend one; gives the debt, or None when none is left that is still good."""
        interval = self.rule.interval
        while self.returned:
            if self.returned.pop() >= now:
                return max(0, self.top - now)
        if self.left * interval > self.top - now:
            self.left = max(0, (self.top - now) // interval)
        if not self.left:
            return None
        self.left -= 1
        return max(0, self.top - now - self.left * interval)

    def idle(self, now: int) -> bool:
        return not self.waiting and self.blocked <= now and self.top <= now


class Leases:
    """Counts in a central store. While it is down: alone (`local`), not at all (`open`), or nobody may (`closed`)."""

    def __init__(
        self,
        central: Central,
        clock: Clock,
        alone: LocalLimiter,
        *,
        when_down: Literal["local", "open", "closed"],
        largest: int,
        most: int = 100_000,
        place: str = "",
    ) -> None:
        self.contact = Contact("redis", place, clock, grave=when_down == "closed")
        self._central = central
        self._clock = clock
        self._alone = alone
        self._when_down = when_down
        self._largest = largest
        self._most = most
        self._leases: dict[str, _Lease] = {}
        self._hand: deque[str] = deque()
        self._asked: dict[str, _Lease] = {}
        self._asking: asyncio.Task[None] | None = None
        self._down_until = 0
        self.fetches = 0
        """Round trips to the store so far."""
        self.faults = 0
        """How many of them it did not answer."""

    def take(self, wants: Sequence[Want], now: int) -> Taken | asyncio.Future[Taken]:
        """Count a request in all of the buckets, or in none when one of them is full."""
        debts: list[int] = []
        for index, want in enumerate(wants):
            lease = self._lease(want, now)
            debt = lease.spend(now)
            if debt is not None:
                debts.append(debt)
                continue
            if lease.blocked > now or self._down_until > now:
                self._back(wants[:index])
                return self._refuse(wants, index, lease, now)
            self._back(wants[:index])
            return asyncio.ensure_future(self._fetched(wants, now))
        return Taken(debts)

    async def look(self) -> None:
        """See whether the store answers, so that it is known even while nobody has anything counted."""
        try:
            await self._central.ping()
        except StoreDown as fault:
            self._mourn(fault)
        else:
            self._rejoice()

    def close(self) -> None:
        """Stop asking; whoever waits is told that the store is down."""
        if self._asking is not None:
            self._asking.cancel()
        self._failed(self._asked, int(self._clock.monotonic() * SECOND))

    def _refuse(self, wants: Sequence[Want], index: int, lease: _Lease, now: int) -> Taken:
        if lease.blocked > now:
            debts = [want[1].full if at == index else 0 for at, want in enumerate(wants)]
            return Taken(debts, index, lease.blocked - now)
        return self._without(wants, now)

    def _without(self, wants: Sequence[Want], now: int) -> Taken:
        if self._when_down == "local":
            return self._alone.take(wants, now)
        if self._when_down == "open":
            return Taken([0 for _ in wants])
        return Taken([0 for _ in wants], 0, SECOND, down=True)

    def _lease(self, want: Want, now: int) -> _Lease:
        key, rule = want
        found = self._leases.get(key) or self._asked.get(key)
        if found is None:
            found = _Lease(rule)
            self._sweep(now)
            if len(self._leases) < self._most:
                self._leases[key] = found
                self._hand.append(key)
        return found

    def _sweep(self, now: int) -> None:
        for _ in range(min(2, len(self._hand))):
            key = self._hand.popleft()
            if self._leases[key].idle(now):
                del self._leases[key]
            else:
                self._hand.append(key)

    def _back(self, wants: Sequence[Want]) -> None:
        for key, _ in wants:
            if key in self._leases:
                self._leases[key].left += 1

    async def _fetched(self, wants: Sequence[Want], now: int) -> Taken:
        """Get one of each, from what is held or from the store. All or none, as ever."""
        parts = await asyncio.gather(*(self._one(want, now) for want in wants))
        debts = [part.debt for part in parts]
        refused = next((index for index, part in enumerate(parts) if part.refused), -1)
        if refused < 0:
            return Taken(debts)
        for (key, _), part in zip(wants, parts, strict=True):
            if not part.refused and key in self._leases:
                self._leases[key].returned.append(part.until)
        if parts[refused].down:
            return self._without(wants, int(self._clock.monotonic() * SECOND))
        return Taken(debts, refused, parts[refused].wait)

    async def _one(self, want: Want, now: int) -> _Part:
        lease = self._lease(want, now)
        debt = lease.spend(now)
        if debt is not None:
            return _Part(debt, now)
        waiter: asyncio.Future[_Part] = asyncio.get_running_loop().create_future()
        lease.waiting.append(waiter)
        self._asked[want[0]] = lease
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._ask())
        return await waiter

    async def _ask(self) -> None:
        """Ask for everything that is waited for in one round trip, as long as anything is."""
        while self._asked:
            asked, self._asked = self._asked, {}
            wishes = [((key, lease.rule), self._wish(lease)) for key, lease in asked.items()]
            askers = [len(lease.waiting) for lease in asked.values()]
            sent = int(self._clock.monotonic() * SECOND)
            self.fetches += 1
            try:
                grants = await self._central.fetch(wishes)
            except Exception as fault:
                self._mourn(fault)
                self._failed(asked, sent)
                continue
            self._rejoice()
            for (key, lease), grant, (_, wish), first in zip(
                asked.items(), grants, wishes, askers, strict=True
            ):
                self._hand_out(lease, grant, first, sent)
                self._settle(key, lease, grant, wish, sent)

    def _mourn(self, fault: Exception) -> None:
        """Say once what is wrong: whoever reads it learns whether limits hold."""
        why = str(fault) if isinstance(fault, StoreDown) else repr(fault)
        if self.contact.well is not False:
            _log.warning("limits cannot be counted in Redis: %s; meanwhile %s", why, _TOLD[self._when_down])
        self.contact.bad(f"{why}; meanwhile {_TOLD[self._when_down]}")

    def _rejoice(self) -> None:
        if self.contact.well is False:
            _log.info("limits are counted in Redis again")
        self.contact.good()

    def _failed(self, asked: dict[str, _Lease], sent: int) -> None:
        self.faults += 1
        self._down_until = sent + _PAUSE
        for lease in asked.values():
            for waiter in lease.waiting:
                _tell(waiter, _Part(0, refused=True, down=True))
            lease.waiting.clear()

    def _wish(self, lease: _Lease) -> int:
        """Fetch for all who wait, and some more for whoever is busy: twice as many each time they are used up."""
        burst = lease.rule.full // lease.rule.interval
        return max(1, len(lease.waiting)) + min(lease.size - 1, self._largest - 1, burst // 8)

    def _hand_out(self, lease: _Lease, grant: Grant, first: int, sent: int) -> None:
        """Give the `first`, who waited before it was asked for, theirs: they count as admitted at that moment."""
        took, interval, top = grant.took, lease.rule.interval, sent + grant.debt
        for _ in range(min(first, len(lease.waiting))):
            if not took:
                break
            took -= _tell(lease.waiting.popleft(), _Part(grant.debt - took * interval, top - took * interval))
        busy = lease.top > sent
        lease.size = min(lease.size * 2, self._largest) if busy else max(1, lease.size // 2)
        lease.left, lease.top = took, top

    def _settle(self, key: str, lease: _Lease, grant: Grant, wish: int, sent: int) -> None:
        """Whoever came meanwhile takes of what is left, is refused when there is no more, or has it asked for anew."""
        now = int(self._clock.monotonic() * SECOND)
        while lease.waiting and (debt := lease.spend(now)) is not None:
            _tell(lease.waiting.popleft(), _Part(debt, now))
        if grant.took < wish:
            lease.blocked = sent + grant.wait
            while lease.waiting:
                _tell(lease.waiting.popleft(), _Part(grant.debt, refused=True, wait=grant.wait))
        elif lease.waiting:
            self._asked[key] = lease


def _tell(waiter: asyncio.Future[_Part], part: _Part) -> bool:
    """Answer one who waits; false when they have gone."""
    if waiter.done():
        return False
    waiter.set_result(part)
    return True
