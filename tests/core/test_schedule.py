"""Due times: cron in a time zone, intervals without talking, clock changes."""

from datetime import datetime
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mainstay.core import ids
from mainstay.core.ids import new_id
from mainstay.core.schedule import Schedule


def stamp(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def test_cron_is_in_its_own_time_zone() -> None:
    nightly = Schedule(at="0 2 * * *", timezone="Asia/Manila")
    assert nightly.next_after(stamp("2026-11-22T12:00")) == stamp("2026-11-22T18:00")


@pytest.mark.parametrize(("year", "runs"), [(2024, 366), (2025, 365)])
def test_a_nightly_job_runs_once_a_day_in_a_zone_with_summer_time(year: int, runs: int) -> None:
    nightly = Schedule(at="30 2 * * *", timezone="America/New_York")
    start, end = (
        stamp(f"{year - 1}-12-31T12:00", "America/New_York"),
        stamp(f"{year}-12-31T12:00", "America/New_York"),
    )
    due = [moment for moment in islice(nightly.due_after(start), 400) if moment <= end]
    assert len(due) == runs
    assert (
        len({datetime.fromtimestamp(moment, ZoneInfo("America/New_York")).date() for moment in due}) == runs
    )


@given(st.floats(min_value=1e9, max_value=4e9), st.floats(min_value=0.5, max_value=1e6), st.text(max_size=8))
def test_intervals_are_even_and_strictly_later(moment: float, every: float, name: str) -> None:
    schedule = Schedule(every=every)
    first, second = islice(schedule.due_after(moment, name), 2)
    assert moment < first <= moment + every * 1.001 + 0.01
    assert second - first == pytest.approx(every, abs=0.01)
    assert schedule.next_after(first, name) == second


def test_two_nodes_agree_and_two_jobs_differ() -> None:
    schedule = Schedule(every=300.0)
    assert (
        schedule.next_after(1.7e9, "a") == schedule.next_after(1.7e9, "a") != schedule.next_after(1.7e9, "b")
    )


def test_without_a_time_nothing_is_due() -> None:
    assert Schedule().next_after(0) is None
    assert Schedule().explain() == "only when asked"


def test_schedules_are_said_in_words() -> None:
    assert Schedule(every=90.0).explain() == "every 1m 30s"
    assert Schedule(at="0 2 * * *", timezone="UTC").explain() == "At 02:00 every day (UTC)"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"at": "0 25 * * *"}, "five fields"),
        ({"at": "nightly"}, "five fields"),
        ({"at": "0 0 31 2 *"}, "Bad day-of-month"),
        ({"timezone": "Mars/Olympus"}, "time zone"),
        ({"timezone": "../etc/passwd"}, "time zone"),
    ],
)
def test_bad_schedules_are_refused_with_a_remedy(options: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Schedule.model_validate(options)


def test_identifiers_of_several_processes_sort_by_microseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, as a sender that waits for each answer meets processes that share a port."""
    processes, moments = [0, 0, 0], [1.8e9 + 2e-6 * number for number in range(300)]
    made = []
    for number, moment in enumerate(moments):
        monkeypatch.setattr(ids, "_last", processes[number % 3])
        made.append(ids.new_id(moment))
        processes[number % 3] = ids._last
    assert made == sorted(made)
    assert all(ids.first_id(moment) <= name for moment, name in zip(moments, made, strict=True))
    assert all(name < ids.first_id(moment) for moment, name in zip(moments[1:], made, strict=False))


@given(moment=st.integers(1, 2**62 - 1), chance=st.integers(0, 2**64 - 1))
def test_an_identifier_is_one_number_in_base_32(moment: int, chance: int) -> None:
    """It is put together of parts, for speed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ids, "_last", moment - 1)
        patch.setattr(ids, "_random", [chance])
        assert new_id(0.0) == ids._base32(moment << 64 | chance)


def test_identifiers_sort_by_time_even_when_the_clock_steps_back() -> None:
    made = [new_id(moment) for moment in (1000.0, 1000.0, 999.0, 1001.0, 5.0)]
    assert made == sorted(set(made))
    assert {len(identifier) for identifier in made} == {26}
