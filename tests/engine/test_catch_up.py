"""The schedules of a small company for a year: time zones, clock changes and outages, each run as its rule says.

What is expected is reckoned here from the calendar alone, without the schedules' own code.
"""

from __future__ import annotations

import os
import random
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from mainstay.core.job import Job
from mainstay.core.run import RunState
from mainstay.engine.scheduler import PUNCTUAL, CatchUp, advance
from mainstay.ports.clock import FakeClock
from mainstay.store import runs, schedules
from mainstay.store.schedules import Standing
from tests.engine.colony import DAY, Colony, Work
from tests.journals import Journal, sqlite_journal

START = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
END = START + 365 * DAY
WHOLE = bool(os.environ.get("MAINSTAY_YEAR"))
"""Whether what is due every few minutes, and the engine itself, go through the whole year, too: minutes of CPU."""
AUTUMN = (datetime(2026, 10, 18, tzinfo=UTC).timestamp(), datetime(2026, 11, 3, tzinfo=UTC).timestamp())
SPRING = (datetime(2026, 3, 1, tzinfo=UTC).timestamp(), datetime(2026, 4, 5, tzinfo=UTC).timestamp())
NIGHT = (datetime(2026, 3, 28, 12, tzinfo=UTC).timestamp(), datetime(2026, 3, 29, 12, tzinfo=UTC).timestamp())
YEAR = (START, END)

JOBS: dict[str, Work] = {
    "backup_postgres": Work(at="0 2 * * *", timezone="Asia/Manila"),
    "renew_ssl": Work(at="0 1 * * *", timezone="Europe/Berlin"),
    "cleanup_temp_files": Work(at="0 3 * * *", timezone="Asia/Manila", catch_up="none"),
    "optimize_database": Work(at="0 0 * * 0", timezone="America/Sao_Paulo"),
    "security_patches": Work(at="30 3 * * *", timezone="Asia/Manila"),
    # Two of the user's own: every day is closed; a greeting that is late is none. Both at hours that change.
    "close_the_day": Work(at="30 2 * * *", timezone="America/New_York", catch_up="all"),
    "greeting": Work(at="15 2 * * *", timezone="Europe/Berlin", catch_up="none"),
}
OFTEN: dict[str, Work] = {
    "health_check": Work(at="*/5 * * * *", timezone="Europe/Berlin", catch_up="none"),
    "process_queued_jobs": Work(at="*/15 * * * *", timezone="Asia/Manila"),
}


class Told(NamedTuple):
    """A run: when it was due, when it was queued, how many earlier due times it stands for."""

    due: float
    queued: float
    missed: int


def by_the_calendar(job: Work, span: tuple[float, float] = YEAR) -> list[float]:
    """Every due time within a part of the year, by walking the calendar."""
    return [due for due in _all_year(job) if span[0] < due <= span[1]]


def _all_year(job: Work) -> list[float]:
    assert job.at is not None
    assert job.timezone is not None
    minute, hour, _, _, weekday = job.at.split()
    if minute.startswith("*/"):
        pace = int(minute[2:]) * 60
        return [START + pace * number for number in range(1, int((END - START) // pace) + 1)]
    zone, found = ZoneInfo(job.timezone), []
    day = datetime.fromtimestamp(START, zone).date() - timedelta(days=1)
    for _ in range(368):
        if weekday == "*" or (day.weekday() + 1) % 7 == int(weekday):
            found.append(moment(day.year, day.month, day.day, int(hour), int(minute), zone))
        day += timedelta(days=1)
    return [due for due in found if START < due <= END]


def moment(year: int, month: int, day: int, hour: int, minute: int, zone: ZoneInfo) -> float:
    """The first such moment of that day; in an hour that is skipped, the moment of the change."""
    due = datetime(year, month, day, hour, minute, tzinfo=zone).timestamp()
    if (there := datetime.fromtimestamp(due, zone)).hour != hour:
        return due - timedelta(minutes=there.minute).total_seconds()
    return due


def outages(seed: int, many: int) -> list[tuple[float, float]]:
    """Times without any agent, apart from each other: some short, some of days, one over each change of clocks."""
    chance = random.Random(seed)
    nights = [datetime(2026, 3, 8, 5, 1, tzinfo=UTC), datetime(2026, 3, 28, 23, 1, tzinfo=UTC)]
    nights += [datetime(2026, 10, 24, 23, 1, tzinfo=UTC), datetime(2026, 11, 1, 4, 31, tzinfo=UTC)]
    found = [(night.timestamp(), night.timestamp() + 6 * 3600 + 7) for night in nights]
    while len(found) < many:
        start = START + chance.uniform(DAY, 355 * DAY)
        end = start + chance.choice([40.0, 900.0, 7200.0, 30 * 3600.0, 9 * DAY]) * chance.uniform(0.5, 1)
        if all(end + DAY / 4 < one or other + DAY / 4 < start for one, other in found):
            found.append((start, end))
    return sorted(found)


def expected(dues: Sequence[float], rule: CatchUp, away: Sequence[tuple[float, float]]) -> list[Told]:
    """What must come of these due times."""
    starts = [start for start, _ in away]
    made, lost = [], defaultdict[float, list[float]](list)
    for due in dues:
        place = bisect_right(starts, due) - 1
        if place >= 0 and due < away[place][1]:
            lost[away[place][1]].append(due)
        else:
            made.append(Told(due, due, 0))
    for back, missed in lost.items():
        if rule == "all":
            made += [Told(due, back, 0) for due in missed]
        elif rule == "last":
            made.append(Told(missed[-1], back, len(missed) - 1))
        elif back - missed[-1] <= PUNCTUAL:
            made.append(Told(missed[-1], back, 0))
    return sorted(made)


def looked(
    job: Work, name: str, away: Sequence[tuple[float, float]], span: tuple[float, float] = YEAR
) -> Iterator[Told]:
    """What the scheduler's own judgement makes of the year: it looks when something is due, unless it is away."""
    schedule, ends = job.schedule(), list(away)
    known: Standing | None = advance(schedule, name, None, span[0], job.catch_up)[0]
    while known is not None and known.next_due is not None and known.next_due <= span[1]:
        now = known.next_due
        while ends and ends[0][1] <= now:
            ends.pop(0)
        if ends and ends[0][0] <= now:
            now = ends.pop(0)[1]
        known, passed = advance(schedule, name, known, now, job.catch_up)
        yield from (Told(due, now, missed) for due, missed in passed.owed(job.catch_up, now))


@pytest.mark.parametrize("seed", [1, 2])
def test_every_schedule_of_a_year_is_kept_or_caught_up_with_as_its_rule_says(seed: int) -> None:
    away = outages(seed, 24)
    for name, job in {**JOBS, **OFTEN}.items():
        span = AUTUMN if name in OFTEN and not WHOLE else YEAR
        within = [one for one in away if span[0] < one[0] and one[1] < span[1]]
        dues = by_the_calendar(job, span)
        assert list(looked(job, name, within, span)) == expected(dues, job.catch_up, within), name
    for name, job in JOBS.items():
        assert list(looked(job, name, [])) == [Told(due, due, 0) for due in by_the_calendar(job)], name
    assert [len(by_the_calendar(job)) for job in OFTEN.values()] == [365 * 288, 365 * 96]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return sqlite_journal(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("work", "span", "least"),
    [(JOBS, YEAR if WHOLE else SPRING, 3), (OFTEN, NIGHT, 1)],
    ids=["daily", "often"],
)
async def test_a_company_works_on_through_outages_and_changes_of_clocks(
    journal: Journal, tmp_path: Path, work: dict[str, Work], span: tuple[float, float], least: int
) -> None:
    begin, end_of_it = span
    away = [one for one in outages(3, 30) if begin < one[0] and one[1] < end_of_it]
    assert len(away) >= least
    clock = FakeClock(begin)
    jobs: dict[str, Job] = dict(work)
    colony = Colony(journal.url, clock, tmp_path, jobs, pace=DAY)
    for start, end in [*away, (end_of_it, end_of_it)]:
        agent = await colony.start()
        await clock.advance(start - clock.now())
        agent.die()
        await agent.opened.close()
        await clock.advance(end - clock.now())
    async with journal.opened(clock) as store:
        found: dict[str, Any] = {
            name: (await store.read(partial(runs.latest, job=name, limit=9999)))[::-1] for name in work
        }
        standings = {one.job: one for one in await store.read(schedules.everything)}
    for name, job in work.items():
        dues = by_the_calendar(job, (begin, end_of_it))
        wanted = expected(dues, job.catch_up, away)
        assert [(run.due_at, run.missed) for run in found[name]] == [
            (one.due, one.missed) for one in wanted
        ], name
        assert all(abs(run.created_at - one.queued) < 1 for run, one in zip(found[name], wanted, strict=True))
        assert {run.state for run in found[name]} == {RunState.DONE}
        assert standings[name].last_due == dues[-1]
    assert sorted(colony.book.finished) == sorted((name, run.due_at) for name in work for run in found[name])
    assert colony.book.overlaps == []
    await colony.close()
