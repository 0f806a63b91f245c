"""The scheduler: queues a run for every due time, once, whoever looks and whatever the clocks do."""

import asyncio
import itertools
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from mainstay.core.errors import JournalError
from mainstay.core.job import Job
from mainstay.core.schedule import Schedule
from mainstay.engine.patience import rest
from mainstay.engine.queue import enqueue
from mainstay.ports.clock import Clock
from mainstay.store import schedules
from mainstay.store.base import Store, Tx
from mainstay.store.schedules import Standing

logger = logging.getLogger(__name__)

COUNTED = 1000
"""Missed due times that are counted one by one; what is beyond is reckoned from their pace."""
SKEW = 60.0
"""Seconds by which the clocks of two nodes may differ without being taken for a clock that was set back."""
FORGOTTEN = 3600.0
"""Seconds after which a schedule that is overdue and not configured here is forgotten."""


@dataclass(frozen=True, slots=True)
class Gap:
    """The due times since the last look: the latest of them, how many they are, and the next to come."""

    latest: float | None
    count: int
    next_due: float | None


def gap(schedule: Schedule, job: str, last_due: float, now: float) -> Gap:
    """Give what became due after `last_due` and not after `now`."""
    passed: list[float] = []
    for due in schedule.due_after(last_due, job):
        if due > now:
            return Gap(passed[-1] if passed else None, len(passed), due)
        passed.append(due)
        if len(passed) == COUNTED:
            break
    else:
        return Gap(passed[-1] if passed else None, len(passed), None)
    latest = _latest(schedule, job, now) or passed[-1]
    pace = (passed[-1] - passed[0]) / (COUNTED - 1)
    return Gap(latest, COUNTED + round((latest - passed[-1]) / pace), schedule.next_after(now, job))


def _latest(schedule: Schedule, job: str, now: float) -> float | None:
    for hours in (1, 24, 31 * 24, 366 * 24, 8 * 366 * 24):
        until = itertools.takewhile(lambda due: due <= now, schedule.due_after(now - hours * 3600, job))
        if passed := list(until):
            return passed[-1]
    return None


def advance(schedule: Schedule, job: str, known: Standing | None, now: float) -> tuple[Standing, Gap]:
    """Say where a schedule stands now, and what became due since it was `known`.

    A schedule that is new or was changed begins now. A clock that was set back makes it go on from there; runs of
    the hours that come again are not repeated, for their keys are known.
    """
    spec = schedule.model_dump_json(exclude_none=True)
    if known is None or known.spec != spec:
        known = Standing(job, last_due=now, next_due=None, spec=spec)
    elif known.last_due > now + SKEW:
        known = replace(known, last_due=now)
    passed = gap(schedule, job, known.last_due, now)
    standing = replace(known, last_due=passed.latest or known.last_due, next_due=passed.next_due)
    if passed.count > 1:
        standing = replace(standing, missed=passed.count - 1, missed_at=now)
    return standing, passed


def key(job: str, due: float) -> str:
    """Give the key of the run that is due then: `JOB@2026-01-31T02:00:00Z`."""
    at = datetime.fromtimestamp(due, UTC)
    return f"{job}@{at:%Y-%m-%dT%H:%M:%S}{f'.{at.microsecond // 1000:03}' if at.microsecond else ''}Z"


class Scheduler:
    """Queues what is due. Any number of nodes may do so at once.

    `timezone` is that of schedules without their own. `look_every` is how soon, in seconds, a step of the wall
    clock is noticed. `jobs` may be replaced at any time; call `wake` then.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        jobs: Mapping[str, Job],
        timezone: str = "UTC",
        look_every: float = 5.0,
    ) -> None:
        self.jobs = jobs
        self._store = store
        self._clock = clock
        self._timezone = timezone
        self._look_every = look_every
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Look at once."""
        self._news.set()

    async def serve(self) -> None:
        """Queue runs as they become due, until cancelled."""
        looked = next_due = float("-inf")
        while True:
            now = self._clock.now()
            if now >= next_due or now < looked or self._news.is_set():
                self._news.clear()
                looked = now
                try:
                    next_due = await self.look() or float("inf")
                except JournalError as fault:
                    logger.warning("schedules wait for the journal: %s", fault)
                    next_due = now + 1
            looked = max(looked, self._clock.now())
            await rest(self._clock, self._news, max(0.0, min(self._look_every, next_due - self._clock.now())))

    async def look(self) -> float | None:
        """Queue what is due by now; gives the next due time of all schedules, seconds since 1970."""
        now = self._clock.now()
        plans = {name: job.schedule(self._timezone) for name, job in self.jobs.items()}
        plans = {name: plan for name, plan in plans.items() if plan.at is not None or plan.every is not None}
        known = {standing.job: standing for standing in await self._store.read(schedules.everything)}
        ahead = {name: advance(plan, name, known.get(name), now)[0] for name, plan in plans.items()}
        moved = {name: plans[name] for name, standing in ahead.items() if standing != known.get(name)}
        forgotten = [
            name
            for name, standing in known.items()
            if name not in plans and (standing.next_due or 0.0) < now - FORGOTTEN
        ]
        if moved or forgotten:
            await self._store.write(lambda tx: self._move(tx, moved, forgotten, now))
        return min((standing.next_due for standing in ahead.values() if standing.next_due), default=None)

    def _move(self, tx: Tx, moved: Mapping[str, Schedule], forgotten: list[str], now: float) -> None:
        for name, plan in moved.items():
            known = schedules.get(tx, name)
            standing, passed = advance(plan, name, known, now)
            if standing != known:
                schedules.put(tx, standing)
            if passed.latest is not None:
                enqueue(
                    tx,
                    name,
                    key=key(name, passed.latest),
                    due_at=passed.latest,
                    now=now,
                    missed=passed.count - 1,
                )
        for name in forgotten:
            schedules.drop(tx, name)
