"""Runs that a person starts: in this process, with everything else as usual."""

from __future__ import annotations

import asyncio

import pytest

from mainstay.core.errors import MainstayError
from mainstay.core.job import JobFailed, Outcome, RunContext
from mainstay.core.run import RunState
from mainstay.engine.progress import Progress
from mainstay.engine.runner import FIRST_PAUSE
from tests.engine.house import House, Script, ThreeSteps


async def test_run_now_runs_here_and_tells_as_it_goes(house: House) -> None:
    async def body(run: RunContext) -> Outcome:
        run.log("hello")
        run.progress("half", 1, 2)
        return Outcome(f"for {run.args['who']}")

    await house.runner({"job": Script(body=body)})
    here = await house.runner({"job": Script(body=body)}, serve=False)
    lines: list[str] = []
    progress: list[Progress] = []
    run = await here.run_now("job", {"who": "ann"}, "ann", progress.append, lines.append)
    assert (run.state, run.summary, run.why, run.owner) == (RunState.DONE, "for ann", "ann", here.node.id)
    assert lines == ["hello"]
    assert [(seen.label, seen.done, seen.total) for seen in progress] == [("half", 1, 2)]
    with pytest.raises(MainstayError, match="there is no job 'jib'"):
        await here.run_now("jib")


async def test_run_now_tries_again_here(house: House) -> None:
    tries: list[int] = []

    async def body(run: RunContext) -> Outcome:
        tries.append(run.attempt)
        if run.attempt == 1:
            raise JobFailed("once")
        return Outcome("twice")

    await house.runner({"job": Script(body=body)})
    here = await house.runner({"job": Script(body=body)}, serve=False)
    running = asyncio.create_task(here.run_now("job"))
    await house.clock.advance(FIRST_PAUSE + 1)
    run = await running
    assert (run.state, run.owner, tries) == (RunState.DONE, here.node.id, [1, 2])


async def test_run_now_waits_for_the_run_before_or_is_left_out(house: House) -> None:
    jobs = {"three": ThreeSteps(), "skipping": ThreeSteps(overlap="skip")}
    house.world.gate("a")
    await house.runner(jobs)
    here = await house.runner(jobs, serve=False)
    for name in jobs:
        await house.enqueue(name, f"{name}@1")
    await house.clock.settle()
    assert (await here.run_now("skipping")).state is RunState.CANCELLED
    waiting = asyncio.create_task(here.run_now("three"))
    await house.clock.advance(30)
    assert not waiting.done()
    house.world.gate("a").set()
    await house.clock.advance(30)
    assert (await waiting).state is RunState.DONE


async def test_a_run_that_was_begun_by_hand_is_finished_by_others(house: House) -> None:
    await house.runner({"three": ThreeSteps()})
    here = await house.runner({"three": ThreeSteps()}, serve=False)
    house.world.gate("b")
    running = asyncio.create_task(here.run_now("three"))
    await house.clock.settle()
    stopping = asyncio.create_task(here.stop(grace=1))
    await house.clock.advance(2)
    await stopping
    house.world.gate("b").set()
    await house.clock.settle()
    run = await house.run((await running).id)
    assert (run.state, run.owner == here.node.id) == (RunState.DONE, False)
    assert house.world.done == ["a", "b", "b", "c"]
