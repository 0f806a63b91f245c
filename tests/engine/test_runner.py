"""The runner: one run from the queue to its end, and everything that may go wrong on the way."""

from __future__ import annotations

from mainstay.core.run import RunState
from tests.engine.house import House, ThreeSteps


async def test_a_queued_run_is_done_step_by_step(house: House) -> None:
    await house.runner({"three": ThreeSteps()})
    run = await house.enqueue("three", "three@1")
    await house.clock.settle()
    done = await house.run(run.id)
    assert (done.state, done.summary, done.error) == (RunState.DONE, "did 3 steps", None)
    assert done.outcome == {"results": ["a", "b", "c"]}
    assert house.world.done == ["a", "b", "c"]
    assert await house.lines(run.id) == ["all three are done"]
    assert [ended.id for ended in house.ended] == [run.id]
