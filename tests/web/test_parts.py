"""The parts that pages are made of, without a server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.config.web import WebSettings
from mainstay.web import words
from mainstay.web.bars import (
    FAIL,
    MINUTES,
    NONE,
    OK,
    TICKS,
    UNKNOWN,
    WARN,
    Ring,
    Window,
    describe,
    draw,
    runs_of,
    tick,
)
from mainstay.web.pages.service import day
from mainstay.web.postmortem import plain
from mainstay.web.series import DRAWN, Point, drawing, nice, rank, thin
from mainstay.web.timeline import output
from mainstay.web.words import Moments


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0841, "84 ms"),
        (3.3, "3.3 s"),
        (2, "2 s"),
        (42.9, "42 s"),
        (252, "4 min 12 s"),
        (120, "2 min"),
        (22200, "6 h 10 min"),
        (273600, "3 d 4 h"),
        (-5, "0 ms"),
    ],
)
def test_spans(seconds: float, said: str) -> None:
    assert words.span(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "now"), (12, "12 s ago"), (-200, "in 3 min"), (21700, "6 h ago"), (3e6, "34 d ago")],
)
def test_ago(seconds: float, said: str) -> None:
    assert words.ago(seconds) == said


def test_figures() -> None:
    assert words.latency(0.0004) == "0.4 ms"
    assert words.latency(0.084) == "84 ms"
    assert words.latency(1.25) == "1.2 s"
    assert words.count(18204551) == "18,204,551"
    assert words.size(389_000_000) == "389 MB"
    assert [words.share(part) for part in (1.0, 0.999999, 0.9946, 0.9, None)] == [
        "100 %",
        "99.99 %",
        "99.46 %",
        "90.0 %",
        words.NONE,
    ]
    assert words.plural(1, "service") == "1 service"
    assert words.plural(2, "reply", "replies") == "2 replies"
    assert words.listed(["a"]) == "a"
    assert words.listed(["a", "b", "c"]) == "a, b and c"
    assert words.listed(["a", "b", "c", "d"]) == "a, b and 2 more"
    assert words.listed([]) == ""
    assert {words.span(None), words.latency(None), words.count(None), words.size(None)} == {words.NONE}
    assert words.sentence("no answer") == "No answer"
    assert words.sentence("https://example.com answers 502") == "https://example.com answers 502"


def test_moments_are_in_the_plans_time_zone() -> None:
    moments = Moments(1_795_000_000.0, "Asia/Manila")
    assert moments.full(1_795_000_000.0) == "Wed 18 Nov 2026, 19:06:40 PST"
    assert moments.short(1_795_000_000.0 - 60) == "19:05:40"
    assert moments.short(1_795_000_000.0 - 86400) == "Tue 17 Nov, 19:06"
    assert moments.short(1_795_000_000.0 - 400 * 86400) == "14 Oct 2025"
    assert moments.tag(None) == words.NONE
    assert moments.tag(1_795_000_000.0 - 21600) == (
        '<time datetime="2026-11-18T13:06:40+08:00" title="Wed 18 Nov 2026, 13:06:40 PST" data-ago>6 h ago</time>'
    )


# --- bars ----------------------------------------------------------------------------------------------------------


def test_a_tick_is_failing_if_it_ever_failed_and_unknown_if_it_mostly_was() -> None:
    assert tick(bytes([OK] * 15 + [FAIL])) == FAIL
    assert tick(bytes([OK] * 15 + [WARN])) == WARN
    assert tick(bytes([OK] * 15 + [UNKNOWN])) == OK
    assert tick(bytes([OK] * 8 + [UNKNOWN] * 8)) == UNKNOWN
    assert tick(bytes([UNKNOWN, NONE])) == UNKNOWN
    assert tick(bytes([NONE, NONE])) == NONE


def test_a_bar_is_a_few_lines() -> None:
    assert draw(bytes([OK] * 90), "fine").count("<path") == 1
    mixed = draw(bytes([OK] * 40 + [FAIL] * 2 + [OK] * 48), '"><script>')
    assert '<path class="ok" d="M0 11h160M168 11h192"/>' in mixed
    assert '<path class="fail" d="M160 11h8"/>' in mixed
    assert "<script>" not in mixed
    assert (
        describe(bytes([OK, FAIL, OK, UNKNOWN]), "24 h", 0.5)
        == "last 24 h, 50.0 % of answers good, failing once, partly unknown"
    )
    assert describe(bytes([OK]), "6 h", None) == "last 6 h, never failing"
    assert describe(bytes([FAIL, OK, FAIL]), "6 h", None) == "last 6 h, failing 2 times"


@given(st.binary(min_size=1, max_size=90).map(lambda raw: bytes(one % 5 for one in raw)))
def test_runs_give_the_ticks_back(ticks: bytes) -> None:
    assert b"".join(bytes([code]) * length for code, _, length in runs_of(ticks)) == ticks


@given(st.lists(st.tuples(st.integers(0, 4000), st.integers(1, 4)), max_size=60))
def test_a_ring_holds_the_last_day(puts: list[tuple[int, int]]) -> None:
    ring, kept = Ring(0), dict[int, int]()
    for minute, code in puts:
        ring.advance(minute)
        ring.put(minute, code, 1, 0)
        if minute > ring.head - MINUTES:
            kept[minute] = code
    wanted = bytes(kept.get(minute, NONE) for minute in range(ring.head - TICKS + 1, ring.head + 1))
    assert ring.last(TICKS) == wanted


def test_windows_fit_the_age_of_the_data() -> None:
    assert Window.fitting(200).label == "90 min"
    assert Window.fitting(4 * 3600).width == 4
    assert Window.fitting(1e9).label == "24 h"


def test_days() -> None:
    assert day(1000, 0, 0, 0) == OK
    assert day(1000, 0, 5, 0) == WARN
    assert day(900, 0, 100, 0) == FAIL
    assert day(900, 100, 0, 0) == WARN
    assert day(1, 0, 0, 10) == UNKNOWN
    assert day(0, 0, 0, 10) == UNKNOWN
    assert day(0, 0, 0, 0) == NONE


# --- plots ---------------------------------------------------------------------------------------------------------


def test_drawings_leave_gaps_and_show_the_worst() -> None:
    points = [Point(0, 0.1, 0.2), Point(50, None, None), Point(100, 0.1, 0.4)]
    found = drawing(points, 0, 100)
    assert found
    assert found.top == pytest.approx(0.5)
    assert found.p95 == "M0 120M1000 40"
    assert drawing([Point(0, None, None)], 0, 1) is None
    many = [Point(at, 0.1, 9.0 if at == 777 else 0.2) for at in range(2000)]
    assert len(thin(many)) <= DRAWN
    assert max(point.p95 or 0 for point in thin(many)) == 9.0


@given(st.floats(1e-6, 1e6))
def test_round_tops_are_above_and_near(value: float) -> None:
    assert value <= nice(value) * (1 + 1e-9)
    assert nice(value) <= value * 2.6


def test_ranks_are_nearest_ranks() -> None:
    assert rank([], 95) is None
    assert rank([3.0], 50) == 3.0
    assert rank(list(range(1, 101)), 95) == 95
    assert rank([1, 2, 3, 4], 50) == 2


# --- texts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kept", "shown"),
    [
        ("null", ""), ("true", ""), ("{}", ""), ('"done"', "done"), ("3", "3"), ("not json", "not json"),
        ('{"rows": 3, "name": "x"}', "rows: 3\nname: x"), ("[1, 2]", "[\n  1,\n  2\n]"),
    ],
)  # fmt: skip
def test_what_a_step_gave(kept: str, shown: str) -> None:
    assert output(kept) == shown


def test_markdown_shows_what_was_said() -> None:
    assert plain("a | b\n<script> *x* [y](z) `q`") == "a \\| b \\<script\\> \\*x\\* \\[y\\](z) \\`q\\`"


@pytest.mark.parametrize("listen", ["127.0.0.1", "localhost:99999", "a b:80", ":x", "http://x:80"])
def test_bad_addresses_are_refused(listen: str) -> None:
    with pytest.raises(ValueError, match="write it like"):
        WebSettings(listen=listen)


@pytest.mark.parametrize("url", ["status.example.com", "https://u:p@x", "ftp://x", "https://x/?y"])
def test_bad_sites_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="write it like"):
        WebSettings(url=url)


def test_good_addresses() -> None:
    assert (WebSettings(listen="[::1]:0").host, WebSettings(listen=":8420").host) == ("::1", "")
    assert WebSettings(url="https://status.example.com/").url == "https://status.example.com"
