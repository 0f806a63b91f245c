"""Durations and sizes as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.core.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5),
        ("1m30s", 90),
        ("24h", 86400),
        ("7d", 604800),
        ("250ms", 0.25),
        ("1h 5m", 3900),
        (30, 30),
        (1.5, 1.5),
        ("2w", 1209600),
    ],
)
def test_durations_are_read(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "5 parsecs", "s5", "5s!", "-5s", -1, True, None, [], "1m x"])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.85, "850ms"),
        (3.3, "3.3s"),
        (59.96, "1m"),
        (60, "1m"),
        (125, "2m 5s"),
        (3600, "1h"),
        (22200, "6h 10m"),
        (280000, "3d 5h"),
        (-3, "-3s"),
    ],
)
def test_durations_are_written_short(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.floats(min_value=0, max_value=1e9))
def test_every_duration_can_be_written(seconds: float) -> None:
    assert format_duration(seconds)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("200MB", 200_000_000),
        ("4GiB", 4 << 30),
        ("10", 10),
        (7, 7),
        ("1.5k", 1500),
        ("2 TB", 2 * 10**12),
        ("1Mi", 1 << 20),
    ],
)
def test_sizes_are_read(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1", "1XB", True, None, -4])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1500, "1.5 kB"),
        (389e6, "389 MB"),
        (2.2e12, "2.2 TB"),
        (9e15, "9000.0 TB"),
    ],
)
def test_sizes_are_written_short(size: float, text: str) -> None:
    assert format_size(size) == text
