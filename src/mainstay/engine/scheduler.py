"""The scheduler: queues a run for every due time, once, whoever looks and whatever the clocks do."""

import asyncio
import itertools
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from mainstay.core.errors import JournalError
from mainstay.core.job import Job
from mainstay.core.run import Run, RunState
from mainstay.core.schedule import Schedule
from mainstay.engine.patience import rest
from mainstay.engine.queue import enqueue
from mainstay.ports.clock import Clock
from mainstay.store import runs, schedules
from mainstay.store.base import Store, Tx
from mainstay.store.schedules import Standing

CatchUp = Literal["all", "last", "none"]

logger = logging.getLogger(__name__)

COUNTED = 1000
"""Missed due times that are counted one by one; what is beyond is reckoned from their pace."""
SKEW = 60.0
"""Seconds by which the clocks of two nodes may differ without being taken for a clock that was set back."""
PUNCTUAL = 60.0
"""Seconds after its due time for which a run still counts as on time, for jobs that never catch up."""
FORGOTTEN = 3600.0
"""Seconds after which a schedule that is overdue and not configured here is forgotten."""


@dataclass(frozen=True, slots=True)
class Gap:
    """The due times since the last look: the latest of them, how many they are, and the next to come.

    `oldest` are the first `COUNTED` of them, the oldest first.
    """

    latest: float | None
    count: int
    next_due: float | None
    oldest: tuple[float, ...] = ()

    def owed(self, rule: CatchUp, now: float) -> list[tuple[float, int]]:
        """Say which due times get a run, each with the number of earlier ones that it stands for.

        `now` is the time of the look. With `all` a gap of more than `COUNTED` due times gets that many runs and one
        for the rest of them.
        """
        if self.latest is None or (rule == "none" and now - self.latest > PUNCTUAL):
            return []
        if rule != "all":
            return [(self.latest, self.count - 1 if rule == "last" else 0)]
        each = [(due, 0) for due in self.oldest]
        left = self.count - len(each)
        return [*each, (self.latest, left - 1)] if left > 0 else each

    def missed(self, rule: CatchUp, now: float) -> int:
        """Say how many due times get no run of their own."""
        return self.count - len(self.owed(rule, now))


def gap(schedule: Schedule, job: str, last_due: float, now: float) -> Gap:
    """Give what became due after `last_due` and not after `now`."""
    passed: list[float] = []
    for due in schedule.due_after(last_due, job):
        if due > now:
            return Gap(passed[-1] if passed else None, len(passed), due, tuple(passed))
        passed.append(due)
        if len(passed) == COUNTED:
            break
    else:
        return Gap(passed[-1] if passed else None, len(passed), None, tuple(passed))
    latest = _latest(schedule, job, now) or passed[-1]
    pace = (passed[-1] - passed[0]) / (COUNTED - 1)
    count = COUNTED + round((latest - passed[-1]) / pace)
    return Gap(latest, count, schedule.next_after(now, job), tuple(passed))


def _latest(schedule: Schedule, job: str, now: float) -> float | None:
    for hours in (1, 24, 31 * 24, 366 * 24, 8 * 366 * 24):
        until = itertools.takewhile(lambda due: due <= now, schedule.due_after(now - hours * 3600, job))
        if passed := list(until):
            return passed[-1]
    return None


def advance(
    schedule: Schedule, job: str, known: Standing | None, now: float, rule: CatchUp = "last"
) -> tuple[Standing, Gap]:
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
    if missed := passed.missed(rule, now):
        standing = replace(standing, missed=missed, missed_at=now)
    return standing, passed


def key(job: str, due: float) -> str:
    """Give the key of the run that is due then: `JOB@2026-01-31T02:00:00Z`."""
    at = datetime.fromtimestamp(due, UTC)
    return f"{job}@{at:%Y-%m-%dT%H:%M:%S}{f'.{at.microsecond // 1000:03}' if at.microsecond else ''}Z"


def queue_due(tx: Tx, job: str, plan: Schedule, rule: CatchUp, now: float) -> list[Run]:
    """Queue what became due of a job since the last look, as its catch-up rule says; give those runs."""
    known = schedules.get(tx, job)
    standing, passed = advance(plan, job, known, now, rule)
    if standing != known:
        schedules.put(tx, standing)
    return [
        enqueue(tx, job, key=key(job, due), due_at=due, now=now, missed=missed)
        for due, missed in passed.owed(rule, now)
    ]


def due_now(tx: Tx, job: str, plan: Schedule, rule: CatchUp, now: float) -> list[Run]:
    """Queue what is due of one job, whoever asks; give all of its runs that wait, the oldest first.

    A schedule that nobody has looked at before begins a minute ago: who asks was woken by what is due at this moment.
    """
    if schedules.get(tx, job) is None:
        schedules.put(tx, advance(plan, job, None, now - PUNCTUAL, rule)[0])
    queue_due(tx, job, plan, rule, now)
    waiting = [run for run in runs.latest(tx, job, COUNTED + 1) if run.state is RunState.QUEUED]
    return [run for run in reversed(waiting) if run.due_at <= now]


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
        jobs = self.jobs
        plans = {name: job.schedule(self._timezone) for name, job in jobs.items()}
        plans = {name: plan for name, plan in plans.items() if plan.at is not None or plan.every is not None}
        known = {standing.job: standing for standing in await self._store.read(schedules.everything)}
        ahead = {
            name: advance(plan, name, known.get(name), now, jobs[name].catch_up)[0]
            for name, plan in plans.items()
        }
        moved = {
            name: (plans[name], jobs[name].catch_up)
            for name, standing in ahead.items()
            if standing != known.get(name)
        }
        forgotten = [
            name
            for name, standing in known.items()
            if name not in plans and (standing.next_due or 0.0) < now - FORGOTTEN
        ]
        if moved or forgotten:
            await self._store.write(lambda tx: self._move(tx, moved, forgotten, now))
        return min((standing.next_due for standing in ahead.values() if standing.next_due), default=None)

    def _move(
        self, tx: Tx, moved: Mapping[str, tuple[Schedule, CatchUp]], forgotten: list[str], now: float
    ) -> None:
        for name, (plan, rule) in moved.items():
            queue_due(tx, name, plan, rule, now)
        for name in forgotten:
            schedules.drop(tx, name)
