"""Many webhooks that are taken in at once are kept like one after the other, on each database."""

from __future__ import annotations

from dataclasses import replace

from mainstay.store import inbox_delivery
from mainstay.store.base import Store
from mainstay.store.inbox import Stored
from mainstay.store.inbox_delivery import Event
from tests.contracts.test_inbox_store import arrival, held, put


async def get(store: Store, event: str) -> Event:
    found = await store.read(lambda tx: inbox_delivery.get(tx, event))
    assert found is not None
    return found


async def test_each_event_of_a_batch_has_its_own_window(store: Store) -> None:
    await put(store, *[arrival(f"a{i}", b"", str(i)) for i in range(8)])
    later = [
        arrival(
            f"b{i}", b"%d" % i if i == 7 else b"", str(i), received_at=150.0, window=[10.0, 60.0, 0.0][i % 3]
        )
        for i in range(9)
    ]
    told = [Stored(f"a{i}", new=False) if i % 3 == 1 else Stored(f"b{i}") for i in range(9)]
    told[7] = Stored("b7", conflict_of="a7")
    assert await put(store, *later) == told
    assert await put(store, *later) == told  # the same from another process
    assert len(await held(store)) == 15


async def test_large_batches_are_kept_like_single_events(store: Store) -> None:
    """Whatever is not there in some of them, in all of them or in none."""
    batch = [
        arrival(
            f"e{i:03}", b"\x00%d" % i, None if i % 2 else f"ä'{i}", key=None if i % 5 == 0 else f"k{i}", query="\\",
            received_at=float(i), user_agent="ua" if i % 3 else None, sent_at=i if i % 7 else 0.5,
        )
        for i in range(100)
    ]  # fmt: skip
    one_by_one = [arrival(f"f{each.id}", each.body, each.event_id, source="shop") for each in batch]
    assert await put(store, *batch) == [Stored(each.id) for each in batch]
    for single, each in zip(one_by_one, batch, strict=True):
        for name in ("query", "received_at", "user_agent", "sent_at", "key"):
            setattr(single, name, getattr(each, name))
        await put(store, single)
    for each in batch:
        mine, other = await get(store, each.id), await get(store, f"f{each.id}")
        assert mine == replace(other, id=mine.id, source="bank")
