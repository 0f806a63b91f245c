"""Answers are kept, summed up and forgotten, on both databases."""

from __future__ import annotations

import math
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from mainstay.core.check import Result, Verdict
from mainstay.store import audit, results
from mainstay.store.base import Row, Store
from mainstay.store.results import DAY, HOUR, MINUTE, Keep, sum_up

START = 1_780_002_000.0  # a whole hour


def answer(
    at: float, verdict: Verdict = Verdict.OK, latency: float | None = 0.1, check: str = "api/http"
) -> Result:
    return Result(check, "api", verdict, f"{verdict} at {at}", at, latency, facts={"status": 200})


async def test_the_present_answer_and_since_when(store: Store) -> None:
    async def record(*given: Result) -> None:
        await store.write(lambda tx: results.record(tx, given))

    await record(answer(1.0), answer(2.0), answer(2.0, check="api/tcp"))
    await record(answer(3.0, Verdict.FAIL, None), answer(4.0, Verdict.FAIL))
    await record()
    http, tcp = await store.read(results.states)
    assert (http["check_id"], http["verdict"], http["since"], http["at"]) == ("api/http", "fail", 3.0, 4.0)
    assert (http["detail"], http["latency"], http["facts"]) == ("fail at 4.0", 0.1, '{"status": 200}')
    assert (tcp["verdict"], tcp["since"]) == ("ok", 2.0)
    assert store.version("results") == 2
    await store.write(lambda tx: results.forget(tx, ["api/tcp", "never/was"]))
    assert [row["check_id"] for row in await store.read(results.states)] == ["api/http"]


async def test_the_same_answer_twice_is_one(store: Store) -> None:
    for _ in range(2):
        await store.write(lambda tx: results.record(tx, [answer(1.0)]))
    assert len(await store.read(lambda tx: tx.all("results.span", start=0.0, end=9.0))) == 1


async def roll_up(store: Store, now: float) -> int:
    made = 0
    for span in (MINUTE, HOUR):
        while summed := await store.read(partial(sum_up, span=span, now=now)):
            await store.write(partial(results.keep_samples, summed=summed))
            made += len(summed.samples)
    return made


async def kept(store: Store, span: int) -> list[Row]:
    return await store.read(lambda tx: tx.all("results.samples", span=span))


async def test_answers_are_summed_up_by_the_minute_and_the_hour(store: Store) -> None:
    given = [answer(START + second, latency=(second % 60 + 1) / 100) for second in range(0, 7200, 3)]
    given += [answer(START + 1, Verdict.FAIL, None), answer(START + 61, Verdict.WARN, 9.0)]
    await store.write(lambda tx: results.record(tx, given))
    assert await roll_up(store, START + 7200) == 119 + 1, "the last minute waits for late answers"
    assert await roll_up(store, START + 7200) == 0
    assert await roll_up(store, START + 7300) == 1 + 1
    minutes, hours = await kept(store, MINUTE), await kept(store, HOUR)
    assert [row["at"] for row in minutes] == [START + 60 * i for i in range(120)]
    assert [row["at"] for row in hours] == [START, START + HOUR]
    first, second = dict(minutes[0]), dict(minutes[1])
    assert (first["ok"], first["warn"], first["fail"], first["unknown"]) == (20, 0, 1, 0)
    assert (first["p50"], first["p95"], first["slowest"]) == (0.28, 0.55, 0.58)
    assert (second["ok"], second["warn"], second["slowest"]) == (20, 1, 9.0)
    assert sum(row["ok"] for row in minutes) == sum(row["ok"] for row in hours) == 2400


async def test_old_answers_go_and_their_samples_stay(store: Store) -> None:
    given = [answer(START + second) for second in range(0, 3 * DAY, 600)]
    await store.write(lambda tx: results.record(tx, given))
    now = START + 3 * DAY + 120
    assert await prune(store, now) == 0, "what is not summed up is not dropped"
    await roll_up(store, now)
    assert await prune(store, now) == 144
    left = await store.read(lambda tx: tx.all("results.span", start=0.0, end=math.inf))
    assert (len(left), left[0]["at"]) == (288, START + DAY)
    assert len(await kept(store, MINUTE)) == 432
    later = START + 92 * DAY
    assert await prune(store, later) == 288 + 288
    assert (await kept(store, MINUTE))[0]["at"] == START + 2 * DAY
    assert len(await kept(store, HOUR)) == 72
    assert await prune(store, later, Keep(minutes=0.0)) == 144
    assert len(await kept(store, HOUR)) == 72


async def prune(store: Store, now: float, keep: Keep = results.DEFAULT) -> int:
    gone = 0
    while count := await store.write(lambda tx: results.prune(tx, now, keep)):
        gone += count
    return gone


async def test_a_clock_that_was_wrong_does_not_stop_summing_up(store: Store) -> None:
    wrong = START + 4000 * DAY
    await store.write(lambda tx: results.record(tx, [answer(START), answer(wrong)]))
    await roll_up(store, wrong + HOUR + 120)
    await store.write(lambda tx: results.record(tx, [answer(START + second) for second in (60, 120)]))
    await roll_up(store, START + 600)
    assert [row["at"] for row in await kept(store, MINUTE)][:3] == [START, START + 60, START + 120]


@given(st.lists(st.floats(0, 100), min_size=1), st.sampled_from([0.5, 0.95, 1.0]))
def test_a_percentile_is_the_smallest_value_that_is_large_enough(values: list[float], share: float) -> None:
    ordered = sorted(values)
    found = results._rank(ordered, share)
    assert found is not None
    assert sum(value <= found for value in ordered) >= share * len(ordered)
    assert sum(value < found for value in ordered) < share * len(ordered)


async def test_the_audit_trail_tells_who_did_what(store: Store) -> None:
    await store.write(
        lambda tx: audit.note(tx, "ana", "acknowledge", "incident:1", 1.0, why="known", times=2)
    )
    await store.write(lambda tx: audit.note(tx, "mainstay", "heal", "service:api", 2.0))
    newest, oldest = await store.read(lambda tx: tx.all("audit.latest", limit=10))
    assert (newest["who"], newest["action"], newest["detail"]) == ("mainstay", "heal", "{}")
    assert (oldest["target"], oldest["at"], oldest["detail"]) == (
        "incident:1",
        1.0,
        '{"why": "known", "times": 2}',
    )
