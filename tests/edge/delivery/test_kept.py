"""What nobody is to be brought: kept, brought after all when that was a mistake, and forgotten late enough."""

from __future__ import annotations

from mainstay.edge.delivery.courier import PRUNE_EVERY
from mainstay.edge.delivery.settings import DAY, DeliverySettings
from mainstay.ports.clock import FakeClock
from mainstay.store import inbox_delivery
from mainstay.store.base import Store
from mainstay.store.inbox import KEPT
from tests.edge.delivery.post import bodies, delivering, passing, put, states, to
from tests.servers.recorder import Recorder


async def test_what_waited_for_long_is_not_forgotten_at_once_when_its_target_is_removed(
    store: Store, clock: FakeClock, recorder: Recorder
) -> None:
    ids = await put(store, clock.now(), b"waits")
    clock.step(3 * DAY + 1)
    settings = {"bank": DeliverySettings(keep=3 * DAY)}
    async with delivering(store, clock, settings):
        await passing(clock, 2)
    assert await states(store, ids) == ["kept"]
    clock.step(3 * DAY + 1)
    async with delivering(store, clock, settings):
        await passing(clock, 2)
    assert await store.read(lambda tx: inbox_delivery.get(tx, ids[0])) is None


async def test_what_an_edge_puts_down_by_an_old_configuration_is_set_right(
    store: Store, clock: FakeClock, recorder: Recorder
) -> None:
    """Edges follow a changed file a moment later than the courier does, or an hour on another machine."""
    settings = {"new": to(recorder), "gone": DeliverySettings()}
    await put(store, clock.now() - 1, b"before", source="new", state=KEPT)
    async with delivering(store, clock, settings):
        await passing(clock, 10)
        await put(store, clock.now(), b"kept", source="new", state=KEPT)
        (waits,) = await put(store, clock.now(), b"waits", source="gone")
        await clock.advance(PRUNE_EVERY)
        await passing(clock, 5)
    assert bodies(recorder) == [b"kept"]
    assert await states(store, [waits]) == ["kept"]
