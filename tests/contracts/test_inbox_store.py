"""What every journal promises of the webhook inbox, on each database."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import pytest

from mainstay.store import inbox, inbox_delivery
from mainstay.store.base import Store, Tx
from mainstay.store.inbox import Arrival, Stored, key_of
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
    await store.write(lambda tx: inbox_delivery.delivered(tx, "a", 101.0))
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


async def due(store: Store, now: float, *, in_order: bool = False) -> list[str]:
    found = await store.read(lambda tx: inbox_delivery.due(tx, "bank", now, 10, in_order=in_order))
    return [event.id for event in found]


async def test_what_is_due_comes_in_order(store: Store) -> None:
    await put(store, *[arrival(f"e{i}", key=None, received_at=100.0 + i) for i in range(4)])
    assert await due(store, 99.0) == []
    assert await due(store, 102.0) == ["e0", "e1", "e2"]
    await store.write(lambda tx: inbox_delivery.later(tx, "e1", "no", 200.0))
    assert await due(store, 150.0) == ["e0", "e2", "e3"]
    assert await due(store, 200.0) == ["e0", "e2", "e3", "e1"]
    assert await store.read(lambda tx: inbox_delivery.next_at(tx, "bank")) == 100.0
    assert await store.read(lambda tx: inbox_delivery.next_at(tx, "shop")) is None


async def test_where_order_counts_nothing_overtakes_its_own_key(store: Store) -> None:
    keys = {"e0": "k", "e1": "k", "e2": "other", "e3": None, "e4": "k"}
    await put(store, *[arrival(name, key=None, order_key=key) for name, key in keys.items()])
    assert await due(store, 100.0, in_order=True) == ["e0", "e2", "e3"]
    await store.write(lambda tx: inbox_delivery.later(tx, "e0", "no", 500.0))
    assert await due(store, 100.0, in_order=True) == ["e2", "e3"]
    await store.write(lambda tx: inbox_delivery.hold(tx, "e0", "no"))
    assert await due(store, 600.0, in_order=True) == ["e2", "e3"]
    await store.write(lambda tx: inbox_delivery.dead(tx, "e0", "no", 100.0))
    assert await due(store, 100.0, in_order=True) == ["e1", "e2", "e3"]


async def test_an_event_is_done_with_once(store: Store) -> None:
    await put(store, arrival("a"), arrival("b", b"b"))

    def deliver(tx: Tx) -> list[bool]:
        inbox_delivery.attempted(tx, "a", 101.0, None, None, "refused")
        inbox_delivery.attempted(tx, "a", 102.0, 0.5, 200, "OK")
        done = [inbox_delivery.delivered(tx, "a", 102.5), inbox_delivery.delivered(tx, "a", 103.0)]
        done += [inbox_delivery.dead(tx, "a", "x", 103.0), inbox_delivery.later(tx, "a", "x", 103.0)]
        return [*done, inbox_delivery.dead(tx, "b", "gave up", 103.0), inbox_delivery.hold(tx, "b", None)]

    assert await store.write(deliver) == [True, False, False, False, True, False]
    event = await store.read(lambda tx: inbox_delivery.get(tx, "a"))
    assert event is not None
    assert (event.state, event.attempts, event.delivered_at, event.error) == ("delivered", 2, 102.5, None)
    tries = await store.read(lambda tx: inbox_delivery.attempts(tx, "a"))
    assert [(one.n, one.status, one.detail) for one in tries] == [(1, None, "refused"), (2, 200, "OK")]
    (standing,) = await store.read(inbox_delivery.stats)
    assert (standing.source, standing.state, standing.events, standing.oldest_at) == (
        "bank",
        "dead",
        1,
        100.0,
    )


async def test_a_replay_is_an_event_of_its_own(store: Store) -> None:
    await put(store, arrival("a", b"body", "1"))
    await store.write(lambda tx: inbox_delivery.delivered(tx, "a", 101.0))

    def twice(tx: Tx) -> list[bool]:
        return [
            inbox_delivery.replay(tx, of, new, 200.0) for of, new in (("a", "r"), ("r", "s"), ("no", "t"))
        ]

    assert await store.write(twice) == [True, True, False]
    for name in "rs":
        event = await store.read(lambda tx, name=name: inbox_delivery.get(tx, name))  # type: ignore[misc]
        assert event is not None
        assert (event.body, event.replay_of, event.state, event.next_at, event.attempts) == (
            b"body",
            "a",
            "queued",
            200.0,
            0,
        )
    assert await put(store, arrival("b", b"body", "1")) == [Stored("a", new=False)]


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
    last = await store.read(lambda tx: inbox_delivery.get(tx, "b"))
    assert last is not None
    before = await store.read(lambda tx: inbox_delivery.previous(tx, last))
    assert before is not None
    assert before.id == "a"
    assert await store.read(lambda tx: inbox_delivery.previous(tx, before)) is None


async def test_what_is_old_and_done_with_is_forgotten(store: Store) -> None:
    await put(store, *[arrival(f"e{i}", str(i).encode(), received_at=100.0 + i) for i in range(6)])

    def finish(tx: Tx) -> None:
        for name in ("e0", "e1", "e4"):
            inbox_delivery.attempted(tx, name, 110.0, None, None, "x")
            inbox_delivery.delivered(tx, name, 110.0)
        inbox_delivery.dead(tx, "e3", "x", 110.0)

    await store.write(finish)
    for limit, gone in ((2, 2), (2, 1), (2, 0)):
        assert await store.write(lambda tx, n=limit: inbox_delivery.prune(tx, "bank", 104.0, n)) == gone  # type: ignore[misc]
    assert await held(store) == ["e2", "e4", "e5"]
    # Its key went with it: what comes now is new again.
    assert await put(store, arrival("n", b"0", received_at=101.0)) == [Stored("n")]


@pytest.mark.parametrize("count", [0, 500])
async def test_batches_of_any_size(store: Store, count: int) -> None:
    stored = await put(store, *[arrival(f"e{i:04}", str(i).encode()) for i in range(count)])
    assert stored == [Stored(f"e{i:04}") for i in range(count)]
    found = await store.read(lambda tx: inbox_delivery.find(tx, limit=1000))
    assert len(found) == count
