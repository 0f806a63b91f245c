"""Services that mainstay has just started get time to answer before their silence counts as a failure."""

from collections.abc import Awaitable, Callable, Iterable, Mapping

from mainstay.core.check import Result, Verdict
from mainstay.ports.clock import Clock
from mainstay.ports.services import ServiceControl
from mainstay.ports.services.base import Standing

GRACE = 15.0
"""Seconds for which a check that was not answered yet may fail without consequence."""


class Grace:
    """Stands before the sink of results and keeps back failures of what is only just starting.

    It ends for a check with its first good answer, and for a service whose process has ended it never helps: what fell
    over at once is not slow. Everything else passes at once, so nothing waits for a slow start.
    """

    def __init__(
        self,
        clock: Clock,
        controls: Mapping[str, ServiceControl],
        sink: Callable[[list[Result]], Awaitable[object]],
    ) -> None:
        self._clock = clock
        self._controls = controls
        self._sink = sink
        self._ends: dict[str, float] = {}
        self._answered: set[str] = set()

    def give(self, services: Iterable[str]) -> None:
        """Begin it for services that were started just now."""
        ends = self._clock.monotonic() + GRACE
        self._ends |= dict.fromkeys(services, ends)

    async def record(self, batch: list[Result]) -> None:
        """Hand on all results but those that are kept back."""
        kept = [result for result in batch if not await self._excused(result)]
        if kept:
            await self._sink(kept)

    async def _excused(self, result: Result) -> bool:
        ends = self._ends.get(result.service)
        if ends is None:
            return False
        if self._clock.monotonic() >= ends:
            del self._ends[result.service]
            return False
        if result.verdict is not Verdict.FAIL:
            self._answered.add(result.check)
            return False
        if result.check in self._answered:
            return False
        standing = (await self._controls[result.service].state()).state
        return standing in (Standing.RUNNING, Standing.UNKNOWN)
