"""What every journal promises of API keys, on each database."""

from __future__ import annotations

from mainstay.store import keys
from mainstay.store.base import Store
from mainstay.store.keys import ApiKey


async def made(store: Store, subject: str = "shop", expires_at: float | None = None) -> tuple[str, ApiKey]:
    return await store.write(
        lambda tx: keys.create(tx, subject, plan="paid", note="n", who="jo", now=10.0, expires_at=expires_at)
    )


async def test_a_key_is_kept_hashed(store: Store) -> None:
    text, key = await made(store)
    found = await store.read(keys.all_keys)
    assert found == [key]
    assert text not in repr(found)
    assert keys.shown(text) == key.id == keys.shown(f"ms_{key.id}") == keys.shown(key.id)
    (live,) = await store.read(lambda tx: keys.live(tx, 10.0))
    assert live.hash == keys.hash_of(text)
    assert (live.subject, live.plan, live.expires_at) == ("shop", "paid", None)


async def test_only_what_opens_something_is_live(store: Store) -> None:
    _, forever = await made(store)
    _, until = await made(store, "bank", expires_at=50.0)
    _, ended = await made(store, "gone")
    assert await store.write(lambda tx: keys.revoke(tx, ended.id, 20.0))
    assert not await store.write(lambda tx: keys.revoke(tx, ended.id, 21.0))
    assert not await store.write(lambda tx: keys.revoke(tx, "nobody", 21.0))
    assert {key.id for key in await store.read(lambda tx: keys.live(tx, 49.0))} == {forever.id, until.id}
    assert {key.id for key in await store.read(lambda tx: keys.live(tx, 50.0))} == {forever.id}
    states = {key.subject: key.state(50.0) for key in await store.read(keys.all_keys)}
    assert states == {"shop": "live", "bank": "expired", "gone": "revoked"}


async def test_the_last_use_is_remembered_and_never_goes_back(store: Store) -> None:
    _, key = await made(store)
    await store.write(lambda tx: keys.used(tx, {key.id: 30.0}))
    await store.write(lambda tx: keys.used(tx, {key.id: 20.0}))
    found = await store.read(lambda tx: keys.get(tx, key.id))
    assert found is not None
    assert found.used_at == 30.0
    assert await store.read(lambda tx: keys.get(tx, "nobody")) is None


async def test_a_change_is_signalled_and_a_use_is_not(store: Store) -> None:
    before = store.version(keys.TOPIC)
    _, key = await made(store)
    assert store.version(keys.TOPIC) > before
    before = store.version(keys.TOPIC)
    await store.write(lambda tx: keys.used(tx, {key.id: 30.0}))
    assert store.version(keys.TOPIC) == before
