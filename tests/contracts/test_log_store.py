"""How logs were seen, in every kind of journal."""

from __future__ import annotations

from mainstay.store import wal
from mainstay.store.base import Store
from mainstay.store.wal import Seen


async def test_the_last_look_at_each_log_is_kept(store: Store) -> None:
    first, second, other = (
        Seen("shop", 1.5, {"said": "ö"}),
        Seen("shop", 2.5, {}),
        Seen("crm", 1.0, {"late": 0.1}),
    )
    before = store.version(wal.TOPIC)
    for seen in (first, second, other):
        await store.write(lambda tx, seen=seen: wal.put(tx, seen))  # type: ignore[misc]
    assert store.version(wal.TOPIC) != before
    assert await store.read(wal.all_) == {"shop": second, "crm": other}
    await store.write(lambda tx: wal.forget(tx, "shop"))
    assert list(await store.read(wal.all_)) == ["crm"]
