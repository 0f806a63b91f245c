"""One source's way to its target: how many at a time, how fast, in which order, and when not at all."""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mainstay.core import crash
from mainstay.core.incident import Severity
from mainstay.core.secret import redact
from mainstay.core.units import format_duration
from mainstay.edge.delivery import schedule
from mainstay.edge.delivery.breaker import Breaker, Change, State
from mainstay.edge.delivery.fetch import Found, Wish
from mainstay.edge.delivery.keeper import Keeper
from mainstay.edge.delivery.parcel import End, Outcome, Parcel
from mainstay.edge.delivery.settings import DeliverySettings
from mainstay.edge.delivery.targets.base import Deliver
from mainstay.ports.clock import Clock
from mainstay.store import inbox_delivery
from mainstay.store.base import Tx
from mainstay.store.inbox import DEAD, DELIVERED, QUEUED
from mainstay.store.inbox_delivery import Ending

log = logging.getLogger(__name__)

FOR_EVER = float("inf")
GRACE = 2.0
"""Seconds beyond a target's own time-out."""
TOLD_AFTER = 120.0
"""A target that has taken nothing for so long is a condition."""
MOST_UNKEPT = 4
"""So many times `concurrency` attempts may have ended without being written down: after a crash they are repeated."""


class Conditions(Protocol):
    """Where people are told; the incidents' desk is one."""

    def raise_condition(
        self,
        tx: Tx,
        key: str,
        *,
        service: str,
        severity: Severity,
        title: str,
        detail: str,
        hint: str | None = None,
    ) -> object:
        """Say that something is wrong, until it is cleared."""
        ...

    def clear_condition(self, tx: Tx, key: str, detail: str = "") -> object:
        """Say that it is fine again."""
        ...


@dataclass(frozen=True, slots=True)
class Office:
    """What all lanes share. `news` is called when there may be something to fetch."""

    clock: Clock
    keeper: Keeper
    conditions: Conditions
    news: Callable[[], None]
    draw: random.Random


def target_key(source: str) -> str:
    """Give the key of the condition of a target that takes nothing."""
    return f"target:{source}"


def letters_key(source: str) -> str:
    """Give the key of the condition of a source that has dead letters."""
    return f"dead_letters:{source}"


class Lane:
    """Brings one source's events to its target."""

    def __init__(self, name: str, settings: DeliverySettings, deliver: Deliver, office: Office) -> None:
        self.name = name
        self.settings = settings
        self.scan = True
        """Whether there may be more due than was fetched."""
        self.due_at: float | None = None
        """When the next attempt is due, in seconds since 1970."""
        self._deliver = deliver
        self._office = office
        self._clock = office.clock
        self._breaker = Breaker(settings.breaker, office.draw)
        self._busy: dict[str, Parcel] = {}  # fetched, and their ending is not written down yet
        self._keys: set[str] = set()  # the order keys of those
        self._freed: set[str] = set()  # order keys of which the next event may be fetched
        self._ready: deque[Parcel] = deque()
        self._flying: set[asyncio.Task[None]] = set()
        self._pacing: asyncio.Task[None] | None = None
        self._free_at = 0.0
        self._greeted = self._told = False
        self._letters: bool | None = None

    def resume(self, opened_at: float) -> None:
        """The target was left alone since `opened_at` (monotonic) when another process delivered."""
        self._breaker.resume(opened_at)

    # --- what the courier asks ---

    def wish(self, mono: float, now: float) -> Wish | None:
        """Say what should be fetched, None for nothing. `mono` is monotonic, `now` in seconds since 1970."""
        room, closed = self._room(mono), self._breaker.state is State.CLOSED
        if self.due_at is not None and now >= self.due_at:
            self.scan, self.due_at = True, None
        freed = sorted(self._freed)
        # The next one of an order key has waited for the one before it, not for room: that it has left behind.
        wanted = room or (len(freed) if closed else 0)
        look = None if closed else self._office.draw.random()
        if not wanted or not (self.scan or freed or look is not None):
            return None
        scan = bool(room) and (self.scan or look is not None)
        wish = Wish(self.name, wanted, list(self._busy), list(self._keys), freed, scan, look)
        self.scan = self.scan and not room
        self._freed.clear()
        return wish

    def _room(self, mono: float) -> int:
        if self._breaker.state is not State.CLOSED:
            return self._breaker.room(mono, len(self._busy), 1)
        many = self.settings.concurrency
        return max(0, min(2 * many - len(self._ready), MOST_UNKEPT * many - len(self._busy)))

    def wait(self, mono: float, now: float) -> float:
        """Give the seconds until this lane is to be looked at again; when something changes before, it calls."""
        if self._room(mono):
            return FOR_EVER if self.due_at is None else max(0.0, self.due_at - now)
        pause = self._breaker.wait(mono)
        return FOR_EVER if self._busy or not pause else pause

    def take(self, found: Found) -> None:
        """Take events that were fetched, and begin."""
        parcels = found.parcels
        if self._breaker.state is not State.CLOSED:  # it may have opened while they were fetched
            parcels = parcels[: self._breaker.room(self._clock.monotonic(), len(self._flying), 1)]
        self.scan = self.scan or found.more or len(parcels) < len(found.parcels)
        self.due_at = found.next_at
        for parcel in parcels:
            self._busy[parcel.id] = parcel
            if parcel.key is not None:
                self._keys.add(parcel.key)
            self._line_up(parcel)
        self.pump()

    def _line_up(self, parcel: Parcel) -> None:
        """Let the next one of an order key go before younger ones: behind all of them at every turn it would starve."""
        if parcel.key is not None and self._ready and parcel.id < self._ready[0].id:
            self._ready.appendleft(parcel)
        else:
            self._ready.append(parcel)

    async def drain(self) -> None:
        """Begin nothing more and wait for what is under way."""
        self._ready.clear()
        if self._pacing is not None:
            self._pacing.cancel()
        if self._flying:
            await asyncio.gather(*self._flying, return_exceptions=True)

    def stop(self) -> None:
        """Give up what is under way."""
        for task in self._flying:
            task.cancel()

    # --- attempts ---

    def pump(self) -> None:
        """Begin as many attempts as may be."""
        while self._ready:
            now = self._clock.monotonic()
            if not self._breaker.room(now, len(self._flying), self.settings.concurrency):
                return
            if self.settings.rate is not None and now < self._free_at:
                self._later(self._free_at - now)
                return
            if self.settings.rate is not None:
                self._free_at = max(now, self._free_at) + 1.0 / self.settings.rate
            self._breaker.begins()
            task = asyncio.get_running_loop().create_task(self._attempt(self._ready.popleft()))
            self._flying.add(task)
            task.add_done_callback(self._landed)

    def _later(self, seconds: float) -> None:
        if self._pacing is None:
            self._pacing = asyncio.ensure_future(self._pace(seconds))

    async def _pace(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._pacing = None
        self.pump()

    def _landed(self, task: "asyncio.Task[None]") -> None:
        self._flying.discard(task)
        if not task.cancelled():
            self.pump()

    async def _attempt(self, parcel: Parcel) -> None:
        crash.point("inbox.claimed")
        at, began = self._clock.now(), self._clock.monotonic()
        with self._clock.busy():
            outcome = await self._safely(parcel)
        if outcome.end is End.DONE:
            crash.point("inbox.sent")
        ended = self._clock.monotonic()
        change = self._judge_target(outcome, ended)
        self._keep(parcel, outcome, at, ended - began)
        if change is not None:
            self._changed(change)

    async def _safely(self, parcel: Parcel) -> Outcome:
        assert self.settings.deliver_to is not None  # noqa: S101 - a lane leads somewhere
        limit = self.settings.deliver_to.timeout
        try:
            async with asyncio.timeout(limit + GRACE):
                return await self._deliver(parcel)
        except TimeoutError:
            return Outcome(End.LATER, f"no answer within {format_duration(limit)}", sick=True)
        except Exception as fault:
            log.exception("the target of %s broke", self.name)
            return Outcome(End.LATER, redact(f"the target broke: {type(fault).__name__}: {fault}"), sick=True)

    def _judge_target(self, outcome: Outcome, now: float) -> Change | None:
        if not outcome.sick:
            if not self._greeted:
                self._greeted = True
                self._office.keeper.keep(act=self._well)
            return self._breaker.answered(now)
        change = self._breaker.failed(now, outcome.detail)
        if not self._told and self._breaker.open_for(now) >= TOLD_AFTER:
            self._told = True
            self._office.keeper.keep(act=lambda tx: self._complain(tx, outcome.detail))
        return change

    def _changed(self, change: Change) -> None:
        """Write down that the target is left alone, or that it is well and what it missed is due at once."""
        now = self._clock.now()
        since = now - change.lasted
        name, detail = self.name, change.detail
        if change.state is State.OPEN:
            log.warning("the target of %s is left alone for now: %s", name, detail)
            self._office.keeper.keep(act=lambda tx: inbox_delivery.stand(tx, name, State.OPEN, now, detail))
            self._give_back()
            return
        log.info("the target of %s takes events again", name)
        self._told = False

        def close(tx: Tx) -> None:
            inbox_delivery.stand(tx, name, State.CLOSED, now, "")
            inbox_delivery.hurry(tx, name, since, now)
            self._well(tx)

        self._office.keeper.keep(act=close, kept=self.rescan)

    def _well(self, tx: Tx) -> None:
        words = f"the target of {self.name} takes webhooks again"
        self._office.conditions.clear_condition(tx, target_key(self.name), words)

    def rescan(self) -> None:
        """There may be more due than was fetched."""
        self.scan = True
        self._office.news()

    def _give_back(self) -> None:
        """What was fetched and not begun is fetched again once the target is well."""
        self.scan = True
        while self._ready:
            self._forget(self._ready.pop())

    def _forget(self, parcel: Parcel) -> None:
        self._busy.pop(parcel.id, None)
        if parcel.key is not None:
            self._keys.discard(parcel.key)

    # --- endings ---

    def _keep(self, parcel: Parcel, outcome: Outcome, at: float, latency: float) -> None:
        ending = self._ending(parcel, outcome, at, latency)
        act = None
        if ending.state == DEAD or (ending.state == DELIVERED and self._letters is not False):
            act = self._count_letters
        self._office.keeper.keep(ending, act, lambda: self._kept(parcel, ending))

    def _ending(self, parcel: Parcel, outcome: Outcome, at: float, latency: float) -> Ending:
        now = self._clock.now()
        detail, next_at = outcome.detail, None
        state = {End.DONE: DELIVERED, End.NEVER: DEAD, End.LATER: QUEUED}[outcome.end]
        if outcome.end is End.LATER and parcel.early:
            return Ending(
                parcel.id, self.name, parcel.attempt - 1, state, at, latency, outcome.status, detail
            )
        if outcome.end is End.LATER:
            wait = schedule.pause(self.settings.retry, parcel.attempt, outcome.wish, self._office.draw)
            if wait is None:
                state, at = DEAD, now
            else:
                next_at = now + wait
        return Ending(
            parcel.id, self.name, parcel.attempt, state, at, latency, outcome.status, detail, next_at
        )

    def _kept(self, parcel: Parcel, ending: Ending) -> None:
        self._forget(parcel)
        if ending.next_at is not None:
            self.due_at = min(ending.next_at, self.due_at or ending.next_at)
        if parcel.key is not None:
            self._freed.add(parcel.key)
        few = len(self._ready) <= self.settings.concurrency // 2
        if few or parcel.key is not None or ending.next_at is not None:
            self._office.news()

    def _count_letters(self, tx: Tx) -> None:
        """Tell people of dead letters, and that there are none any more."""
        letters = inbox_delivery.dead_count(tx, self.name)
        self._letters = letters > 0
        key = letters_key(self.name)
        if not letters:
            self._office.conditions.clear_condition(tx, key, "there are no dead letters any more")
            return
        some = "1 webhook" if letters == 1 else f"{letters} webhooks"
        self._office.conditions.raise_condition(
            tx,
            key,
            service=self.name,
            severity=Severity.WARNING,
            title=f"{self.name}: webhooks could not be delivered",
            detail=f"{some} of {self.name} will not be tried again by themselves",
            hint=f"mainstay inbox list --source {self.name} --state dead, then: mainstay inbox replay",
        )

    def _complain(self, tx: Tx, detail: str) -> None:
        assert self.settings.deliver_to is not None  # noqa: S101 - a lane leads somewhere
        self._office.conditions.raise_condition(
            tx,
            target_key(self.name),
            service=self.name,
            severity=Severity.WARNING,
            title=f"{self.name}: the target takes no webhooks",
            detail=f"{self.settings.deliver_to.place()}: {detail}; webhooks are kept until it does",
            hint="look at the target; mainstay tries it again at least once a minute",
        )
