"""The journal is away for a while: nothing is lost, and all goes on when it is back."""

from __future__ import annotations

import asyncio

from mainstay.core.run import RunState
from mainstay.engine.lease import Lease
from mainstay.engine.scheduler import Scheduler
from mainstay.store import nodes, runs
from tests.engine.house import House, ThreeSteps, Weak
from tests.helpers import aeventually


async def test_a_run_waits_for_the_journal_and_keeps_its_steps(house: House) -> None:
    weak = Weak(house.store)
    house.world.gate("b")
    await house.runner({"three": ThreeSteps()}, store=weak)
    run = await house.enqueue("three", "three@1")
    await house.clock.settle()
    weak.away = True
    house.world.gate("b").set()
    await house.clock.advance(300)
    assert house.world.done == ["a", "b"]
    weak.away = False
    await house.clock.advance(20)
    assert (await house.run(run.id)).state is RunState.DONE
    assert house.world.done == ["a", "b", "c"]


async def test_what_was_queued_meanwhile_is_taken_afterwards(house: House) -> None:
    weak = Weak(house.store)
    await house.runner({"three": ThreeSteps()}, store=weak)
    weak.away = True
    run = await house.enqueue("three", "three@1")
    await house.clock.advance(60)
    assert house.world.done == []
    weak.away = False
    await house.clock.advance(6)
    assert (await house.run(run.id)).state is RunState.DONE


async def test_what_became_due_meanwhile_is_queued_afterwards(house: House) -> None:
    weak = Weak(house.store)
    scheduler = Scheduler(weak, house.clock, {"three": ThreeSteps(at="*/10 * * * *")})
    serving = asyncio.create_task(scheduler.serve())
    await house.clock.settle()
    weak.away = True
    await house.clock.advance(700)
    weak.away = False
    await house.clock.advance(6)
    found = await house.store.read(lambda tx: runs.latest(tx, "three"))
    assert len(found) == 1
    assert found[0].missed == 0
    serving.cancel()


async def test_a_role_is_not_trusted_meanwhile(house: House) -> None:
    weak = Weak(house.store)
    node = await house.node(weak)
    async with Lease(weak, house.clock, node, "checks") as lease:
        await lease.wait_held()
        weak.away = True
        await house.clock.advance(10)
        assert [lease.held] == [False]
        weak.away = False
        await house.clock.advance(10)
        assert [lease.held, lease.fence] == [True, 1]


async def test_a_death_meanwhile_is_seen_to_afterwards(house: House) -> None:
    weak = Weak(house.store)
    dead, alive = await house.node(), await house.node(weak)
    await house.clock.settle()
    weak.away = True
    await house.die(dead)
    await aeventually(lambda: dead.id in alive._freed)
    weak.away = False
    await house.clock.advance(5)
    assert {row.id for row in await house.store.read(nodes.everyone)} == {alive.id}
