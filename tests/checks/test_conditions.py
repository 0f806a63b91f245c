"""Conditions on values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.checks.conditions import MISSING, find, parse_condition, show


@pytest.mark.parametrize(
    ("written", "value", "holds"),
    [
        ("ok", "ok", True),
        ("ok", "OK", False),
        (5, 5, True),
        (5, 5.0, True),
        (5, "5", False),
        ("5", 5, False),
        ("= 5", 5, True),
        ("= five", "five", True),
        ('= "5"', "5", True),
        (True, True, True),
        (True, 1, False),
        (1, True, False),
        (None, None, True),
        (None, MISSING, False),
        ("!= null", None, False),
        ("!= null", MISSING, True),
        ("!= dead", "alive", True),
        ("> 5", 6, True),
        (">5", 5, False),
        (">= 5", 5, True),
        ("< 0.5", 0.4, True),
        ("<= 0.5", "0.5", True),
        ("> 5", "many", False),
        ("> 5", None, False),
        ("> 0", True, False),
        ("> 5", MISSING, False),
        ("~ ^2\\.", "2.1", True),
        ("~ ^2\\.", "12.1", False),
        ("~ 7", 17, True),
        ("~ a", ["a"], True),
        ("~ .", MISSING, False),
        ("", "", True),
        ("x > 5", "x > 5", True),
    ],
)
def test_what_holds(written: Any, value: Any, holds: bool) -> None:
    assert parse_condition(written).holds(value) is holds


@pytest.mark.parametrize("written", ["> many", "< null", "~ (", ["a"], {"a": 1}, "> true"])
def test_what_is_no_condition(written: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_condition(written)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists), st.text(max_size=20))
def test_any_text_is_a_condition_or_a_complaint_and_never_breaks(value: Any, written: str) -> None:
    try:
        condition = parse_condition(written)
    except ValueError:
        return
    assert condition.holds(value) in (True, False)
    assert str(condition)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a.b", [1, {"c": 2}]),
        ("a.b.0", 1),
        ("a.b.1.c", 2),
        ("a.b.-1.c", 2),
        ("a.b.2", MISSING),
        ("a.b.x", MISSING),
        ("a.b.0.c", MISSING),
        ("z", MISSING),
        ("", {"a": {"b": [1, {"c": 2}]}}),
    ],
)
def test_paths(path: str, found: Any) -> None:
    assert find({"a": {"b": [1, {"c": 2}]}}, path) == found


def test_long_values_are_shown_shortly() -> None:
    assert len(show("x" * 1000)) == 80
    assert show(MISSING) == "missing"
    assert show({"é": 1}) == '{"é": 1}'
