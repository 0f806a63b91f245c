"""A target that takes nothing is left alone, looked at now and then, and gets everything at once when it is well."""

from __future__ import annotations

import asyncio
import random

from hypothesis import given
from hypothesis import strategies as st

from mainstay.core.incident import IncidentState
from mainstay.edge.delivery import schedule
from mainstay.edge.delivery.breaker import Breaker, State
from mainstay.edge.delivery.fetch import Found
from mainstay.edge.delivery.keeper import Keeper
from mainstay.edge.delivery.lane import Lane, Office
from mainstay.edge.delivery.parcel import End, Outcome, Parcel
from mainstay.edge.delivery.settings import BreakerSettings, DeliverySettings, RetrySettings
from mainstay.ports.clock import FakeClock
from mainstay.store import inbox_delivery
from mainstay.store.base import Store
from tests.edge.delivery.parcels import parcel
from tests.edge.delivery.post import (
    Middle,
    bodies,
    delivering,
    desk_of,
    event_of,
    passing,
    put,
    states,
    to,
    told,
)
from tests.helpers import aeventually
from tests.servers.recorder import Recorder


async def test_an_outage_of_days_costs_no_event_its_life_and_ends_within_a_minute(
    store: Store, clock: FakeClock, recorder: Recorder
) -> None:
    recorder.answer(503, b"down")
    ids = await put(store, clock.now(), *[b"%d" % n for n in range(60)])
    settings = to(recorder, retry={"delays": ["5s", "1h", "2h"]}, concurrency=4)
    async with delivering(store, clock, {"bank": settings}):
        await passing(clock, 100)
        assert await told(store) == []
        await passing(clock, 500)
        assert set(await states(store, ids)) == {"queued"}
        tried = len(recorder.requests)
        assert 5 < tried < 40
        delivery = (await store.read(inbox_delivery.deliveries))["bank"]
        assert (delivery.state, delivery.detail, delivery.retried) == ("open", "503 down", tried)
        (incident,) = await told(store)
        assert (incident.key, incident.title) == ("target:bank", "bank: the target takes no webhooks")
        assert "503 down; webhooks are kept until it does" in incident.detail
        recorder.accept()
        await passing(clock, 62)
        assert set(await states(store, ids)) == {"delivered"}
        delivery = (await store.read(inbox_delivery.deliveries))["bank"]
        assert (delivery.state, delivery.delivered) == ("closed", 60)
    (incident,) = await told(store)
    assert incident.state is IncidentState.RESOLVED
    assert sorted(bodies(recorder), key=int) == [b"%d" % n for n in range(60)]


async def test_what_the_target_refuses_for_its_own_sake_stops_nobody(
    store: Store, clock: FakeClock, recorder: Recorder
) -> None:
    recorder.answer(422, times=20)
    ids = await put(store, clock.now(), *[b"%d" % n for n in range(30)])
    async with delivering(store, clock, {"bank": to(recorder)}, Middle()):
        await clock.advance(1)
        assert len(bodies(recorder)) == 10
        assert (await store.read(inbox_delivery.deliveries))["bank"].state == "closed"
    assert sorted(await states(store, ids)) == ["delivered"] * 10 + ["queued"] * 20


async def test_the_next_courier_goes_on_with_an_open_breaker(
    store: Store, clock: FakeClock, recorder: Recorder
) -> None:
    recorder.answer(503)
    ids = await put(store, clock.now(), *[b"%d" % n for n in range(20)])
    retry = {"delays": ["10h", "10h"]}
    async with delivering(store, clock, {"bank": to(recorder, retry=retry)}, Middle()):
        await passing(clock, 130)
    before = len(recorder.requests)
    async with delivering(store, clock, {"bank": to(recorder, retry=retry)}, Middle()):
        assert len(recorder.requests) == before + 1
        recorder.accept()
        await passing(clock, 61)
    assert set(await states(store, ids)) == {"delivered"}
    assert (await store.read(inbox_delivery.deliveries))["bank"].state == "closed"


async def test_a_single_event_is_tried_every_minute_once_the_target_is_left_alone_and_keeps_its_attempts(
    store: Store, clock: FakeClock, recorder: Recorder
) -> None:
    recorder.answer(503)
    (one,) = await put(store, clock.now(), b"x")
    settings = to(recorder, breaker={"failures": 2}, retry={"delays": ["1s", "5h", "5h"]})
    async with delivering(store, clock, {"bank": settings}, Middle()):
        await passing(clock, 600)
        event = await event_of(store, one)
        assert (event.state, event.attempts) == ("queued", 2)
        assert len(recorder.requests) > 10
        recorder.accept()
        await passing(clock, 61)
    assert bodies(recorder) == [b"x"]
    assert (await event_of(store, one)).state == "delivered"


async def test_the_look_at_a_target_is_one_event_only(
    store: Store, clock: FakeClock, recorder: Recorder
) -> None:
    recorder.answer(500)
    await put(store, clock.now(), *[b"%d" % n for n in range(50)])
    settings = to(recorder, breaker={"failures": 1, "pause": "10s", "longest_pause": "10s"}, concurrency=1)
    async with delivering(store, clock, {"bank": settings}, Middle()):
        await clock.advance(0.1)
        assert len(recorder.requests) == 1
        await passing(clock, 7.3)
        assert len(recorder.requests) == 1
        await clock.advance(0.3)
        assert len(recorder.requests) == 2
        await passing(clock, 30)
        assert len(recorder.requests) == 6
    event = await event_of(store, (await store.read(lambda tx: inbox_delivery.find(tx, limit=1)))[0].id)
    assert event.attempts == 0


async def test_what_was_fetched_while_it_opened_waits_in_the_journal(store: Store, clock: FakeClock) -> None:
    async def fail(parcel: Parcel) -> Outcome:
        return Outcome(End.LATER, "down", sick=True)

    settings = DeliverySettings.model_validate(
        {"deliver_to": "http://127.0.0.1:9/", "concurrency": 1, "breaker": {"failures": 1}}
    )
    keeper = Keeper(store, clock)
    lane = Lane("bank", settings, fail, Office(clock, keeper, desk_of(clock), lambda: None, Middle()))
    writing = asyncio.create_task(keeper.serve())
    ids = await put(store, clock.now(), b"1", b"2", b"3")
    lane.take(Found([parcel(id=ids[0])]))
    await aeventually(lambda: lane.wait(clock.monotonic(), clock.now()) < 10)
    lane.take(Found([parcel(id=one) for one in ids[1:]]))
    assert 0 < lane.wait(clock.monotonic(), clock.now()) < 10  # else nobody would look at the target again
    await clock.advance(10)
    wish = lane.wish(clock.monotonic(), clock.now())
    assert wish is not None
    assert (wish.wanted, wish.scan, list(wish.busy)) == (1, True, [])
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)


@given(st.lists(st.sampled_from(["begin", "good", "bad", "wait"]), max_size=60))
def test_at_most_one_look_is_under_way_while_it_is_open(steps: list[str]) -> None:
    breaker, now, under_way = Breaker(BreakerSettings(failures=2), random.Random(1)), 0.0, 0
    for step in steps:
        now += 100.0 if step == "wait" else 0.1
        if step == "begin" and breaker.room(now, under_way, 3):
            assert breaker.state is State.CLOSED or under_way == 0
            breaker.begins()
            under_way += 1
        if step in ("good", "bad") and under_way:
            under_way -= 1
            change = breaker.answered(now) if step == "good" else breaker.failed(now, "no")
            assert change is None or change.state is breaker.state
        assert breaker.open_for(now) >= 0
        assert (breaker.wait(now) is None) == (breaker.state is State.CLOSED)


@given(st.integers(1, 12), st.none() | st.floats(0, 1e9), st.integers())
def test_a_pause_is_within_its_bounds(attempt: int, wish: float | None, seed: int) -> None:
    settings = RetrySettings()
    found = schedule.pause(settings, attempt, wish, random.Random(seed))
    if attempt > len(settings.delays):
        assert found is None
        return
    assert found is not None
    assert min(wish or 0.0, settings.longest_wish) <= found < schedule.longest(settings)
    assert wish or found <= 2 * settings.delays[attempt - 1]
