"""Nodes: who is alive, who is dead, and who only looks so."""

from __future__ import annotations

import pytest

from mainstay.core.run import RunState
from mainstay.store import nodes, runs
from mainstay.store.base import Tx
from tests.engine.house import House, ThreeSteps, Weak
from tests.helpers import aeventually


async def there(house: House) -> set[str]:
    return {row.id for row in await house.store.read(nodes.everyone)}


async def test_a_node_beats_every_second_and_leaves_nothing_behind(house: House) -> None:
    node = await house.node(role="web")
    await house.clock.advance(10)
    (row,) = await house.store.read(nodes.everyone)
    assert (row.id, row.role, row.host) == (node.id, "web", node.host)
    assert 9 <= row.beat_at - row.started_at <= 10
    assert len(list((house.directory / "nodes").iterdir())) == 1
    await node.stop()
    house.forget(node)
    assert await there(house) == set()
    assert list((house.directory / "nodes").iterdir()) == []


async def test_what_a_node_had_is_free_when_it_leaves(house: House) -> None:
    node = await house.node()
    run = await house.enqueue("three", "three@1")
    await house.store.write(lambda tx: runs.claim(tx, node.id, ["three"], house.clock.now(), 1))
    reserved = await house.enqueue("three", "three@2", owner=node.id)
    await node.stop()
    house.forget(node)
    for each in (run, reserved):
        free = await house.run(each.id)
        assert (free.state, free.owner, free.attempt) == (RunState.QUEUED, None, 0)


async def test_a_dead_node_on_this_host_is_buried_with_its_lock_file(house: House) -> None:
    dead, alive = await house.node(), await house.node()
    await house.clock.settle()
    await house.die(dead)
    await aeventually(lambda: not (house.directory / "nodes" / f"{dead.id}.lock").exists())
    assert await there(house) == {alive.id}


async def test_nobody_is_robbed_because_the_journal_was_away(house: House) -> None:
    weak = Weak(house.store)
    north = await house.node(weak, host="north")
    south = await house.node(weak, host="south")
    await house.clock.advance(5)
    weak.away = True
    await house.clock.advance(60)
    assert not north.fresh
    weak.away = False
    await house.clock.advance(0.6)
    assert await there(house) == {north.id, south.id}
    await house.clock.advance(20)
    assert await there(house) == {north.id, south.id}
    assert north.fresh


async def test_a_node_that_was_taken_for_dead_joins_again_and_says_so(house: House) -> None:
    node = await house.node()
    heard: list[str] = []
    node.listen(lambda: heard.append("robbed"))
    await house.store.write(lambda tx: nodes.remove(tx, node.id))
    await house.clock.advance(2)
    assert await there(house) == {node.id}
    assert heard == ["robbed"]


async def test_a_node_that_was_removed_claims_nothing(house: House) -> None:
    node = await house.node()
    await house.enqueue("three", "three@1")
    await house.store.write(lambda tx: nodes.remove(tx, node.id))
    claimed = await house.store.write(lambda tx: runs.claim(tx, node.id, ["three"], house.clock.now(), 1))
    assert claimed == []


async def test_a_robbed_runner_stops_the_job_at_once(house: House) -> None:
    house.world.gate("b")
    north = await house.runner({"three": ThreeSteps()}, node=await house.node(host="north"))
    run = await house.enqueue("three", "three@1")
    await house.clock.settle()
    assert (await house.run(run.id)).owner == north.node.id

    def rob(tx: Tx) -> None:
        nodes.remove(tx, north.node.id)
        runs.free_orphans(tx)

    await house.store.write(rob)
    await house.clock.advance(30)
    # It noticed, let go, joined again and, nobody else being there, took the run as its next owner.
    again = await house.run(run.id)
    assert (again.owner, again.fence) == (north.node.id, 3)
    assert house.world.done == ["a", "b", "b"]
    house.world.gate("b").set()
    await house.clock.settle()
    assert (await house.run(run.id)).state is RunState.DONE


@pytest.mark.parametrize("parts", [1, 7])
async def test_four_silent_seconds_elsewhere_are_death_however_the_clocks_stand(
    house: House, parts: int
) -> None:
    north, south = await house.node(host="north"), await house.node(host="south")
    await house.clock.advance(3)
    house.clock.step(-86400)
    await house.clock.advance(3)
    house.clock.step(2 * 86400)
    await house.clock.advance(3)
    assert await there(house) == {north.id, south.id}
    await house.die(north)
    for _ in range(parts):
        await house.clock.advance(3 / parts)
    assert await there(house) == {north.id, south.id}
    await house.clock.advance(2)
    assert await there(house) == {south.id}
