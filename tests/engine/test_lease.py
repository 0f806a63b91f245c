"""Leases: one living node has a role, the next one takes over."""

from __future__ import annotations

import asyncio
from pathlib import Path

from mainstay.engine.lease import Lease
from mainstay.store import nodes
from tests.engine.house import House
from tests.helpers import aeventually


async def test_the_second_node_waits_until_the_first_gives_the_role_back(house: House) -> None:
    one, two = await house.node(), await house.node()
    first = Lease(house.store, house.clock, one, "checks")
    second = Lease(house.store, house.clock, two, "checks")
    async with first:
        await first.wait_held()
        async with second:
            await house.clock.settle()
            assert (first.held, second.held) == (True, False)
            await first.__aexit__()
            await house.clock.settle()
            assert (first.held, second.held) == (False, True)
            assert second.fence > first.fence


async def test_the_role_of_a_dead_node_on_this_host_is_taken_at_once(house: House) -> None:
    one, two = await house.node(), await house.node()
    async with Lease(house.store, house.clock, one, "checks") as first:
        await first.wait_held()
        async with Lease(house.store, house.clock, two, "checks") as second:
            await house.die(one)
            await aeventually(lambda: second.held)
            assert second.fence == first.fence + 1


async def test_the_role_of_a_silent_node_elsewhere_is_taken_after_four_seconds(house: House) -> None:
    one, two = await house.node(host="north"), await house.node(host="south")
    async with Lease(house.store, house.clock, one, "checks") as first:
        await first.wait_held()
        async with Lease(house.store, house.clock, two, "checks") as second:
            await house.clock.advance(10)
            assert [first.held, second.held] == [True, False]
            await house.die(one)
            await house.clock.advance(3.4)
            assert not second.held
            await house.clock.advance(1.6)
            assert [first.held, second.held] == [False, True]


async def test_work_is_kept_while_the_role_is_held_and_cancelled_when_it_is_lost(house: House) -> None:
    node = await house.node()
    log: list[str] = []

    async def work() -> None:
        log.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            log.append("ended")

    async with Lease(house.store, house.clock, node, "checks") as lease:
        keeping = asyncio.create_task(lease.keep(work))
        await house.clock.settle()
        assert log == ["begun"]
        await house.store.write(lambda tx: nodes.remove(tx, node.id))
        await house.store.write(lambda tx: nodes.join(tx, nodes.NodeRow("rival", "far", 1, "agent", 0, 0)))
        await house.store.write(lambda tx: nodes.take_lease(tx, "checks", "rival", 0))
        await house.clock.advance(2)
        assert log == ["begun", "ended"]
        keeping.cancel()


async def test_a_node_whose_beat_is_late_does_not_trust_its_role(house: House, tmp_path: Path) -> None:
    node = await house.node()
    async with Lease(house.store, house.clock, node, "checks") as lease:
        await lease.wait_held()
        await house.die(node)  # it beats no more, as if it were stopped
        await house.clock.advance(3.9)
        assert lease.held
        await house.clock.advance(0.2)
        assert not lease.held
