"""Tables and words."""

from __future__ import annotations

import io
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.cli.live import amount
from mainstay.cli.output import Output
from mainstay.cli.table import Column, show, width
from mainstay.cli.words import ago, clock_time, count, latency, moment, span, zone_of

NOW = 1_780_000_000.0
MANILA = ZoneInfo("Asia/Manila")


class Narrow(Output):
    """A terminal of some columns, without colours."""

    def __init__(self, columns: int | None) -> None:
        self.text = io.StringIO()
        super().__init__(self.text, io.StringIO())
        self.unicode = True
        self.columns = columns

    @property
    def width(self) -> int | None:
        return self.columns


def drawn(rows: list[list[str]], columns: int | None = None, *titles: str) -> list[str]:
    out = Narrow(columns)
    show(out, [Column(title, wrap=index == len(rows[0]) - 1) for index, title in enumerate(titles)], rows)
    return out.text.getvalue().splitlines()


def test_columns_are_aligned_and_empty_ones_left_out() -> None:
    lines = drawn([["a", "", "one"], ["longer", "", "two"]], None, "name", "nothing", "words")
    assert lines == ["  name    words", "  a       one", "  longer  two"]


def test_long_texts_are_wrapped_on_a_terminal_and_whole_in_a_pipe() -> None:
    rows = [["a", "the quick brown fox jumps over the lazy dog and runs away"]]
    assert len(drawn(rows, None, "", "")) == 1
    lines = drawn(rows, 30, "", "")
    assert len(lines) > 1
    assert all(len(line) <= 30 for line in lines)
    assert " ".join(" ".join(lines).split()) == "a " + rows[0][1]


def noted(columns: int | None) -> list[str]:
    out = Narrow(columns)
    rows = [["a", "one", "a summary of some length"], ["b", "two", ""]]
    show(
        out,
        [Column(""), Column(""), Column("", spare=True)],
        rows,
        notes=["", "why it failed, in many words"],
    )
    return out.text.getvalue().splitlines()


def test_what_is_spare_is_cut_or_left_out_and_notes_stand_below() -> None:
    assert noted(None) == [
        "  a  one  a summary of some length",
        "  b  two",
        "     why it failed, in many words",
    ]
    assert noted(30)[0] == "  a  one  a summary of some l…"
    assert noted(25) == ["  a  one", "  b  two", "     why it failed, in", "     many words"]


def test_wide_letters_take_two_columns() -> None:
    assert (width("abc"), width("日本"), width("é"), width("é")) == (3, 4, 1, 1)
    assert drawn([["日本", "x"], ["abcd", "y"]], None, "", "") == ["  日本  x", "  abcd  y"]


@given(
    st.lists(st.tuples(st.text("ab ", max_size=20), st.text("abc def", max_size=200)), min_size=1),
    st.integers(40, 100),
)
def test_no_line_is_longer_than_the_terminal(rows: list[tuple[str, str]], columns: int) -> None:
    for line in drawn([list(row) for row in rows], columns, "one", "two"):
        assert len(line) <= columns


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "now"), (5, "5s ago"), (61, "1m ago"), (7300, "2h ago"), (200_000, "2d ago"), (-3700, "in 1h")],
)
def test_ages(seconds: float, said: str) -> None:
    assert ago(NOW - seconds, NOW) == said


def test_moments_spans_latencies_and_counts() -> None:
    assert moment(NOW, MANILA, NOW) == "29 May 04:26"
    assert moment(NOW, MANILA, NOW + 4e7) == "29 May 2026 04:26"
    assert (moment(None, MANILA), ago(None, NOW), span(None), latency(None)) == ("", "", "", "")
    assert clock_time(NOW, MANILA) == "04:26:40"
    assert (span(3723.4), span(0.25), span(59.97)) == ("1h 2m", "250ms", "1m")
    assert (latency(0.00423), latency(0.23), latency(1.84)) == ("4.2ms", "230ms", "1.8s")
    assert (count(1, "table"), count(12_345, "row")) == ("1 table", "12,345 rows")
    assert str(zone_of("Asia/Manila")) == "Asia/Manila"
    assert str(zone_of("Mars/Phobos")) == "UTC"


def test_amounts() -> None:
    assert amount(31e6, 389e6, "bytes") == "31.0 MB of 389 MB"
    assert amount(31e6, None, "bytes") == "31.0 MB"
    assert amount(3, 12, "tables") == "3 of 12 tables"
    assert amount(3, None, "") == "3"
