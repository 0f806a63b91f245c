"""The courier: everything taken in arrives, as often as it must and not oftener, however the target behaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest

from mainstay.core.ids import first_id
from mainstay.core.incident import IncidentState
from mainstay.core.secret import Secret
from mainstay.edge.delivery.settings import DeliverySettings
from mainstay.ports.clock import FakeClock
from mainstay.store import inbox, inbox_delivery
from mainstay.store.base import Store
from mainstay.store.inbox import DEAD, KEPT
from mainstay.store.inbox_delivery import Ending
from tests.edge.delivery.post import (
    Middle,
    bodies,
    delivering,
    event_of,
    passing,
    put,
    states,
    to,
    told,
)
from tests.helpers import aeventually
from tests.journals import Journal
from tests.servers.recorder import Recorder

DAY = 86400.0


async def test_what_waited_and_what_comes_is_delivered(
    store: Store, clock: FakeClock, recorder: Recorder
) -> None:
    ids = await put(store, clock.now(), b"one", b"two")
    async with delivering(store, clock, {"bank": to(recorder)}):
        assert sorted(bodies(recorder)) == [b"one", b"two"]
        ids += await put(store, clock.now(), b"three")
        await aeventually(lambda: len(recorder.accepted) == 3)
        await clock.advance(0.1)
    assert await states(store, ids) == ["delivered"] * 3
    assert {request.headers["idempotency-key"] for request in recorder.accepted} == set(ids)
    event = await event_of(store, ids[0])
    assert (event.attempts, event.delivered_at is not None, event.error) == (1, True, None)
    (attempt,) = await store.read(lambda tx: inbox_delivery.attempts(tx, ids[0]))
    assert (attempt.n, attempt.status, attempt.detail) == (1, 200, "200 ok")
    delivery = (await store.read(inbox_delivery.deliveries))["bank"]
    assert (delivery.delivered, delivery.dead, delivery.retried) == (3, 0, 0)


async def test_what_comes_in_is_picked_up_without_waiting(journal: Journal, recorder: Recorder) -> None:
    """On the machine's own clock, and taken in by another process as far as the journal can tell."""
    from mainstay.ports.clock import SystemClock

    clock = SystemClock()
    async with (
        journal.opened(clock) as edge,
        journal.opened(clock) as agent,
        delivering(agent, clock, {"bank": to(recorder)}),
    ):
        for many in range(1, 4):
            await put(edge, clock.now(), b"x%d" % many)
            await aeventually(lambda many=many: len(recorder.accepted) == many, 5.0)  # type: ignore[misc]


async def test_a_source_without_a_target_keeps_its_events(
    store: Store, clock: FakeClock, recorder: Recorder
) -> None:
    (one,) = await put(store, clock.now(), b"kept", source="later", state=KEPT)
    settings = {"later": DeliverySettings(keep=3 * DAY), "bank": to(recorder)}
    async with delivering(store, clock, settings):
        await passing(clock, 100)
    assert await states(store, [one]) == ["kept"]
    async with delivering(store, clock, {"later": to(recorder)}):
        await passing(clock, 100)
        assert recorder.requests == []  # nobody wants to be surprised by what came before
        now = clock.now()
        assert await store.write(lambda tx: inbox_delivery.replay(tx, one, "other", now)) == one
        await clock.advance(1)
    assert bodies(recorder) == [b"kept"]
    (old,) = await put(store, clock.now(), b"old", source="later", state=KEPT)
    clock.step(3 * DAY + 1)
    (young,) = await put(store, clock.now(), b"young", source="later", state=KEPT)
    async with delivering(store, clock, settings):
        await clock.advance(1)
        found = await store.read(lambda tx: inbox_delivery.find(tx, source="later", state=KEPT))
        assert [line.id for line in found] == [young]
        assert await store.read(lambda tx: inbox_delivery.get(tx, old)) is None


async def test_what_waits_for_a_target_that_was_removed_is_kept_and_its_trouble_ends(
    store: Store, clock: FakeClock, recorder: Recorder
) -> None:
    recorder.answer(503, b"no")
    ids = await put(store, clock.now(), b"one", b"two")
    settings = to(recorder, breaker={"failures": 1}, retry={"delays": [1] * 100})
    async with delivering(store, clock, {"bank": settings}):
        await passing(clock, 200)
        assert [one.key for one in await told(store)] == ["target:bank"]
    async with delivering(store, clock, {"bank": DeliverySettings()}):
        await passing(clock, 2)
    assert await states(store, ids) == ["kept", "kept"]
    assert [one.state for one in await told(store)] == [IncidentState.RESOLVED]
    assert (await store.read(inbox_delivery.deliveries))["bank"].state == "closed"
    (stands,) = await store.read(inbox_delivery.stats)
    assert (stands.state, stands.events, stands.waits) == ("kept", 2, False)


async def test_it_is_tried_on_the_schedule_and_is_then_a_dead_letter(
    store: Store, clock: FakeClock, recorder: Recorder
) -> None:
    recorder.answer(400, b"no such account")
    (one,) = await put(store, clock.now(), b"poison")
    began = clock.now()
    delays = [5, 300, 1800]
    async with delivering(store, clock, {"bank": to(recorder, retry={"delays": delays})}, Middle()):
        await passing(clock, 2200)
    attempts = await store.read(lambda tx: inbox_delivery.attempts(tx, one))
    assert [round(b.at - a.at) for a, b in pairwise(attempts)] == delays
    event = await event_of(store, one)
    assert (event.state, event.attempts, event.error) == ("dead", 4, "400 no such account")
    assert event.died_at == pytest.approx(began + 2105, abs=1)
    assert {request.headers["idempotency-key"] for request in recorder.requests} == {one}
    assert [request.headers["mainstay-attempt"] for request in recorder.requests] == list("1234")
    (incident,) = await told(store)
    assert (incident.key, incident.service, incident.state) == (
        "dead_letters:bank",
        "bank",
        IncidentState.OPEN,
    )
    assert incident.detail.startswith("1 webhook of bank")


async def test_a_dead_letter_that_is_replayed_and_taken_ends_the_incident(
    store: Store, clock: FakeClock, recorder: Recorder
) -> None:
    recorder.answer(410, b"gone", times=2)
    ids = await put(store, clock.now(), b"one", b"two")
    async with delivering(store, clock, {"bank": to(recorder)}):
        await clock.advance(1)
        assert await states(store, ids) == ["dead", "dead"]
        (incident,) = await told(store)
        assert incident.detail.startswith("2 webhooks of bank")
        for one in ids:
            await store.write(partial(inbox_delivery.replay, of=one, id="unused", now=clock.now()))
            await clock.advance(1)
    assert await states(store, ids) == ["delivered", "delivered"]
    (incident,) = await told(store)
    assert incident.state is IncidentState.RESOLVED
    attempts = await store.read(lambda tx: inbox_delivery.attempts(tx, ids[0]))
    assert [attempt.status for attempt in attempts] == [410, 200]


@pytest.mark.parametrize(
    ("misbehave", "first"),
    [
        (lambda server: server.answer(500, b"oops", times=2), 500),
        (lambda server: server.answer(404, times=2), 404),
        (lambda server: server.answer(302, headers={"Location": "https://example.com/"}, times=2), 302),
        (lambda server: server.drop(times=2), None),
        (lambda server: server.hang(times=2), None),
    ],
)
async def test_whatever_the_target_does_it_arrives_once(
    store: Store,
    clock: FakeClock,
    recorder: Recorder,
    misbehave: Callable[[Recorder], None],
    first: int | None,
) -> None:
    misbehave(recorder)
    (one,) = await put(store, clock.now(), b"x")
    async with delivering(store, clock, {"bank": to(recorder, http={"timeout": "500ms"})}, Middle()):
        await passing(clock, 304)
        assert bodies(recorder) == []
        await passing(clock, 2)
    assert bodies(recorder) == [b"x"]
    attempts = await store.read(lambda tx: inbox_delivery.attempts(tx, one))
    assert [attempt.status for attempt in attempts] == [first, first, 200]


async def test_the_targets_wish_is_obeyed_up_to_a_limit(
    store: Store, clock: FakeClock, recorder: Recorder
) -> None:
    recorder.answer(429, headers={"Retry-After": "100"}, times=1)
    recorder.answer(503, headers={"Retry-After": "99999999"}, times=1)
    await put(store, clock.now(), b"x")
    settings = to(recorder, retry={"longest_wish": "5m", "delays": ["1s", "1s"]})
    async with delivering(store, clock, {"bank": settings}, Middle()):
        await passing(clock, 99)
        assert len(recorder.requests) == 1
        await passing(clock, 2)
        assert len(recorder.requests) == 2
        await passing(clock, 298)
        assert bodies(recorder) == []
        await passing(clock, 4)
    assert bodies(recorder) == [b"x"]


async def test_no_more_attempts_at_a_time_than_configured(
    store: Store, clock: FakeClock, recorder: Recorder
) -> None:
    recorder.answer(200, delay=0.02)
    await put(store, clock.now(), *[b"%d" % n for n in range(9)])
    async with delivering(store, clock, {"bank": to(recorder, concurrency=3)}):
        await clock.advance(0.1)
    assert len(recorder.accepted) == 9
    assert recorder.most_connections == 3


async def test_not_faster_than_configured(store: Store, clock: FakeClock, recorder: Recorder) -> None:
    await put(store, clock.now(), *[b"%d" % n for n in range(20)])
    async with delivering(store, clock, {"bank": to(recorder, rate="2/s")}):
        await clock.advance(0.4)
        assert len(recorder.accepted) == 1
        await passing(clock, 3)
        assert len(recorder.accepted) == 7
        await passing(clock, 7)
    assert len(recorder.accepted) == 20


async def test_a_failing_head_holds_back_its_own_key_only(
    store: Store, clock: FakeClock, recorder: Recorder
) -> None:
    recorder.answer(400, times=1)
    await put(store, clock.now(), b"a1", b"a2", order_key="a")
    await put(store, clock.now(), b"b1", b"b2", b"b3", order_key="b")
    await put(store, clock.now(), b"free")
    async with delivering(store, clock, {"bank": to(recorder, concurrency=1)}, Middle()):
        await clock.advance(1)
        assert sorted(bodies(recorder)) == [b"b1", b"b2", b"b3", b"free"]
        await passing(clock, 5)
    taken = bodies(recorder)
    assert [body for body in taken if body.startswith(b"a")] == [b"a1", b"a2"]
    assert [body for body in taken if body.startswith(b"b")] == [b"b1", b"b2", b"b3"]


async def test_order_is_kept_per_key_with_many_at_a_time(
    store: Store, clock: FakeClock, recorder: Recorder
) -> None:
    recorder.answer(500, times=3)
    for n in range(60):
        await put(store, clock.now(), b"%d:%d" % (n % 3, n), order_key=str(n % 3))
    retry = {"delays": ["1s", "1s", "1s", "1s"]}
    async with delivering(store, clock, {"bank": to(recorder, retry=retry)}):
        await passing(clock, 20)
    taken = [body.split(b":") for body in bodies(recorder)]
    assert len(taken) == 60
    for key in (b"0", b"1", b"2"):
        numbers = [int(number) for one, number in taken if one == key]
        assert numbers == sorted(numbers)


async def test_a_source_that_hangs_delays_no_other(
    store: Store, clock: FakeClock, recorder: Recorder, make_recorder: Callable[[], Recorder]
) -> None:
    other = make_recorder()
    recorder.hang()
    await put(store, clock.now(), *[b"%d" % n for n in range(100)])
    settings = {"bank": to(recorder, http={"timeout": "20s"}), "shop": to(other)}
    await put(store, clock.now(), b"quick", source="shop")
    task = asyncio.create_task(_run(store, clock, settings))
    try:
        await aeventually(lambda: bodies(other) == [b"quick"])
        await aeventually(lambda: len(recorder.requests) == 16)
        assert bodies(recorder) == []
    finally:
        recorder.stop()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _run(store: Store, clock: FakeClock, settings: dict[str, DeliverySettings]) -> None:
    async with delivering(store, clock, settings):
        await asyncio.Event().wait()


async def test_a_clock_set_back_or_far_ahead_holds_nothing_up(
    store: Store, clock: FakeClock, recorder: Recorder
) -> None:
    ahead = clock.now() + 365 * 86400
    (one,) = await put(store, ahead, b"from next year", id=first_id(ahead))
    async with delivering(store, clock, {"bank": to(recorder)}, Middle()):
        await clock.advance(1)
        assert await states(store, [one]) == ["delivered"]
        recorder.answer(500, times=1)
        await put(store, clock.now(), b"x")
        await clock.advance(0.1)
        clock.step(-30 * 86400)
        await passing(clock, 60)
    assert bodies(recorder) == [b"from next year", b"x"]


async def test_a_target_that_cannot_be_used_is_told_and_the_others_go_on(
    store: Store, clock: FakeClock, recorder: Recorder
) -> None:
    ids = await put(store, clock.now(), b"kept")
    await put(store, clock.now(), b"goes", source="shop")
    broken = to(recorder)
    assert broken.deliver_to is not None
    bad = broken.deliver_to.model_copy(update={"secret": Secret("hook", "whsec_!!!")})
    settings = {"bank": broken.model_copy(update={"deliver_to": bad}), "shop": to(recorder)}
    async with delivering(store, clock, settings):
        await clock.advance(1)
    assert bodies(recorder) == [b"goes"]
    assert await states(store, ids) == ["queued"]
    (incident,) = await told(store)
    assert (incident.key, incident.detail) == (
        "target:bank",
        "the target's secret begins with whsec_ but is not base64; webhooks are kept until it can",
    )
    async with delivering(store, clock, {"bank": to(recorder)}):
        await clock.advance(1)
    assert bodies(recorder) == [b"goes", b"kept"]
    (incident,) = await told(store)
    assert incident.state is IncidentState.RESOLVED


async def test_what_is_brought_again_while_it_is_being_forgotten_stays(
    store: Store, clock: FakeClock
) -> None:
    (dead,) = await put(store, clock.now(), b"dead", key="id:1", window=1.0)
    (gone,) = await put(store, clock.now(), b"gone")
    now = clock.now()
    endings = [Ending(one, "bank", 1, DEAD, now, 0.1, 410, "410 gone") for one in (dead, gone)]
    await store.write(lambda tx: inbox_delivery.settle(tx, endings))
    old = await store.read(lambda tx: inbox_delivery.old(tx, "bank", DEAD, now + 60, 10))
    assert await store.write(lambda tx: inbox_delivery.replay(tx, dead, "other", now)) == dead
    await store.write(lambda tx: inbox_delivery.drop(tx, old))
    assert await states(store, [dead]) == ["queued"]
    assert await store.read(lambda tx: inbox_delivery.get(tx, gone)) is None
    assert await store.read(lambda tx: inbox.known(tx, "bank", "1")) == dead


async def test_old_events_are_forgotten_and_what_waits_never(
    store: Store, clock: FakeClock, recorder: Recorder
) -> None:
    recorder.answer(410, times=1, path="/hook")
    recorder.answer(503, path="/away")
    dead = await put(store, clock.now(), b"dead")
    waits = await put(store, clock.now(), b"waits", source="away")
    settings = {"bank": to(recorder, keep="10m"), "away": to(recorder, "/away", keep="1s")}
    async with delivering(store, clock, settings):
        await aeventually(lambda: recorder.to("/hook"))  # else the other one may be refused
        done = await put(store, clock.now(), b"done")
        await passing(clock, 590)
        assert await states(store, dead + done + waits) == ["dead", "delivered", "queued"]
        await passing(clock, 310)
    gone = await store.read(lambda tx: inbox_delivery.get(tx, done[0]))
    assert gone is None
    assert await states(store, dead + waits) == ["dead", "queued"]
    async with delivering(store, clock, {"bank": to(recorder, keep_dead="10m")}):
        await clock.advance(1)
    assert await store.read(lambda tx: inbox_delivery.get(tx, dead[0])) is None


async def test_large_bodies_are_not_fetched_all_at_once(
    store: Store, clock: FakeClock, recorder: Recorder
) -> None:
    large = [bytes([n]) * 4_500_000 for n in range(3)]
    ids = await put(store, clock.now(), *large)
    async with delivering(store, clock, {"bank": to(recorder)}):
        await clock.advance(1)
    assert sorted(bodies(recorder)) == large
    assert await states(store, ids) == ["delivered"] * 3
