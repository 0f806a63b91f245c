"""A flood is refused slowly: whoever is refused waits, nobody else does."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable

import pytest

from mainstay.edge.gateway.policy import Ask, Decision, Deny
from mainstay.edge.proxy import held
from mainstay.edge.proxy.headers import passes
from mainstay.edge.proxy.held import Held
from mainstay.edge.proxy.ticker import Ticker
from mainstay.ports.clock import FakeClock
from tests.edge.origins import raw_origin
from tests.edge.proxy.parts import Open, read_all, route, running
from tests.helpers import aeventually

FORGED = b"GET /forged HTTP/1.1\r\nHost: api\r\n\r\n"


class Flooded(Open):
    """Takes whatever is asked of `/forged` for part of a flood."""

    def decide(self, ask: Ask, now: float, wall: float) -> Decision:
        if ask.path != b"/forged":
            return super().decide(ask, now, wall)
        self.asks.append(ask)
        return Deny(429, [], b"", "forged", close=True, hold=1.0)


async def test_a_flood_is_answered_late_and_others_at_once() -> None:
    clock = FakeClock()
    async with raw_origin() as origin:
        policy = Flooded([route(origin.url)])
        async with running(*policy.routes, policy=policy, clock=clock) as gateway:
            flood = [asyncio.create_task(gateway.say(FORGED)) for _ in range(20)]
            _, gone = await gateway.connect()
            gone.write(FORGED)
            await aeventually(lambda: len(policy.asks) == 21)
            gone.transport.abort()
            assert (await gateway.get()).startswith(b"HTTP/1.1 200 ")
            await clock.advance(0.9)
            assert not any(asking.done() for asking in flood)
            await clock.advance(0.4)
            said = await asyncio.gather(*flood)
            assert all(each.startswith(b"HTTP/1.1 429 ") for each in said)


async def test_nobody_is_left_waiting_when_the_gateway_ends() -> None:
    clock = FakeClock()
    policy = Flooded([route([])])
    async with running(*policy.routes, policy=policy, clock=clock) as gateway:
        reader, writer = await gateway.connect()
        writer.write(FORGED)
        await aeventually(lambda: policy.asks)
        draining = asyncio.create_task(gateway.server.drain(10))
        await clock.advance(1.3)
        assert (await read_all(reader)).startswith(b"HTTP/1.1 429 ")
        assert await draining
        writer.close()


def test_only_so_many_answers_are_held_back() -> None:
    done: list[int] = []
    here = Held(Ticker(FakeClock()))

    def say(number: int) -> Callable[[], None]:
        return lambda: done.append(number)

    for number in range(held.MOST + 2):
        here.put(1.0, say(number))
    assert done == [held.MOST, held.MOST + 1]


async def test_an_answer_that_cannot_be_given_stops_neither_the_clock_nor_the_next_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    done: list[str] = []
    clock = FakeClock()
    ticker = Ticker(clock)
    here = Held(ticker)

    def fail() -> None:
        raise RuntimeError("this request has its answer already")

    here.put(1.0, fail)
    here.put(1.0, lambda: done.append("next"))
    ticker.start()
    await clock.advance(1.5)
    assert done == ["next"]
    here.put(1.0, lambda: done.append("later"))
    await clock.advance(1.5)
    await ticker.stop()
    assert done == ["next", "later"]
    assert "could not be given" in caplog.text


def test_long_names_of_headers_are_not_remembered() -> None:
    """They are the clients' choice, and a head may be all one name."""
    tracemalloc.start()
    try:
        for number in range(1000):
            assert passes(b"x-%d-" % number + b"y" * 20_000)
        assert not passes(b"x-user-" + b"y" * 20_000)
        assert tracemalloc.get_traced_memory()[0] < 2**20
    finally:
        tracemalloc.stop()
