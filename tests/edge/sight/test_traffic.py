"""Rates and latencies out of counters: what was answered between two looks, to within a bucket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.edge.http.meter import Meter
from mainstay.edge.http.witness import ROUTE_ANSWERS, ROUTE_TOOK
from mainstay.edge.proxy.counts import REQUESTS
from mainstay.edge.sight.traffic import BOUNDS, Rates, less, quantile, totals
from mainstay.store.gateway import Traffic


def counted(meter: Meter) -> dict[str, Traffic]:
    """What the meter has counted, as its readers see it."""
    meter.flush()
    found = {}
    for sample, at in meter._places.items():
        found[sample] = meter._values[at]
    return totals(found)


def test_counters_become_traffic_by_route() -> None:
    meter = Meter()
    for status, seconds in ((2, 0.004), (2, 0.2), (4, 0.0001), (5, 60.0)):
        meter.cell(ROUTE_ANSWERS, "gateway", "shop", f"{status}xx").add()
        meter.histogram(ROUTE_TOOK, "gateway", "shop").observe(seconds)
    meter.cell(ROUTE_ANSWERS, "webhooks", "shop", "2xx").add()
    for outcome in ("admitted", "admitted", "limited", "refused"):
        meter.cell(REQUESTS, "shop", outcome).add()
    found = counted(meter)["shop"]
    assert (found.answers, found.client_errors, found.server_errors) == (4, 1, 1)
    assert (found.admitted, found.limited, found.unauthorised) == (2, 1, 0)
    assert sum(found.latencies) == 4
    assert (found.latencies[0], found.latencies[-1]) == (1, 1)


def test_rates_are_those_of_the_last_minute() -> None:
    rates = Rates()
    assert rates.take(0.0, {"a": Traffic("a", answers=1000, latencies=(1000, 0))}) == {}
    assert rates.lately() is None
    for second in range(5, 200, 5):
        fresh = rates.take(
            second, {"a": Traffic("a", answers=1000 + 10 * second, latencies=(1000, 10 * second))}
        )
        assert fresh["a"].answers == 50
    lately = rates.lately()
    assert lately is not None
    assert 60 <= lately["seconds"] < 70
    assert lately["routes"]["a"]["answers"] == pytest.approx(10)
    assert BOUNDS[0] < lately["routes"]["a"]["p50"] < BOUNDS[1]


def test_counters_that_begin_anew_do_not_go_below_nothing() -> None:
    before, now = Traffic("a", answers=100, latencies=(100,)), Traffic("a", answers=3, latencies=(3,))
    assert less(now, before) == now
    assert less(before, None) == before


@given(st.lists(st.floats(0, 20), min_size=1, max_size=200), st.sampled_from([0.5, 0.99]))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(seconds: list[float], share: float) -> None:
    from bisect import bisect_left

    buckets = [0] * (len(BOUNDS) + 1)
    for one in seconds:
        buckets[bisect_left(BOUNDS, one)] += 1
    true = sorted(seconds)[max(0, -(-int(share * 100) * len(seconds) // 100) - 1)]
    found = quantile(buckets, share)
    assert found is not None
    assert abs(bisect_left(BOUNDS, found) - bisect_left(BOUNDS, min(true, BOUNDS[-1]))) <= 0


def test_without_answers_there_is_no_latency() -> None:
    assert quantile((0, 0), 0.5) is None
