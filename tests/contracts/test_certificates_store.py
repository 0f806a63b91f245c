"""How certificates stand: what is kept comes back, on SQLite and PostgreSQL."""

from __future__ import annotations

from dataclasses import asdict, replace

from mainstay.store import certificates
from mainstay.store.base import Store
from mainstay.store.certificates import Certificate

FULL = Certificate(
    name="a.test",
    names=("a.test", "*.a.test"),
    serial="04ab",
    issuer="R11",
    not_before=100.125,
    not_after=200.25,
    installed_at=110.5,
    served_at=120.0,
    served="served for a.test",
    due_at=160.0,
    due_why="two thirds are over",
    ari_start=150.0,
    ari_end=155.0,
    ari_why="https://ca.test/why",
    ari_serial="04ab",
    ari_at=121.0,
    ari_next=130.0,
    failures=3,
    retry_at=140.0,
    fault="no DNS",
    looked_at=125.0,
)


async def test_what_was_never_seen_is_as_good_as_empty(store: Store) -> None:
    assert await store.read(lambda tx: certificates.get(tx, "a.test")) == Certificate("a.test")
    assert await store.read(certificates.everything) == []


def test_nothing_is_left_out_of_the_test() -> None:
    assert all(asdict(FULL).values())


async def test_everything_comes_back_and_is_replaced(store: Store) -> None:
    await store.write(lambda tx: certificates.put(tx, FULL))
    assert await store.read(lambda tx: certificates.get(tx, FULL.name)) == FULL
    bare = Certificate(FULL.name, looked_at=5.0)
    await store.write(lambda tx: certificates.put(tx, bare))
    assert await store.read(lambda tx: certificates.get(tx, FULL.name)) == bare


async def test_the_one_that_ends_first_comes_first(store: Store) -> None:
    for name, end in (("late", 300.0), ("soon", 200.0), ("none", None)):
        row = replace(FULL, name=name, not_after=end)
        await store.write(lambda tx, row=row: certificates.put(tx, row))  # type: ignore[misc]
    assert [each.name for each in await store.read(certificates.everything)] == ["none", "soon", "late"]
