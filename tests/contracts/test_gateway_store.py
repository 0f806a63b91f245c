"""What every journal promises of the gateway's looks and numbers, on each database."""

from __future__ import annotations

from mainstay.store import gateway
from mainstay.store.base import Store
from mainstay.store.gateway import HOUR, MINUTE, Seen, Totals, Traffic

DAY = 86400.0
SHOP = Traffic("shop", answers=10, client_errors=3, admitted=7, limited=2, latencies=(7, 2, 1))


async def test_the_newest_look_at_each_machine_is_there(store: Store) -> None:
    for at, state in ((10.0, {"processes": 0}), (20.0, {"processes": 2, "routes": ["ä"]})):
        seen = Seen("web1", at, state)
        await store.write(lambda tx, seen=seen: gateway.put_seen(tx, seen))  # type: ignore[misc]
    await store.write(lambda tx: gateway.put_seen(tx, Seen("web2", 15.0, {})))
    found = await store.read(gateway.seen)
    assert found == [Seen("web1", 20.0, {"processes": 2, "routes": ["ä"]}), Seen("web2", 15.0, {})]
    await store.write(lambda tx: gateway.forget(tx, "web2"))
    assert [one.host for one in await store.read(gateway.seen)] == ["web1"]


async def test_what_machines_answered_is_added_up_by_the_minute_and_the_hour(store: Store) -> None:
    start = 7200.0
    for host, at in (("a", 1.0), ("a", 30.0), ("b", 45.0), ("a", 61.0)):
        traffic = [SHOP, Traffic("", answers=1, client_errors=1, latencies=(1,))]
        await store.write(lambda tx, host=host, at=at, t=traffic: gateway.add(tx, host, start + at, t))  # type: ignore[misc]
    minutes = await store.read(lambda tx: gateway.samples(tx, MINUTE, start))
    shop = [one for one in minutes if one.traffic.route == "shop"]
    assert [(one.at - start, one.traffic.answers, one.traffic.latencies) for one in shop] == [
        (0.0, 30, (21, 6, 3)),
        (60.0, 10, (7, 2, 1)),
    ]
    hours = await store.read(lambda tx: gateway.samples(tx, HOUR, start))
    assert [(one.at, one.traffic.route, one.traffic.answers, one.traffic.limited) for one in hours] == [
        (start, "", 4, 0),
        (start, "shop", 40, 8),
    ]
    found = await store.read(lambda tx: gateway.totals(tx, start))
    assert found == Totals(28, 8, 0, start, start)
    assert await store.read(lambda tx: gateway.totals(tx, start + HOUR)) == Totals()


async def test_old_minutes_go_before_old_hours(store: Store) -> None:
    now = 500 * DAY
    for age in (1.0, 20.0, 450.0):
        await store.write(lambda tx, age=age: gateway.add(tx, "a", now - age * DAY, [SHOP]))  # type: ignore[misc]
    assert await store.write(lambda tx: gateway.prune(tx, now)) == 3
    assert await store.write(lambda tx: gateway.prune(tx, now)) == 0
    assert len(await store.read(lambda tx: gateway.samples(tx, MINUTE, 0.0))) == 1
    assert len(await store.read(lambda tx: gateway.samples(tx, HOUR, 0.0))) == 2
