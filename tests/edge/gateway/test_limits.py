"""Limits of one process and of one host: exact against a reference that counts, and never over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mainstay.edge.gateway.limits import MemoryLimiter, Rule, SharedLimiter
from mainstay.edge.gateway.limits.gcra import SECOND, LocalLimiter
from tests.edge.gateway.ledger import burst, may, over, rule
from tests.helpers import ROOT, bare_environment

CHECKS = int(os.environ.get("MAINSTAY_CHECKS", "20000"))
PROCESSES = 4
Make = Callable[..., LocalLimiter]


@pytest.fixture(params=["memory", "shared"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    if request.param == "memory":
        return MemoryLimiter
    made = iter(range(10**6))
    return lambda most=100_000: SharedLimiter(tmp_path / f"limits{next(made)}", most)


def test_as_many_as_the_burst_come_at_once_and_then_one_per_interval(make: Make) -> None:
    limiter, ten = make(), rule("10/s")
    assert [limiter.take([("a", ten)], 5).refused for _ in range(13)] == [-1] * 10 + [0] * 3
    refused = limiter.take([("a", ten)], 5)
    assert refused.wait == ten.interval
    assert limiter.take([("a", ten)], 5 + refused.wait - 1).refused == 0
    assert limiter.take([("a", ten)], 5 + refused.wait).refused == -1


def test_a_refused_request_is_not_counted(make: Make) -> None:
    limiter, one = make(), rule("1/s")
    for now in range(0, 10 * SECOND, SECOND // 10):
        assert (limiter.take([("a", one)], now).refused < 0) == (now % SECOND == 0)


def test_all_of_the_buckets_count_or_none(make: Make) -> None:
    limiter, wide, tight = make(), rule("10/s", name="plan"), rule("1/s", name="route")
    wants = [("a", wide), ("b", tight)]
    assert limiter.take(wants, 0).refused == -1
    for _ in range(50):
        assert limiter.take(wants, 0).refused == 1
    assert wide.remaining(limiter.look(("a", wide), 0).debts[0] - wide.interval) == 9


def test_remaining_and_debt_are_told(make: Make) -> None:
    limiter, five = make(), rule("5/s")
    assert [five.remaining(limiter.take([("a", five)], 0).debts[0]) for _ in range(6)] == [4, 3, 2, 1, 0, 0]


def test_what_is_given_back_is_there_again(make: Make) -> None:
    limiter, one = make(), rule("1/s")
    limiter.take([("a", one)], 0)
    limiter.give(("a", one))
    assert [limiter.take([("a", one)], 0).refused for _ in range(2)] == [-1, 0]


STEPS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 40) | st.sampled_from([333, 1000, 5000])),
    min_size=1,
    max_size=120,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, quota=st.integers(1, 7), bursts=st.integers(1, 9))
def test_it_decides_as_the_reference_does(
    make: Make, steps: list[tuple[int, int]], quota: int, bursts: int
) -> None:
    limiter, limit = make(most=4), rule(f"{quota}/s", bursts)
    admitted: dict[int, list[int]] = {}
    now = 0
    for who, pause in steps:
        now += pause * SECOND // 1000
        expected = may(admitted.setdefault(who, []), limit, now)
        assert (limiter.take([(str(who), limit)], now).refused < 0) == expected
        if expected:
            admitted[who].append(now)
    limiter.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 100)), max_size=400))
def test_nobody_gets_a_fresh_bucket_by_crowding_others_out(make: Make, steps: list[tuple[int, int]]) -> None:
    limiter, two = make(most=64), rule("2/s")
    admitted: dict[int, list[int]] = {}
    now = 0
    for who, pause in steps:
        now += pause * SECOND // 1000
        if limiter.take([(str(who), two), (f"{who} too", two)], now).refused < 0:
            admitted.setdefault(who, []).append(now)
    assert max((over(times, two) for times in admitted.values()), default=0) == 0
    limiter.close()


@pytest.mark.parametrize("kind", ["memory", "shared"])
def test_a_crowd_takes_bounded_room_and_lets_nobody_through(kind: str, tmp_path: Path) -> None:
    limiter = MemoryLimiter(100) if kind == "memory" else SharedLimiter(tmp_path / "limits", 100)
    one = rule("1/min")
    assert limiter.take([("victim", one)], 0).refused < 0
    let = sum(limiter.take([(f"stranger {n}", one)], 1).refused < 0 for n in range(20_000))
    assert let <= 100 + 1024
    assert limiter.take([("victim", one)], 2).refused == 0
    if isinstance(limiter, MemoryLimiter):
        assert len(limiter) == 100
    # When the crowd's time is over, everybody is counted on their own again.
    later = 120 * SECOND
    assert [limiter.take([(name, one)], later).refused for name in ("victim", "new", "new")] == [-1, -1, 0]
    limiter.close()


def test_the_crowd_s_debt_is_brought_along(make: Make) -> None:
    limiter, slow, quick = make(most=64), rule("1/min"), rule("1/s", name="quick")
    for n in range(3000):
        limiter.take([(f"crowd {n}", slow)], 0)
    admitted = [
        now for now in range(0, 200 * SECOND, SECOND // 4) if limiter.take([("me", quick)], now).refused < 0
    ]
    assert admitted
    assert over(admitted, quick) == 0


def test_those_who_share_a_set_count_apart_as_long_as_there_is_room(tmp_path: Path) -> None:
    """Seven slots and one for the crowd: both buckets of a request look for a place at the same time."""
    limiter, one = SharedLimiter(tmp_path / "limits", 7), rule("1/min")
    pairs = [[(f"a{n}", one), (f"b{n}", one)] for n in range(3)]
    assert [limiter.take(pair, 0).refused for pair in pairs] == [-1] * 3
    assert [limiter.take([want], 1).refused for pair in pairs for want in pair] == [0] * 6


def test_a_request_of_two_buckets_counts_twice_in_the_crowd(tmp_path: Path) -> None:
    limiter, two = SharedLimiter(tmp_path / "limits", 7), rule("2/min")
    for n in range(7):
        limiter.take([(f"resident {n}", two)], 0)
    assert limiter.take([("a", two), ("b", two)], 0).refused == -1
    assert limiter.take([("a", two)], 1).refused == 0


def test_a_file_of_another_time_is_begun_anew(tmp_path: Path) -> None:
    one = rule("1/min")
    old = SharedLimiter(tmp_path / "limits", 64)
    old.take([("a", one)], 10**18)
    both = SharedLimiter(tmp_path / "limits", 64)
    assert both.take([("a", one)], 10**18).refused == 0
    old.close()
    both.close()
    assert SharedLimiter(tmp_path / "limits", 64).take([("a", one)], 5).refused == -1


def test_what_cannot_be_is_a_full_bucket_and_not_one_for_ever(tmp_path: Path) -> None:
    limiter, one = SharedLimiter(tmp_path / "limits", 64), rule("1/min")
    limiter.take([("a", one)], 10**18)
    assert limiter.take([("a", one)], 0).wait == one.interval


def test_another_size_is_refused_while_it_is_in_use(tmp_path: Path) -> None:
    held = SharedLimiter(tmp_path / "limits", 64)
    with pytest.raises(ValueError, match="another size"):
        SharedLimiter(tmp_path / "limits", 10_000)
    held.close()


def test_all_room_on_the_disk_is_taken_at_once(tmp_path: Path) -> None:
    """A write into a hole of a file on a full disk is no error that could be caught: it ends the process."""
    SharedLimiter(tmp_path / "limits", 100_000).close()
    taken = (tmp_path / "limits").stat()
    assert taken.st_blocks * 512 >= taken.st_size > 2_000_000


WORKER = """
import json, sys, time
from pathlib import Path
from mainstay.edge.gateway.limits import SharedLimiter
from tests.edge.gateway.ledger import rule
limiter, one, many = SharedLimiter(Path(sys.argv[1])), rule("200/s", 500), rule("5000/s", name="route")
print("ready", flush=True)
sys.stdin.readline()
times = {0: [], 1: [], 2: []}
for n in range(int(sys.argv[2])):
    now = time.monotonic_ns()
    if limiter.take([(str(n % 3), one), ("all", many)], now).refused < 0:
        times[n % 3].append(now)
print(json.dumps(times))
"""


def test_four_processes_never_admit_more_than_one_would(tmp_path: Path) -> None:
    each = CHECKS // PROCESSES
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path / "limits"), str(each)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=bare_environment(),
        )
        for _ in range(PROCESSES)
    ]  # fmt: skip
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    found = [json.loads(worker.communicate(timeout=250)[0]) for worker in workers]
    one, many = rule("200/s", 500), rule("5000/s", name="route")
    for who in "012":
        times = [at for one_s in found for at in one_s[who]]
        assert len(times) >= burst(one)
        assert over(times, one) == 0
    assert over([at for one_s in found for times in one_s.values() for at in times], many) == 0


def test_one_process_never_admits_more(make: Make) -> None:
    limiter, limit = make(), rule("1000/s", 100)
    times = [
        now for now in range(0, CHECKS * 10_000, 10_000) if limiter.take([("a", limit)], now).refused < 0
    ]
    assert over(times, limit) == 0
    assert len(times) == min(CHECKS, burst(limit) + (CHECKS - 1) * 10_000 // limit.interval)


def test_rules_that_differ_count_apart() -> None:
    assert (
        len({rule("1/s").key("a"), rule("2/s").key("a"), rule("1/s", 5).key("a"), rule("1/s").key("b")}) == 4
    )
    assert Rule.of("x", None) is None
