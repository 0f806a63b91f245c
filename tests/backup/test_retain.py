"""Which backups may go: the rules one by one, then anything that hypothesis can think of."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstay.backup.retain import LEAP, RECENT, Candidate, plan
from mainstay.backup.settings import Keep
from mainstay.store.backups import BackupState

DAY = 86400.0
NIGHT = datetime(2026, 6, 30, 2, tzinfo=UTC).timestamp()


def nights(count: int, state: BackupState = BackupState.PROVEN, until: float = NIGHT) -> list[Candidate]:
    """One backup each night, the last one just now."""
    return [Candidate(f"n{number:04}", until - number * DAY, state) for number in range(count)]


def kept(candidates: list[Candidate], keep: Keep, now: float = NIGHT, zone: str = "UTC") -> list[Candidate]:
    gone = set(plan(candidates, keep, now, zone).delete)
    return [each for each in candidates if each.id not in gone]


def test_thirty_days_and_twelve_months_of_two_years() -> None:
    left = kept(nights(730), Keep(daily=30, monthly=12))
    days = [datetime.fromtimestamp(each.taken_at, UTC).date() for each in left]
    assert days[:30] == [datetime(2026, 6, 30, tzinfo=UTC).date() - timedelta(n) for n in range(30)]
    assert [day.isoformat() for day in days[30:]] == [
        "2026-05-31", "2026-04-30", "2026-03-31", "2026-02-28", "2026-01-31", "2025-12-31",
        "2025-11-30", "2025-10-31", "2025-09-30", "2025-08-31", "2025-07-31",
    ]  # fmt: skip


def test_weeks_and_years() -> None:
    left = kept(nights(1500), Keep(daily=0, weekly=3, monthly=0, yearly=3))
    days = [datetime.fromtimestamp(each.taken_at, UTC).date().isoformat() for each in left]
    assert days == ["2026-06-30", "2026-06-29", "2026-06-28", "2026-06-21", "2025-12-31", "2024-12-31"]


def test_a_year_night_by_night_never_loses_a_month() -> None:
    """Deleting a little every night ends with the same backups as deciding once."""
    there: list[Candidate] = []
    for number in range(500):
        now = NIGHT + number * DAY
        there = kept(
            [*there, Candidate(f"n{number}", now, BackupState.PROVEN)], Keep(daily=30, monthly=12), now
        )
    months = {datetime.fromtimestamp(each.taken_at, UTC).strftime("%Y-%m") for each in there}
    assert len(months) == 12
    assert {each.taken_at for each in there} == {
        each.taken_at for each in kept(nights(500, until=now), Keep(), now)
    }


def test_what_stands_for_a_day_is_the_proven_one() -> None:
    morning = Candidate("morning", NIGHT - 10 * DAY, BackupState.PROVEN)
    noon = Candidate("noon", NIGHT - 10 * DAY + 36000, BackupState.TAKEN)
    evening = Candidate("evening", NIGHT - 10 * DAY + 72000, BackupState.FAILED)
    left = kept([*nights(3), morning, noon, evening], Keep(daily=30, monthly=0))
    assert {"morning"} == {each.id for each in left} & {"morning", "noon", "evening"}


def test_proven_once_a_week_keeps_every_day() -> None:
    there = [
        replace(each, state=BackupState.PROVEN if number % 7 == 2 else BackupState.TAKEN)
        for number, each in enumerate(nights(60))
    ]
    assert len(kept(there, Keep(daily=30, monthly=0))) == 30


def test_a_failed_one_takes_nobody_s_place_and_is_kept_for_a_week() -> None:
    there = [
        replace(each, state=BackupState.FAILED if number % 2 else BackupState.PROVEN)
        for number, each in enumerate(nights(80))
    ]
    left = kept(there, Keep(daily=30, monthly=0))
    assert sum(each.state is BackupState.PROVEN for each in left) == 30
    assert [NIGHT - each.taken_at for each in left if each.state is BackupState.FAILED] == [
        DAY,
        3 * DAY,
        5 * DAY,
    ]


@pytest.mark.parametrize("state", [BackupState.TAKEN, BackupState.FAILED])
def test_nothing_goes_while_nothing_is_proven(state: BackupState) -> None:
    made = plan(nights(100, state), Keep(daily=1, monthly=0), NIGHT)
    assert (made.delete, made.refused) == ((), "no backup is proven")


def test_the_last_proven_one_stays_whatever_its_age() -> None:
    there = [*nights(60, BackupState.TAKEN), Candidate("old", NIGHT - 300 * DAY, BackupState.PROVEN)]
    made = plan(there, Keep(daily=3, monthly=0), NIGHT)
    assert made.keep["old"] == ("last proven",)
    assert made.delete == ()  # all others are newer than the last proven


def test_several_of_one_day_stay_for_two_days() -> None:
    there = [Candidate(f"h{hour}", NIGHT - hour * 3600, BackupState.PROVEN) for hour in range(100)]
    left = kept(there, Keep(daily=7, monthly=0))
    assert len(left) == 48 + 3


def test_a_day_is_that_of_the_time_zone() -> None:
    zone = ZoneInfo("Asia/Manila")
    there = [
        Candidate(f"{day}-{hour}", datetime(2026, 5, day, hour, tzinfo=zone).timestamp(), BackupState.PROVEN)
        for day in range(1, 20)
        for hour in (1, 23)
    ]
    now = datetime(2026, 5, 20, 1, tzinfo=zone).timestamp()
    left = {each.id for each in kept(there, Keep(daily=10, monthly=0), now, "Asia/Manila")}
    assert left == {f"{day}-23" for day in range(10, 20)} | {"19-1"}


@pytest.mark.parametrize(
    ("shift", "reason"),
    [(-400 * DAY, "in the future"), (400 * DAY, "backups have stopped"), (-2 * 3600, "in the future")],
)
def test_a_wrong_clock_deletes_nothing(shift: float, reason: str) -> None:
    made = plan(nights(100), Keep(daily=3, monthly=0), NIGHT + shift)
    assert made.delete == ()
    assert reason in (made.refused or "")


def test_a_backup_from_the_future_stops_everything() -> None:
    there = [*nights(100), Candidate("future", NIGHT + 400 * DAY, BackupState.PROVEN)]
    assert "in the future" in (plan(there, Keep(daily=3, monthly=0), NIGHT).refused or "")
    assert "clock looks wrong" in (plan(there, Keep(daily=3, monthly=0), NIGHT + 400 * DAY).refused or "")


def test_nothing_to_keep() -> None:
    assert plan([], Keep(), NIGHT).delete == ()


states = st.sampled_from(list(BackupState))
candidates = st.lists(st.tuples(st.floats(0, 900 * DAY), states), max_size=80).map(
    lambda found: [Candidate(f"b{number}", NIGHT - age, state) for number, (age, state) in enumerate(found)]
)
keeps = st.builds(
    Keep,
    daily=st.integers(1, 40),
    weekly=st.integers(0, 10),
    monthly=st.integers(0, 24),
    yearly=st.integers(0, 5),
)
clocks = st.one_of(st.just(0.0), st.floats(-900 * DAY, 900 * DAY))


@given(candidates, keeps, clocks, st.sampled_from(["UTC", "Asia/Manila", "America/St_Johns"]))
@settings(max_examples=600, deadline=None)
def test_whatever_the_clock_says_the_last_proven_one_stays(
    there: list[Candidate], keep: Keep, shift: float, zone: str
) -> None:
    now = NIGHT + shift
    made = plan(there, keep, now, zone)
    gone = set(made.delete)
    assert gone.isdisjoint(made.keep)
    assert gone | made.keep.keys() == {each.id for each in there}
    proven = [each for each in there if each.state is BackupState.PROVEN]
    if proven:
        assert max(proven, key=lambda each: (each.taken_at, each.id)).id not in gone
    if gone:
        assert proven or any(each.state is BackupState.PARTIAL for each in there)
        newest = max(each.taken_at for each in there)
        assert newest - 3600 <= now <= newest + LEAP
        assert all(now - each.taken_at >= RECENT for each in there if each.id in gone)


@given(candidates, keeps)
@settings(max_examples=300, deadline=None)
def test_deciding_again_changes_nothing(there: list[Candidate], keep: Keep) -> None:
    newest = [
        Candidate("newest", NIGHT, BackupState.PROVEN),
        Candidate("before", NIGHT - DAY, BackupState.PROVEN),
    ]
    left = kept([*newest, *there], keep)
    shuffled = random.Random(1).sample(left, len(left))
    assert plan(shuffled, keep, NIGHT).delete == ()


@given(candidates, keeps)
@settings(max_examples=300, deadline=None)
def test_no_more_is_kept_than_was_asked_for(there: list[Candidate], keep: Keep) -> None:
    old = [each for each in there if NIGHT - each.taken_at > 8 * DAY]
    newest = [
        Candidate("newest", NIGHT, BackupState.PROVEN),
        Candidate("before", NIGHT - DAY, BackupState.PROVEN),
    ]
    left = kept([*newest, *old], keep)
    assert len(left) <= keep.daily + keep.weekly + keep.monthly + keep.yearly + 2


def test_the_last_few_and_what_is_young_are_kept() -> None:
    there = [*nights(40)[::10], *nights(3)]
    left = kept(sorted({each.taken_at: each for each in there}.values(), key=lambda each: -each.taken_at),
                Keep(daily=0, monthly=0, last=5))  # fmt: skip
    assert [round((NIGHT - each.taken_at) / DAY) for each in left] == [0, 1, 2, 10, 20]
    left = kept(nights(40), Keep(daily=0, monthly=0, within=20 * DAY))
    assert len(left) == 20


def test_above_its_space_the_oldest_go_first() -> None:
    there = [replace(each, bytes=10) for each in nights(40)]
    made = plan(there, Keep(daily=30, monthly=12, space=100), NIGHT)
    assert sorted(made.keep) == [f"n{number:04}" for number in range(10)]
    assert made.over == 0
    assert made.delete[0] == "n0039"


def test_space_never_costs_what_is_never_deleted() -> None:
    there = [
        replace(each, bytes=10, state=BackupState.PROVEN if number == 20 else BackupState.TAKEN)
        for number, each in enumerate(nights(40))
    ]
    made = plan(there, Keep(space=100), NIGHT)
    assert sorted(made.keep) == [
        f"n{number:04}" for number in range(21)
    ]  # the last proven one and what is newer
    assert made.over == 110


@pytest.mark.parametrize(("offset", "word"), [(400 * DAY, "ahead of"), (-400 * DAY, "behind")])
def test_a_clock_that_is_not_the_storage_s_deletes_nothing(offset: float, word: str) -> None:
    made = plan(nights(100), Keep(daily=3, monthly=0), NIGHT, offset=offset)
    assert made.delete == ()
    assert f"the storage's is 400d {word} this machine's" in (made.refused or "")
    assert plan(nights(100), Keep(daily=3, monthly=0), NIGHT, offset=60.0).delete


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        (Keep(), "30 daily, 12 monthly"),
        (Keep(last=3, within=14 * DAY, daily=0, monthly=0, yearly=7, space=5 * 10**11),
         "the last 3, everything of 14d, 7 yearly, at most 500 GB"),
    ],
)  # fmt: skip
def test_it_is_said_in_words(keep: Keep, said: str) -> None:
    assert keep.explain() == said


@given(candidates, keeps, st.integers(0, 500))
@settings(max_examples=200, deadline=None)
def test_space_only_takes_away(there: list[Candidate], keep: Keep, space: int) -> None:
    sized = [replace(each, bytes=number % 30) for number, each in enumerate(there)]
    free, tight = (plan(sized, limit, NIGHT) for limit in (keep, keep.model_copy(update={"space": space})))
    assert set(tight.keep) <= set(free.keep)
    taken = sum(each.bytes for each in sized if each.id in tight.keep)
    assert tight.refused or taken <= space + tight.over
