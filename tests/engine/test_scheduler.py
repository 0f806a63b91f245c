"""The scheduler: every due time once, whatever the clock does and whoever looks."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstay.core.job import Job, Outcome, RunContext
from mainstay.core.run import Run
from mainstay.core.schedule import Schedule
from mainstay.engine.scheduler import COUNTED, FORGOTTEN, CatchUp, Scheduler, advance, gap, key
from mainstay.ports.clock import FakeClock
from mainstay.store import runs, schedules
from mainstay.store.base import Store
from mainstay.store.schedules import Standing

BERLIN = ZoneInfo("Europe/Berlin")
DAY = 86400.0


class Tick(Job):
    """Does nothing; only its schedule matters."""

    async def run(self, run: RunContext) -> Outcome:
        return Outcome("tick")


def at(text: str, zone: ZoneInfo | None = None) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone or UTC).timestamp()


async def queued(store: Store, job: str) -> list[Run]:
    return list(reversed(await store.read(lambda tx: runs.latest(tx, job, 10_000))))


async def standing(store: Store, job: str) -> Standing:
    found = await store.read(lambda tx: schedules.get(tx, job))
    assert found is not None
    return found


@asynccontextmanager
async def serving(
    store: Store, clock: FakeClock, jobs: Mapping[str, Job], count: int = 1, look_every: float = 5.0
) -> AsyncIterator[Scheduler]:
    made = [Scheduler(store, clock, jobs, look_every=look_every) for _ in range(count)]
    tasks = [asyncio.create_task(one.serve()) for one in made]
    await clock.settle()
    yield made[0]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


# What became due, as a pure function


def test_a_gap_is_the_latest_due_time_how_many_and_the_next() -> None:
    daily = Schedule(at="0 2 * * *", timezone="UTC")
    seen = gap(daily, "job", at("2026-03-01T02:00"), at("2026-03-05T12:00"))
    assert (seen.latest, seen.count, seen.next_due) == (at("2026-03-05T02:00"), 4, at("2026-03-06T02:00"))
    assert gap(daily, "job", at("2026-03-05T02:00"), at("2026-03-05T12:00")).count == 0
    assert gap(daily, "job", at("2026-03-05T01:59"), at("2026-03-05T02:00")).count == 1


@pytest.mark.parametrize(
    "schedule",
    [Schedule(at="*/5 * * * *"), Schedule(at="30 3 * * 0"), Schedule(every=300.0), Schedule(every=0.5)],
)
def test_a_gap_of_years_is_reckoned_in_a_moment(schedule: Schedule) -> None:
    start, now = at("2026-01-01T00:00"), at("2031-01-01T00:00")
    seen = gap(schedule, "job", start, now)
    pace = (schedule.next_after(schedule.next_after(start, "job") or 0, "job") or 0) - (
        schedule.next_after(start, "job") or 0
    )
    assert seen.latest is not None
    assert seen.next_due is not None
    assert seen.latest <= now < seen.next_due
    assert schedule.next_after(seen.latest, "job") == seen.next_due
    assert seen.count == pytest.approx((now - start) / pace, rel=0.002)


@given(
    every=st.sampled_from([Schedule(every=60.0), Schedule(every=977.0), Schedule(at="7 * * * *")]),
    start=st.floats(1.78e9, 1.79e9),
    cuts=st.lists(st.floats(0, 3 * DAY), max_size=6),
)
@settings(max_examples=60, deadline=None)
def test_looking_often_or_once_counts_the_same(every: Schedule, start: float, cuts: list[float]) -> None:
    end = start + 3 * DAY
    pieces = sorted({start, end, *(start + cut for cut in cuts)})
    known: Standing | None = advance(every, "job", None, start)[0]
    count = 0
    for now in pieces[1:]:
        known, passed = advance(every, "job", known, now)
        count += passed.count
    whole = gap(every, "job", start, end)
    if whole.count < COUNTED:
        assert count == whole.count
    assert known is not None
    assert (known.last_due, known.next_due) == (whole.latest, whole.next_due)


@pytest.mark.parametrize(
    ("rule", "owed"),
    [
        ("last", [("2026-03-05T02:00", 3)]),
        ("all", [(f"2026-03-0{day}T02:00", 0) for day in (2, 3, 4, 5)]),
        ("none", []),
    ],
)
def test_what_was_missed_is_owed_as_the_rule_says(rule: CatchUp, owed: list[tuple[str, int]]) -> None:
    daily = Schedule(at="0 2 * * *", timezone="UTC")
    now = at("2026-03-05T12:00")
    seen = gap(daily, "job", at("2026-03-01T02:00"), now)
    assert seen.owed(rule, now) == [(at(due), missed) for due, missed in owed]
    assert seen.missed(rule, now) == 4 - len(owed)
    on_time = gap(daily, "job", at("2026-03-01T02:00"), at("2026-03-05T02:00") + 1)
    assert on_time.owed(rule, at("2026-03-05T02:00") + 1)[-1][0] == at("2026-03-05T02:00")


def test_catching_up_on_everything_is_no_storm() -> None:
    start, now = at("2026-01-01T00:00"), at("2026-01-03T00:00")
    seen = gap(Schedule(at="* * * * *"), "job", start, now)
    owed = seen.owed("all", now)
    assert len(owed) == COUNTED + 1
    assert (owed[0], owed[-1]) == ((start + 60, 0), (now, 2880 - COUNTED - 1))
    assert len(owed) + seen.missed("all", now) == 2880


def test_every_missed_run_needs_room_to_wait() -> None:
    with pytest.raises(ValueError, match="needs overlap: queue"):
        Tick(catch_up="all", overlap="skip")


def test_a_clock_that_was_set_back_goes_on_from_there_and_a_little_skew_is_nothing() -> None:
    hourly = Schedule(at="0 * * * *")
    known, _ = advance(hourly, "job", None, at("2026-03-05T10:00"))
    same, passed = advance(hourly, "job", known, at("2026-03-05T09:59:30"))
    assert (same, passed.count) == (known, 0)
    back, passed = advance(hourly, "job", known, at("2026-03-05T07:30"))
    assert (back.last_due, back.next_due, passed.count) == (at("2026-03-05T07:30"), at("2026-03-05T08:00"), 0)


def test_keys_name_the_job_and_the_due_time() -> None:
    assert key("backup:erp", at("2026-01-31T02:00")) == "backup:erp@2026-01-31T02:00:00Z"
    assert key("tick", at("2026-01-31T02:00") + 0.25) == "tick@2026-01-31T02:00:00.250Z"


# On both journals


async def test_each_due_time_is_queued_once_within_fifty_milliseconds(store: Store, clock: FakeClock) -> None:
    jobs = {"five": Tick(at="*/5 * * * *"), "often": Tick(every=7.5), "never": Tick()}
    async with serving(store, clock, jobs, count=2):
        await clock.advance(1800)
    five, often = await queued(store, "five"), await queued(store, "often")
    assert len(five) == 6
    assert len(often) == 240
    assert all(run.due_at % 300 == 0 for run in five)
    assert {round(later.due_at - run.due_at, 6) for run, later in itertools.pairwise(often)} == {7.5}
    assert all(0 <= run.created_at - run.due_at < 0.05 for run in five + often)
    assert all(run.missed == 0 for run in five + often)
    assert await queued(store, "never") == []


async def test_missed_runs_are_caught_up_once_and_shown(store: Store, clock: FakeClock) -> None:
    jobs = {"daily": Tick(at="0 2 * * *")}
    async with serving(store, clock, jobs, look_every=600):
        await clock.advance(2 * DAY)
    before = await queued(store, "daily")
    await clock.advance(5 * DAY)
    async with serving(store, clock, jobs):
        await clock.advance(60)
    (late,) = (await queued(store, "daily"))[len(before) :]
    row = await standing(store, "daily")
    assert late.missed == 4
    assert clock.now() - late.due_at < DAY
    assert (row.missed, row.missed_at) == (4, late.created_at)
    assert row.last_due == late.due_at


async def test_a_jump_of_a_year_is_no_storm_and_the_way_back_repeats_nothing(
    store: Store, clock: FakeClock
) -> None:
    jobs = {"minutely": Tick(at="* * * * *")}
    async with serving(store, clock, jobs):
        await clock.advance(600)
        usual = len(await queued(store, "minutely"))
        clock.step(365 * DAY)
        await clock.advance(6)
        jumped = (await queued(store, "minutely"))[usual:]
        assert len(jumped) <= 2
        assert sum(1 + run.missed for run in jumped) == pytest.approx(365 * 1440, rel=0.001)
        clock.step(-365 * DAY)
        await clock.advance(600)
    ran = [run.due_at for run in await queued(store, "minutely") if run not in jumped]
    assert len(ran) == len(set(ran))
    assert usual + 9 <= len(ran) <= usual + 11


async def test_an_hour_that_comes_again_is_not_run_again(store: Store, clock: FakeClock) -> None:
    async with serving(store, clock, {"ten": Tick(at="*/10 * * * *")}):
        await clock.advance(3600)
        clock.step(-3600)
        await clock.advance(2 * 3600)
    due = [run.due_at for run in await queued(store, "ten")]
    assert len(due) == 12
    assert {later - one for one, later in itertools.pairwise(due)} == {600.0}


@pytest.mark.parametrize(
    ("day", "hours"),
    [("2026-03-29", [3]), ("2026-10-25", [2]), ("2026-06-01", [2])],
    ids=["spring", "autumn", "summer"],
)
async def test_a_clock_change_neither_doubles_nor_loses_the_run_of_that_night(
    store: Store, clock: FakeClock, day: str, hours: list[int]
) -> None:
    clock.step(at(f"{day}T00:00", BERLIN) - timedelta(hours=5).total_seconds() - clock.now())
    async with serving(
        store, clock, look_every=300, jobs={"night": Tick(at="30 2 * * *", timezone="Europe/Berlin")}
    ):
        await clock.advance(DAY)
    assert [datetime.fromtimestamp(run.due_at, BERLIN).hour for run in await queued(store, "night")] == hours


async def test_a_changed_schedule_begins_anew_and_a_removed_one_is_forgotten(
    store: Store, clock: FakeClock
) -> None:
    async with serving(store, clock, {"job": Tick(at="0 * * * *")}) as scheduler:
        await clock.advance(3 * 3600)
        before = len(await queued(store, "job"))
        scheduler.jobs = {"job": Tick(at="30 * * * *")}
        scheduler.wake()
        await clock.settle()
        assert len(await queued(store, "job")) == before
        await clock.advance(3600)
        assert (await queued(store, "job"))[-1].due_at % 3600 == 1800
        scheduler.jobs = {"other": Tick(every=60)}
        scheduler.wake()
        await clock.advance(60)
        assert (await standing(store, "job")).job == "job"
        await clock.advance(3600 + FORGOTTEN)
    assert await store.read(lambda tx: schedules.get(tx, "job")) is None
