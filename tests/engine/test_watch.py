"""The watch on the fake clock: when it asks, what it hands on and when."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from mainstay.core.check import Answer, Verdict
from mainstay.engine import outlet
from mainstay.engine.watch import Watch, WatchSettings
from mainstay.ports.clock import FakeClock, SystemClock
from tests.engine.watched import Desk, Running, here, scripted, verdicts, watched
from tests.helpers import aeventually

OK, WARN, FAIL, UNKNOWN = Verdict.OK, Verdict.WARN, Verdict.FAIL, Verdict.UNKNOWN
EVERY = 10.0


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def story(
    clock: FakeClock, desk: Desk, *words: Any, rounds: int = 1, **options: Any
) -> list[tuple[str, bool]]:
    """What is handed on in so many rounds of one check that says `words`."""
    check = watched("erp/x", scripted(*words, every=EVERY))
    async with Running(clock, [check], desk.take, **options):
        await clock.advance(rounds * EVERY)
    return verdicts(desk.results)


@pytest.mark.parametrize(
    ("words", "rounds", "said"),
    [
        pytest.param([OK], 1, [("ok", True)], id="good news needs no second look"),
        pytest.param([FAIL, FAIL], 1, [("fail", False), ("fail", True)], id="a fail is confirmed"),
        pytest.param([FAIL, OK], 1, [("fail", False), ("ok", True)], id="a blip is none"),
        pytest.param([UNKNOWN, OK], 1, [("unknown", False), ("ok", True)], id="not even an unknown"),
        pytest.param([FAIL, WARN], 1, [("fail", False), ("warn", True)], id="the milder fault is certain"),
        pytest.param(
            [WARN, FAIL, FAIL],
            1,
            [("warn", False), ("fail", False), ("fail", True)],
            id="a worse fault is not",
        ),
        pytest.param(
            [FAIL, UNKNOWN, FAIL, OK],
            1,
            [("fail", False), ("unknown", False), ("fail", False)],
            id="no agreement",
        ),
        pytest.param(
            [FAIL], 3, [("fail", False), ("fail", True), ("fail", True), ("fail", True)], id="it lasts"
        ),
        pytest.param(
            [FAIL, FAIL, OK],
            3,
            [("fail", False), ("fail", True), ("ok", False), ("ok", True), ("ok", True)],
            id="it ends",
        ),
        pytest.param(
            [OK, FAIL, OK, FAIL, FAIL],
            3,
            [("ok", True), ("fail", False), ("ok", True), ("fail", False), ("fail", True)],
            id="every fault is looked at twice",
        ),
    ],
)
async def test_what_is_handed_on(
    clock: FakeClock, desk: Desk, words: list[Verdict], rounds: int, said: list[tuple[str, bool]]
) -> None:
    assert await story(clock, desk, *words, rounds=rounds) == said


async def test_the_second_look_comes_soon_after_the_first(clock: FakeClock, desk: Desk) -> None:
    await story(clock, desk, OK, FAIL, rounds=2, confirm_after=0.8)
    first, second = desk.results[1:]
    assert second.at - first.at == pytest.approx(0.8, abs=0.001)


async def test_a_slow_first_look_is_followed_sooner(clock: FakeClock, desk: Desk) -> None:
    async def slow() -> Verdict:
        clock._now += 0.5  # time that passes while the probe runs
        return FAIL

    await story(clock, desk, slow, confirm_after=0.8)
    first, second = desk.results
    assert (first.latency, second.latency) == (0.5, 0.5)
    assert second.at - first.at == pytest.approx(0.3 + 0.5, abs=0.001)


async def test_an_answer_has_its_place_time_and_latency(clock: FakeClock, desk: Desk) -> None:
    await story(clock, desk, Answer.ok("200 in 5ms", status=200))
    [result] = desk.results
    assert (result.check, result.service, result.place) == ("erp/x", "erp", "here")
    assert (result.detail, result.facts) == ("200 in 5ms", {"status": 200})
    assert result.latency == 0.0
    assert clock.now() - EVERY <= result.at <= clock.now()


async def test_every_check_keeps_its_own_rhythm(clock: FakeClock, desk: Desk) -> None:
    checks = [watched(f"s/{number}", scripted(OK, every=60.0)) for number in range(10)]
    async with Running(clock, checks, desk.take):
        await clock.advance(4 * 3600)
    for check in checks:
        asked = [result.at for result in desk.of(check.id)]
        assert 240 <= len(asked) <= 242
        gaps = [later - earlier for earlier, later in pairwise(asked[1:])]
        assert all(abs(gap - 60) < 0.21 for gap in gaps)
        assert abs(sum(gaps) - 60 * len(gaps)) < 0.21


async def test_load_is_spread_and_the_first_round_is_soon(clock: FakeClock, desk: Desk) -> None:
    checks = [watched(f"s/{number}", scripted(OK, every=3600.0)) for number in range(600)]
    start = clock.now()
    async with Running(clock, checks, desk.take):
        await clock.advance(5.5)
        assert len(desk.results) == 600
        per_second = Counter(int(result.at - start) for result in desk.results)
        assert max(per_second.values()) < 180
        desk.batches.clear()
        await clock.advance(7200)
    per_minute = Counter(int((result.at - start) // 60) for result in desk.results)
    assert len(desk.results) == pytest.approx(1200, abs=300)
    assert max(per_minute.values()) < 40


class Turnstile:
    """Counts how many are in at a time, and lets them out on a sign."""

    def __init__(self) -> None:
        self.inside = self.most = 0
        self.open = asyncio.Event()

    async def enter(self) -> Verdict:
        self.inside += 1
        self.most = max(self.most, self.inside)
        await self.open.wait()
        self.inside -= 1
        return OK


async def test_a_check_that_takes_longer_than_its_interval_is_not_asked_twice_at_a_time(desk: Desk) -> None:
    turnstile = Turnstile()
    slow = watched("s/slow", scripted(turnstile.enter, every=0.02, timeout=60.0))
    async with Running(SystemClock(), [slow, watched("s/quick", scripted(OK, every=0.02))], desk.take):
        await aeventually(lambda: len(desk.of("s/quick")) >= 10)
        assert turnstile.most == 1
        turnstile.open.set()
        await aeventually(lambda: len(desk.of("s/slow")) >= 2)


async def test_questions_are_bounded(clock: FakeClock) -> None:
    turnstile = Turnstile()
    checks = [watched(f"s/{number}", scripted(turnstile.enter, timeout=60.0)) for number in range(40)]
    watch = Watch(clock, here(clock), checks, settings=WatchSettings(concurrency=5))
    asking = asyncio.ensure_future(watch.once())
    await aeventually(lambda: turnstile.inside == 5)
    turnstile.open.set()
    assert len(await asking) == 40
    assert turnstile.most == 5


async def test_once_asks_now_and_tells_nobody(clock: FakeClock) -> None:
    checks = [
        watched("a/x", scripted(OK)),
        watched("b/x", scripted(FAIL)),
        watched("c/x", scripted(FAIL, OK)),
    ]
    watch = Watch(clock, here(clock), checks)
    asking = asyncio.ensure_future(watch.once())
    await clock.advance(1)
    assert [(r.check, r.verdict, r.confirmed) for r in await asking] == [
        ("a/x", OK, True),
        ("b/x", FAIL, True),
        ("c/x", OK, True),
    ]
    assert [result.check for result in await watch.once(only={"a/x"})] == ["a/x"]


async def test_serving_needs_somebody_to_serve(clock: FakeClock) -> None:
    with pytest.raises(ValueError, match="needs a sink"):
        await Watch(clock, here(clock)).serve()


async def test_replacing_checks(clock: FakeClock, desk: Desk) -> None:
    kept, dropped = (
        watched("s/kept", scripted(OK, every=60.0)),
        watched("s/dropped", scripted(OK, every=60.0)),
    )
    changed = watched("s/changed", scripted(OK, every=60.0))
    async with Running(clock, [kept, dropped, changed], desk.take) as watch:
        await clock.advance(300)
        asked = {name: len(desk.of(f"s/{name}")) for name in ("kept", "dropped", "changed")}
        rhythm = desk.of("s/kept")[-1].at
        watch.replace(
            [kept, watched("s/changed", scripted(FAIL, every=60.0)), watched("s/new", scripted(OK))]
        )
        await clock.advance(6)
        assert len(desk.of("s/new")) == 1
        assert verdicts(desk.of("s/changed")[asked["changed"] :]) == [("fail", False), ("fail", True)]
        await clock.advance(120)
    assert len(desk.of("s/dropped")) == asked["dropped"]
    later = [result.at for result in desk.of("s/kept") if result.at > rhythm]
    assert [round((at - rhythm) % 60) % 60 for at in later] == [0] * len(later)


async def test_an_answer_to_a_dropped_question_is_not_handed_on(clock: FakeClock, desk: Desk) -> None:
    asked, gate = asyncio.Event(), asyncio.Event()

    async def hang() -> Verdict:
        asked.set()
        await gate.wait()
        return FAIL

    async with Running(clock, [watched("s/x", scripted(hang, timeout=60.0))], desk.take) as watch:
        advancing = asyncio.ensure_future(clock.advance(10))
        await asked.wait()
        watch.replace([])
        gate.set()
        await advancing
        await clock.advance(10)
    assert desk.results == []


async def test_good_news_travel_in_batches(clock: FakeClock, desk: Desk) -> None:
    checks = [watched(f"s/{number}", scripted(OK, every=1.0)) for number in range(100)]
    async with Running(clock, checks, desk.take):
        await clock.advance(10)
        desk.batches.clear()
        await clock.advance(10)
    assert 990 <= len(desk.results) <= 1100
    assert len(desk.batches) <= 10 / outlet.BATCH_EVERY + 2


async def test_bad_news_do_not_wait_for_the_batch(clock: FakeClock, desk: Desk) -> None:
    taken: list[float] = []

    async def take(batch: list[Any]) -> None:
        taken.append(clock.now())
        await desk.take(batch)

    async with Running(clock, [watched("s/x", scripted(FAIL, every=10.0))], take):
        await clock.advance(10)
    assert [at - result.at for at, result in zip(taken, desk.results, strict=True)] == [0.0, 0.0]


async def test_a_sink_that_fails_gets_everything_again_in_order(clock: FakeClock, desk: Desk) -> None:
    desk.faults = [OSError("disk full")] * 5
    checks = [watched(f"s/{number}", scripted(OK, FAIL, every=2.0)) for number in range(5)]
    async with Running(clock, checks, desk.take):
        await clock.advance(30)
    assert desk.faults == []
    for check in checks:
        said = verdicts(desk.of(check.id))
        assert said[:3] == [("ok", True), ("fail", False), ("fail", True)]
        assert [each.at for each in desk.of(check.id)] == sorted(each.at for each in desk.of(check.id))
        assert len(said) >= 14


async def test_one_answer_that_cannot_be_kept_does_not_hold_back_the_others(
    clock: FakeClock, desk: Desk
) -> None:
    spoilt: list[float] = []

    async def choosy(batch: list[Any]) -> None:
        for result in batch:
            if result.check == "s/bad" and (not spoilt or result.at in spoilt):
                spoilt[:] = [result.at]
                raise OverflowError("too large for the journal")
        await desk.take(batch)

    checks = [watched("s/good", scripted(FAIL, OK, every=2.0)), watched("s/bad", scripted(FAIL, every=2.0))]
    async with Running(clock, checks, choosy):
        await clock.advance(60)
    assert verdicts(desk.of("s/good"))[:2] == [("fail", False), ("ok", True)]
    assert len(desk.of("s/good")) >= 25
    assert spoilt[0] not in [result.at for result in desk.of("s/bad")]
    assert len(desk.of("s/bad")) >= 25
    for check in ("s/good", "s/bad"):
        assert [each.at for each in desk.of(check)] == sorted(each.at for each in desk.of(check))


async def test_what_waits_for_a_dead_sink_is_bounded_and_bad_news_stay_longest(
    clock: FakeClock, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlet, "MOST_WAITING", 30)
    desk.faults = [OSError("disk full")] * 60
    checks = [watched("s/good", scripted(OK, every=1.0)), watched("s/bad", scripted(FAIL, every=10.0))]
    async with Running(clock, checks, desk.take):
        await clock.advance(55)
        desk.faults.clear()
        await clock.advance(5)
    assert len(desk.batches[0]) <= 35
    assert verdicts(desk.of("s/bad"))[:3] == [("fail", False), ("fail", True), ("fail", True)]
    assert len(desk.of("s/bad")) >= 6


async def test_the_last_words_are_handed_on(clock: FakeClock, desk: Desk) -> None:
    asked: list[float] = []

    async def note() -> Verdict:
        asked.append(clock.now())
        return OK

    async with Running(clock, [watched("s/x", scripted(note, every=10.0))], desk.take):
        while len(asked) < 2:
            await clock.advance(0.01)
        assert len(desk.results) == 1
    assert len(desk.results) == 2


async def test_setting_the_clock_moves_no_question(clock: FakeClock, desk: Desk) -> None:
    async with Running(clock, [watched("s/x", scripted(OK, every=10.0))], desk.take):
        await clock.advance(60)
        clock.step(-7200)
        await clock.advance(60)
        clock.step(86_400)
        await clock.advance(60)
    assert 18 <= len(desk.results) <= 19
    assert {result.verdict for result in desk.results} == {OK}
