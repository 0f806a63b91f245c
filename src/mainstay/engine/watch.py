"""The watch: asks every check when it is due, and hands on what it may believe."""

import asyncio
import hashlib
import heapq
import itertools
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from pydantic import Field

from mainstay.core.check import Result, Verdict
from mainstay.core.plugin import Settings
from mainstay.core.units import Duration
from mainstay.engine.asker import Asker, Watched
from mainstay.engine.outlet import Nap, Outlet, Sink
from mainstay.ports.clock import Clock
from mainstay.ports.place import LocalPlace

__all__ = ["Sink", "Watch", "WatchSettings", "Watched"]

FIRST_ROUND = 5.0
"""Seconds over which the first round is spread, so that everything is known soon after a start."""
SHORTEST_NAP = 0.1
"""Questions that are due within so many seconds are asked together: at a hundred a second, waking up for each one would
cost half as much again as asking it."""
IDLE = 3600.0


class WatchSettings(Settings):
    """How checks are asked."""

    confirm_after: Duration = 0.7
    """A verdict worse than the one before is looked at again on a fresh connection, this long after the first look
    began."""
    concurrency: int = Field(default=400, ge=1)
    """At most this many questions are open at a time."""


@dataclass(slots=True, eq=False)
class _Entry:
    watched: Watched
    phase: float
    due: float
    asking: bool = False
    verdict: Verdict | None = None


class Watch:
    """Asks checks on the monotonic clock, each at its own phase of its interval, so that load is even.

    `serve` runs for ever and hands batches to `sink`: within 0.2 seconds, at once when a result is not ok or differs
    from the one before. `once` asks without a sink. Idle checks cost nothing but a place in a heap.
    """

    def __init__(
        self,
        clock: Clock,
        place: LocalPlace,
        watched: Iterable[Watched] = (),
        sink: Sink | None = None,
        settings: WatchSettings | None = None,
    ) -> None:
        settings = settings or WatchSettings()
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._heap: list[tuple[float, int, _Entry]] = []
        self._order = itertools.count()
        self._nap = Nap(clock)
        self._outlet = Outlet(clock, sink) if sink is not None else None
        self._asker = Asker(
            clock,
            place,
            confirm_after=settings.confirm_after,
            concurrency=settings.concurrency,
            all_watched=lambda: (entry.watched for entry in self._entries.values()),
        )
        self.replace(watched)

    def replace(self, watched: Iterable[Watched]) -> None:
        """Watch these from now on. Checks that did not change keep their rhythm; answers of dropped ones are lost."""
        old, self._entries = self._entries, {}
        for each in watched:
            kept = old.get(each.id)
            if kept is not None and kept.watched == each:
                self._entries[each.id] = kept
            else:
                self._entries[each.id] = self._schedule(self._entry(each))
        self._nap.wake()

    async def serve(self) -> None:
        """Ask and hand on until cancelled."""
        if self._outlet is None:
            raise ValueError("a watch that serves needs a sink")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._outlet.serve())
            while True:
                self._start_due(tasks)
                wait = self._heap[0][0] - self._clock.monotonic() if self._heap else IDLE
                await self._nap.sleep(max(wait, SHORTEST_NAP))

    async def once(self, only: Collection[str] | None = None) -> list[Result]:
        """Ask all checks, or those with the ids `only`, now; bad answers are looked at twice. Tells no sink."""
        entries = [entry for name, entry in self._entries.items() if only is None or name in only]
        asked = (self._asker.ask(entry.watched, entry.verdict, lambda result: None) for entry in entries)
        return list(await asyncio.gather(*asked))

    def _start_due(self, tasks: asyncio.TaskGroup) -> None:
        now = self._clock.monotonic()
        while self._heap and self._heap[0][0] <= now:
            entry = heapq.heappop(self._heap)[2]
            if self._entries.get(entry.watched.id) is not entry:
                continue
            if not entry.asking:
                entry.asking = True
                tasks.create_task(self._attend(entry))
            entry.due = _next_due(entry.watched.check.every, entry.phase, now)
            self._schedule(entry)

    async def _attend(self, entry: _Entry) -> None:
        try:
            await self._asker.ask(entry.watched, entry.verdict, lambda result: self._take(entry, result))
        finally:
            entry.asking = False

    def _take(self, entry: _Entry, result: Result) -> None:
        if self._entries.get(entry.watched.id) is not entry or self._outlet is None:
            return
        changed = result.verdict is not entry.verdict
        entry.verdict = result.verdict
        self._outlet.put(result, urgent=changed or result.verdict is not Verdict.OK)

    def _schedule(self, entry: _Entry) -> _Entry:
        heapq.heappush(self._heap, (entry.due, next(self._order), entry))
        return entry

    def _entry(self, watched: Watched) -> _Entry:
        phase = _phase(watched.id)
        return _Entry(watched, phase, self._clock.monotonic() + phase * min(watched.check.every, FIRST_ROUND))


def _phase(id: str) -> float:
    """Give a number from 0 to 1 that is the same for an id in every process."""
    return int.from_bytes(hashlib.sha256(id.encode()).digest()[:4], "big") / 2**32


def _next_due(every: float, phase: float, now: float) -> float:
    """Give the next moment of a check's own rhythm, at least half an interval away."""
    every = max(every, SHORTEST_NAP)
    offset = phase * every
    turns = int((now + every / 2 - offset) // every) + 1
    return offset + turns * every
