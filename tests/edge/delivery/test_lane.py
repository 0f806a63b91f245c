"""A lane that has much to do: an order key's next event does not wait behind everything that is younger."""

from __future__ import annotations

import asyncio
import random

from mainstay.edge.delivery.fetch import Found
from mainstay.edge.delivery.keeper import Keeper
from mainstay.edge.delivery.lane import Lane, Office
from mainstay.edge.delivery.parcel import End, Outcome, Parcel
from mainstay.edge.delivery.settings import DeliverySettings
from mainstay.ports.clock import FakeClock
from mainstay.store.base import Store
from tests.edge.delivery.parcels import parcel
from tests.edge.delivery.post import desk_of
from tests.helpers import aeventually


class Target:
    """Takes an event when it is told to."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.doors: dict[str, asyncio.Event] = {}

    async def deliver(self, one: Parcel) -> Outcome:
        self.begun.append(one.id)
        await self.doors.setdefault(one.id, asyncio.Event()).wait()
        return Outcome(End.DONE, "200 ok", status=200)

    def take(self, one: str) -> None:
        self.doors[one].set()


async def test_the_next_event_of_a_key_goes_before_younger_ones(store: Store, clock: FakeClock) -> None:
    target, keeper = Target(), Keeper(store, clock)
    settings = DeliverySettings.model_validate({"deliver_to": "http://127.0.0.1:9/", "concurrency": 2})
    news = asyncio.Event()
    lane = Lane(
        "bank", settings, target.deliver, Office(clock, keeper, desk_of(clock), news.set, random.Random(1))
    )
    lane.take(Found([parcel(id="01", key="k"), *(parcel(id=f"1{n}") for n in range(5))]))
    serving = asyncio.create_task(keeper.serve())
    await aeventually(lambda: target.begun == ["01", "10"])
    target.take("01")
    await asyncio.wait_for(news.wait(), 5)
    assert target.begun == ["01", "10", "11"]
    lane.take(Found([parcel(id="15")]))  # now there is no room for others
    wish = lane.wish(clock.monotonic(), clock.now())
    assert wish is not None
    assert (wish.freed, wish.wanted, wish.scan, lane.scan) == (["k"], 1, False, True)
    lane.take(Found([parcel(id="02", key="k")]))
    target.take("10")
    await aeventually(lambda: len(target.begun) == 4)
    assert target.begun[-1] == "02"
    lane.stop()
    serving.cancel()
    await asyncio.gather(lane.drain(), serving, return_exceptions=True)
