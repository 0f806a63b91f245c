"""What every journal promises of the webhook inbox, on each database."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import pytest

from mainstay.core.ids import first_id
from mainstay.store import inbox, inbox_delivery
from mainstay.store.base import Store, Tx
from mainstay.store.inbox import DEAD, DELIVERED, KEPT, QUEUED, Arrival, Stored, key_of
from mainstay.store.inbox_delivery import Delivery, Ending, Event
from tests.journals import Journal

AWKWARD = (b"", b"\x00\xff\x00", b"{}\n", "ä\ud7ff".encode(), b"%s :x 'q' \"d\"", b"x" * 300_000)


def arrival(id: str, body: bytes = b"{}", event_id: str | None = None, **more: Any) -> Arrival:
    digest = hashlib.sha256(body).hexdigest()
    given: dict[str, Any] = {
        "source": "bank",
        "received_at": 100.0,
        "window": 60.0,
        "key": key_of(event_id, digest),
    } | more
    headers = json.dumps([["host", "a"], ["x", "ä\x01"]])
    return Arrival(
        id=id, headers=headers, body=body, digest=digest, peer="127.0.0.1", event_id=event_id, **given
    )


async def put(store: Store, *arrivals: Arrival) -> list[Stored]:
    return await store.write(lambda tx: inbox.put_many(tx, arrivals))


async def held(store: Store) -> list[str]:
    found = await store.read(lambda tx: inbox_delivery.find(tx, limit=100))
    return [event.id for event in reversed(found)]


async def test_an_event_is_kept_byte_for_byte(store: Store) -> None:
    await put(
        store,
        *[
            arrival(f"e{i}", body, query="a=%00", user_agent="ua", secret="s", sent_at=99.5, order_key="k")
            for i, body in enumerate(AWKWARD)
        ],
    )
    for i, body in enumerate(AWKWARD):
        event = await store.read(lambda tx, i=i: inbox_delivery.get(tx, f"e{i}"))  # type: ignore[misc]
        assert event is not None
        assert event.body == body
        assert event.headers == [["host", "a"], ["x", "ä\x01"]]
        assert (event.query, event.user_agent, event.secret, event.sent_at) == ("a=%00", "ua", "s", 99.5)
        assert (event.state, event.attempts, event.next_at, event.order_key) == ("queued", 0, 100.0, "k")


async def test_a_copy_within_the_window_is_not_kept(store: Store) -> None:
    assert await put(store, arrival("a", event_id="1")) == [Stored("a")]
    copies = [arrival("b", event_id="1", received_at=159.9), arrival("c", event_id="1", source="shop")]
    assert await put(store, *copies) == [Stored("a", new=False), Stored("c")]
    assert await put(store, arrival("d", event_id="1", received_at=160.0)) == [Stored("d")]
    assert await put(store, arrival("e", event_id="1", received_at=161.0)) == [Stored("d", new=False)]
    assert await held(store) == ["a", "c", "d"]


async def test_what_nobody_takes_is_counted_apart_and_is_not_due(store: Store) -> None:
    await put(store, arrival("a", state=KEPT), arrival("b", b"other"), arrival("c", b"third", state=KEPT))
    stands = {one.state: (one.events, one.waits) for one in await store.read(inbox_delivery.stats)}
    assert stands == {KEPT: (2, False), QUEUED: (1, True)}
    assert [one.id for one in await store.read(lambda tx: inbox_delivery.due(tx, "bank", 1e9, 10))] == ["b"]
    assert await store.write(lambda tx: inbox_delivery.keep_only(tx, "bank", 1e9)) == 1
    assert await store.read(lambda tx: inbox_delivery.due(tx, "bank", 1e9, 10)) == []
    assert await store.read(lambda tx: inbox_delivery.source_of(tx, "a")) == "bank"
    assert await store.read(lambda tx: inbox_delivery.source_of(tx, "z")) is None


async def test_what_was_taken_late_bears_witness(store: Store) -> None:
    await put(store, arrival("a"), arrival("b", b"other"))
    once = [Ending("a", "bank", 1, DELIVERED, 110.0, 0.1, 200, "ok")]
    await store.write(lambda tx: inbox_delivery.settle(tx, once))
    assert await store.read(inbox_delivery.saved_at) is None
    for attempt, (state, at) in enumerate(((QUEUED, 120.0), (DELIVERED, 130.0)), 1):
        ending = Ending("b", "bank", attempt, state, at, 0.1, 500, "", next_at=125.0)
        await store.write(lambda tx, ending=ending: inbox_delivery.settle(tx, [ending]))  # type: ignore[misc]
    assert await store.read(inbox_delivery.saved_at) == 130.0


async def test_a_clock_that_was_far_ahead_makes_no_event_a_copy(store: Store) -> None:
    await put(store, arrival("a", event_id="1", received_at=1e6))
    assert await put(store, arrival("b", event_id="1")) == [Stored("b")]


async def test_copies_in_one_batch_are_one(store: Store) -> None:
    batch = [arrival(f"e{i}", event_id=str(i % 3)) for i in range(9)]
    assert await put(store, *batch) == [Stored(f"e{i % 3}", new=i < 3) for i in range(9)]
    assert await held(store) == ["e0", "e1", "e2"]


async def test_events_without_a_key_are_always_new(store: Store) -> None:
    batch = [arrival(f"e{i}", key=None) for i in range(3)]
    assert [one.new for one in await put(store, *batch)] == [True] * 3
    assert await held(store) == ["e0", "e1", "e2"]


async def test_the_same_id_with_another_body_is_kept_and_marked(store: Store) -> None:
    first, other = arrival("a", b"1", "x"), arrival("b", b"2", "x")
    assert await put(store, first, other) == [Stored("a"), Stored("b", conflict_of="a")]
    again = [arrival("c", b"2", "x"), arrival("d", b"1", "x"), arrival("e", b"3", "x")]
    assert await put(store, *again) == [
        Stored("b", new=False, conflict_of="a"),
        Stored("a", new=False),
        Stored("e", conflict_of="a"),
    ]
    event = await store.read(lambda tx: inbox_delivery.get(tx, "b"))
    assert event is not None
    assert (event.body, event.conflict_of) == (b"2", "a")
    assert await store.read(lambda tx: inbox.known(tx, "bank", "x")) == "a"
    assert await store.read(lambda tx: inbox.known(tx, "bank", "y")) is None


async def test_putting_the_same_arrivals_again_changes_nothing(store: Store) -> None:
    """As after a lost connection, when nobody knows whether the first try was kept."""
    batch = [arrival("a", b"1", "x"), arrival("b", b"2", "x"), arrival("c", key=None), arrival("d", b"4")]
    first = await put(store, *batch)
    await settle(store, ending("a", DELIVERED, 101.0))
    again = [arrival("a", b"1", "x"), arrival("b", b"2", "x"), arrival("c", key=None), arrival("d", b"4")]
    assert await put(store, *again) == first
    assert await held(store) == ["a", "b", "c", "d"]
    event = await store.read(lambda tx: inbox_delivery.get(tx, "a"))
    assert event is not None
    assert event.state == "delivered"


async def test_two_processes_take_one_event_once(journal: Journal) -> None:
    async with journal.opened() as one, journal.opened() as two:
        batches = [
            put(store, *[arrival(f"{name}{i:03}-{n}", event_id=str(n)) for n in range(20)])
            for i in range(10)
            for name, store in (("a", one), ("b", two))
        ]
        given = await asyncio.gather(*batches)
        assert sum(stored.new for batch in given for stored in batch) == 20
        assert {stored.id for batch in given for stored in batch} == set(await held(one))


async def test_signals_only_news(store: Store) -> None:
    await put(store, arrival("a", event_id="1"))
    version = store.version("inbox")
    assert version == 1
    await put(store, arrival("b", event_id="1"))
    assert store.version("inbox") == version


async def test_the_last_use_of_a_secret(store: Store) -> None:
    def use(tx: Tx) -> None:
        inbox.used(tx, [(("bank", "old"), 5.0), (("bank", "new"), 7.0)])
        inbox.used(tx, [(("bank", "old"), 3.0), (("bank", "new"), 8.0)])

    await store.write(use)
    assert await store.read(inbox.uses) == {("bank", "old"): 5.0, ("bank", "new"): 8.0}


# --- delivery ------------------------------------------------------------------------------------------------------


def ending(event: str, state: str, at: float, attempt: int = 1, **more: Any) -> Ending:
    given: dict[str, Any] = {"source": "bank", "latency": 0.5, "status": None, "detail": "no"} | more
    return Ending(event=event, state=state, at=at, attempt=attempt, **given)


async def settle(store: Store, *endings: Ending) -> None:
    await store.write(lambda tx: inbox_delivery.settle(tx, endings))


async def due(store: Store, now: float) -> list[str]:
    found = await store.read(lambda tx: inbox_delivery.due(tx, "bank", now, 10))
    return [one.id for one in found]


async def event_of(store: Store, id: str) -> Event:
    event = await store.read(lambda tx: inbox_delivery.get(tx, id))
    assert event is not None
    return event


async def test_what_is_due_comes_in_order(store: Store) -> None:
    await put(store, *[arrival(f"e{i}", b"x" * i, key=None, received_at=100.0 + i) for i in range(4)])
    assert await due(store, 99.0) == []
    assert await due(store, 102.0) == ["e0", "e1", "e2"]
    await settle(store, ending("e1", QUEUED, 150.0, next_at=200.0))
    assert await due(store, 150.0) == ["e0", "e2", "e3"]
    assert await due(store, 200.0) == ["e0", "e2", "e3", "e1"]
    sizes = await store.read(lambda tx: [one.size for one in inbox_delivery.due(tx, "bank", 200.0, 10)])
    assert sizes == [0, 2, 3, 1]
    assert await store.read(lambda tx: inbox_delivery.next_at(tx, "bank", 0.0)) == 100.0
    assert await store.read(lambda tx: inbox_delivery.next_at(tx, "bank", 150.0)) == 200.0
    assert await store.read(lambda tx: inbox_delivery.next_at(tx, "shop", 0.0)) is None


async def test_nothing_overtakes_its_own_order_key(store: Store) -> None:
    keys = {"e0": "k", "e1": "k", "e2": "other", "e3": None, "e4": "k"}
    await put(store, *[arrival(name, key=None, order_key=key) for name, key in keys.items()])

    async def next_of(now: float) -> str | None:
        found = await store.read(lambda tx: inbox_delivery.follower(tx, "bank", "k", now))
        return None if found is None else found.id

    assert (await due(store, 100.0), await next_of(100.0)) == (["e0", "e2", "e3"], "e0")
    await settle(store, ending("e0", QUEUED, 100.0, next_at=500.0))
    assert (await due(store, 100.0), await next_of(100.0)) == (["e2", "e3"], None)
    await settle(store, ending("e0", DEAD, 500.0, 2))
    assert (await due(store, 100.0), await next_of(100.0)) == (["e1", "e2", "e3"], "e1")
    await settle(store, ending("e1", DELIVERED, 500.0))
    assert await next_of(500.0) == "e4"


async def test_what_is_held_holds_up_its_key_until_it_is_replayed(store: Store) -> None:
    await put(store, *[arrival(f"e{i}", key=None, order_key="k") for i in range(2)])

    def hold(tx: Tx) -> list[bool]:
        return [inbox_delivery.hold(tx, "e0", "why"), inbox_delivery.hold(tx, "e0", "why")]

    assert await store.write(hold) == [True, False]
    assert await due(store, 100.0) == []
    assert await store.write(lambda tx: inbox_delivery.replay(tx, "e0", "r", 100.0)) == "e0"
    assert await due(store, 100.0) == ["e0"]


async def test_an_event_is_done_with_once_and_every_attempt_is_kept_once(store: Store) -> None:
    await put(store, arrival("a"), arrival("b", b"b"))
    first = [
        ending("a", QUEUED, 101.0, latency=None, next_at=102.0),
        ending("b", DEAD, 103.0, detail="gave up"),
    ]
    await settle(store, *first)
    await settle(store, *first)  # as after a lost connection
    assert (await event_of(store, "a")).attempts == 1
    await settle(store, ending("a", DELIVERED, 102.5, 2, status=200, detail="OK"))
    await settle(
        store, ending("a", DEAD, 103.0, 3), ending("b", DELIVERED, 103.0, 2), ending("no", DEAD, 103.0)
    )
    event = await event_of(store, "a")
    assert (event.state, event.attempts, event.delivered_at, event.error) == ("delivered", 2, 102.5, None)
    tries = await store.read(lambda tx: inbox_delivery.attempts(tx, "a"))
    assert [(one.n, one.latency, one.status, one.detail) for one in tries[:2]] == [
        (1, None, None, "no"),
        (2, 0.5, 200, "OK"),
    ]
    (standing,) = await store.read(inbox_delivery.stats)
    assert (standing.source, standing.state, standing.events, standing.oldest_at) == (
        "bank",
        "dead",
        1,
        100.0,
    )
    assert await store.read(lambda tx: inbox_delivery.dead_count(tx, "bank")) == 1
    delivery = (await store.read(inbox_delivery.deliveries))["bank"]
    assert (delivery.state, delivery.delivered_at) == ("closed", 103.0)


async def test_how_a_target_stands_and_what_it_was_brought(store: Store) -> None:
    await put(store, *[arrival(f"e{i}", key=None) for i in range(5)])
    await settle(store, ending("e0", DELIVERED, 1.0), ending("e1", DELIVERED, 2.0), ending("e2", DEAD, 3.0))
    await store.write(lambda tx: inbox_delivery.stand(tx, "bank", "open", 4.0, "503"))
    await settle(store, ending("e3", QUEUED, 4.0, next_at=9.0), ending("e4", DELIVERED, 5.0, source="shop"))
    stands = await store.read(inbox_delivery.deliveries)
    assert stands["bank"] == Delivery("bank", "open", 4.0, "503", 2, 1, 1, 2.0)
    assert stands["shop"] == Delivery("shop", delivered=1, delivered_at=5.0)


async def test_what_failed_by_the_targets_fault_is_due_once_it_is_well(store: Store) -> None:
    await put(store, *[arrival(f"e{i}", key=None) for i in range(4)])
    await settle(
        store,
        ending("e0", QUEUED, 110.0, status=None, next_at=9000.0),
        ending("e1", QUEUED, 110.0, status=503, next_at=9000.0),
        ending("e2", QUEUED, 110.0, status=422, next_at=9000.0),
        ending("e3", QUEUED, 105.0, status=500, next_at=9000.0),
    )
    assert await store.write(lambda tx: inbox_delivery.hurry(tx, "bank", 108.0, 200.0)) == 2
    assert await due(store, 200.0) == ["e0", "e1"]
    assert await store.write(lambda tx: inbox_delivery.astray(tx, "bank", 8000.0, 300.0)) == 2
    assert await due(store, 300.0) == ["e0", "e1", "e2", "e3"]


async def test_a_replay_of_what_was_delivered_is_an_event_of_its_own(store: Store) -> None:
    await put(store, arrival("a", b"body", "1"))
    await settle(store, ending("a", DELIVERED, 101.0))

    def twice(tx: Tx) -> list[str | None]:
        pairs = (("a", "r"), ("no", "t"))
        return [inbox_delivery.replay(tx, of, new, 200.0) for of, new in pairs]

    assert await store.write(twice) == ["r", None]
    event = await event_of(store, "r")
    assert (event.body, event.replay_of, event.state, event.next_at) == (b"body", "a", "queued", 200.0)
    assert (await event_of(store, "a")).state == "delivered"
    await settle(store, ending("r", DELIVERED, 201.0))
    assert await store.write(lambda tx: inbox_delivery.replay(tx, "r", "s", 300.0)) == "s"
    assert (await event_of(store, "s")).replay_of == "a"
    assert await put(store, arrival("b", b"body", "1")) == [Stored("a", new=False)]


@pytest.mark.parametrize("state", [DEAD, QUEUED])
async def test_a_replay_of_what_was_not_delivered_keeps_its_id(store: Store, state: str) -> None:
    await put(store, arrival("a", b"body", "1"))
    await settle(store, ending("a", state, 101.0, next_at=9000.0 if state == QUEUED else None))
    version = store.version("inbox")
    assert await store.write(lambda tx: inbox_delivery.replay(tx, "a", "r", 200.0)) == "a"
    event = await event_of(store, "a")
    assert (event.state, event.attempts, event.next_at, event.died_at) == ("queued", 0, 200.0, None)
    assert store.version("inbox") == version + 1
    await settle(store, ending("a", DELIVERED, 201.0))
    assert [one.n for one in await store.read(lambda tx: inbox_delivery.attempts(tx, "a"))] == [1, 2]


async def test_events_are_found(store: Store) -> None:
    await put(
        store,
        arrival("a", b'{"n": 1\xff}', event_type="paid"),
        arrival("b", b'{"n": 2}', event_type="paid", received_at=200.0),
        arrival("c", b'{"n": 3}', source="shop"),
        arrival("d", b'{"n": 4}'),
    )

    async def found(**asked: Any) -> str:
        events = await store.read(lambda tx: inbox_delivery.find(tx, **asked))
        return "".join(event.id for event in events)

    assert await found() == "dcba"
    assert await found(source="bank") == "dba"
    assert await found(type="paid", before="b") == "a"
    assert await found(source="bank", part=b"\xff") == "a"
    assert await found(part=b'"n"', limit=2) == "dc"
    assert await found(since=150.0) == "b"
    assert await found(state="dead") == ""
    (line,) = await store.read(lambda tx: inbox_delivery.find(tx, source="shop"))
    assert (line.size, line.state, line.attempts) == (8, "queued", 0)
    last = await event_of(store, "b")
    before = await store.read(lambda tx: inbox_delivery.previous(tx, last))
    assert before is not None
    assert before.id == "a"
    assert await store.read(lambda tx: inbox_delivery.previous(tx, before)) is None


async def test_what_is_old_and_done_with_is_forgotten(store: Store) -> None:
    names = [first_id(1000.0 + i) for i in range(6)]
    await put(store, *[arrival(name, name.encode(), received_at=1000.0 + i) for i, name in enumerate(names)])
    await settle(
        store, *[ending(names[i], DELIVERED, 1100.0) for i in (0, 1, 2, 5)], ending(names[3], DEAD, 1100.0)
    )

    async def prune(state: str, before: float, limit: int = 500) -> int:
        old = await store.read(lambda tx: inbox_delivery.old(tx, "bank", state, before, limit))
        await store.write(lambda tx: inbox_delivery.drop(tx, old))
        return len(old)

    assert [await prune(DELIVERED, 1004.5, 2) for _ in range(3)] == [2, 1, 0]
    assert await held(store) == names[3:]
    assert await prune(DEAD, 1003.0) == 0
    assert await prune(DEAD, 1004.0) == 1
    assert await held(store) == names[4:]
    # What it was known by went with it: what comes now is new again.
    assert await put(store, arrival("n", names[0].encode(), received_at=1001.0)) == [Stored("n")]


@pytest.mark.parametrize("count", [0, 500])
async def test_batches_of_any_size(store: Store, count: int) -> None:
    stored = await put(store, *[arrival(f"e{i:04}", str(i).encode()) for i in range(count)])
    assert stored == [Stored(f"e{i:04}") for i in range(count)]
    found = await store.read(lambda tx: inbox_delivery.find(tx, limit=1000))
    assert len(found) == count
