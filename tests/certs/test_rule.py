"""When a certificate is due."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.certs.pem import Leaf
from mainstay.certs.rule import DAY, HOUR, Window, due, pause

NOW = 1_800_000_000.0


def leaf(lifetime: float = 90 * DAY, age: float = 0.0, names: tuple[str, ...] = ("a.test",)) -> Leaf:
    return Leaf("01", "ab" * 32, names, "An authority", NOW - age, NOW - age + lifetime)


@pytest.mark.parametrize(
    ("lifetime", "at"),
    [(90 * DAY, 60 * DAY), (47 * DAY, 47 * DAY * 2 / 3), (10 * DAY, 10 * DAY * 2 / 3), (6 * DAY, 3 * DAY)],
)
def test_without_a_suggestion_it_goes_by_the_life(lifetime: float, at: float) -> None:
    assert due(leaf(lifetime), ["a.test"], NOW).at == pytest.approx(NOW + at)


def test_what_is_not_there_or_does_not_fit_is_due_now() -> None:
    assert due(None, ["a.test"], NOW).at == NOW
    assert due(leaf(), ["a.test", "b.test"], NOW) == due(leaf(), ["b.test"], NOW)
    assert "does not cover b.test" in due(leaf(), ["a.test", "b.test"], NOW).why
    assert due(leaf(age=90 * DAY), ["a.test"], NOW).why == "it has expired"
    revoked = due(leaf(), ["a.test"], NOW, revoked="its authority gives no reason")
    assert (revoked.at, revoked.why) == (NOW, "it was revoked: its authority gives no reason")


def test_a_wildcard_covers_one_label() -> None:
    wild = leaf(names=("*.a.test",))
    assert wild.covers("www.a.test")
    assert wild.covers("*.a.test")
    assert not wild.covers("a.test")
    assert not wild.covers("x.www.a.test")
    assert not leaf(names=("www.a.test",)).covers("*.a.test")


@given(
    lifetime=st.floats(2 * DAY, 400 * DAY),
    start=st.floats(-500 * DAY, 500 * DAY),
    length=st.floats(1.0, 30 * DAY),
)
def test_a_suggestion_is_followed_within_reason(lifetime: float, start: float, length: float) -> None:
    one = leaf(lifetime)
    planned = due(one, ["a.test"], NOW, window=Window(NOW + start, NOW + start + length))
    assert planned == due(one, ["a.test"], NOW, window=Window(NOW + start, NOW + start + length))
    soonest, latest = one.not_before + min(lifetime / 8, DAY), one.not_after - lifetime / 8
    assert min(soonest, latest) - 1 <= planned.at <= latest + 1
    if soonest <= NOW + start and NOW + start + length <= latest:
        assert NOW + start - 1 <= planned.at <= NOW + start + length + 1


def test_an_empty_window_is_none() -> None:
    assert due(leaf(), ["a.test"], NOW, window=Window(NOW, NOW)) == due(leaf(), ["a.test"], NOW)


def test_moments_spread_over_the_window() -> None:
    window = Window(NOW + 30 * DAY, NOW + 32 * DAY)
    moments = [
        due(
            Leaf("01", f"{number:064x}", ("a.test",), "", NOW, NOW + 90 * DAY), ["a.test"], NOW, window=window
        ).at
        for number in range(200)
    ]
    early = sum(at < NOW + 31 * DAY for at in moments)
    assert 70 < early < 130


@given(failures=st.integers(0, 10_000), left=st.floats(-100 * DAY, 400 * DAY))
def test_pauses_grow_to_a_day_and_are_never_under_an_hour(failures: int, left: float) -> None:
    assert HOUR <= pause(failures, left) <= DAY
    assert pause(failures, left) <= pause(failures + 1, left)


def test_pauses_double() -> None:
    assert [pause(failures, 90 * DAY) / HOUR for failures in range(1, 8)] == [1, 2, 4, 8, 16, 24, 24]
    assert pause(7, 2 * DAY) == 6 * HOUR
