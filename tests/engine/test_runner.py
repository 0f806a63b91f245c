"""The runner: who runs what when, who follows whom, and how a run comes to its end."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import ClassVar

import pytest

from mainstay.core.errors import MainstayError
from mainstay.core.job import Outcome, RunContext
from mainstay.core.run import RunState
from mainstay.engine import queue
from mainstay.engine.runner import DEATHS, STRANGE_AFTER
from mainstay.store import runs
from mainstay.store.base import Tx
from tests.engine.house import House, Script, ThreeSteps, nothing


async def test_a_queued_run_is_done_step_by_step(house: House) -> None:
    await house.runner({"three": ThreeSteps()})
    run = await house.enqueue("three", "three@1", args={"why": "not"})
    await house.clock.settle()
    done = await house.run(run.id)
    assert (done.state, done.summary, done.error) == (RunState.DONE, "did 3 steps", None)
    assert done.outcome == {"results": ["a", "b", "c"]}
    assert done.args == {"why": "not"}
    assert (done.attempt, done.fence, done.plan) == (1, 1, ("a", "b", "c"))
    assert house.world.done == ["a", "b", "c"]
    assert await house.lines(run.id) == ["all three are done"]
    assert [ended.id for ended in house.ended] == [run.id]


async def test_one_key_is_one_run(house: House) -> None:
    first = await house.enqueue("three", "three@1")
    await house.runner({"three": ThreeSteps()})
    await house.clock.settle()
    again = await house.enqueue("three", "three@1")
    await house.clock.advance(60)
    assert again.id == first.id
    assert house.world.done == ["a", "b", "c"]


async def test_a_run_waits_until_it_is_due(house: House) -> None:
    await house.runner({"three": ThreeSteps()})
    await house.enqueue("three", "three@1", due_at=house.clock.now() + 600)
    await house.clock.advance(599)
    assert house.world.done == []
    await house.clock.advance(1.01)
    assert house.world.done == ["a", "b", "c"]


async def test_runs_of_one_job_follow_one_another_and_other_jobs_do_not_wait(house: House) -> None:
    house.world.gate("a")
    await house.runner({"three": ThreeSteps(), "other": Script(body=nothing)}, max_parallel=2)
    first, second = [await house.enqueue("three", f"three@{number}") for number in (1, 2)]
    other = await house.enqueue("other", "other@1")
    await house.clock.settle()
    assert (await house.run(first.id)).state is RunState.RUNNING
    assert (await house.run(second.id)).state is RunState.QUEUED
    assert (await house.run(other.id)).state is RunState.DONE
    house.world.gate("a").set()
    await house.clock.settle()
    assert (await house.run(second.id)).state is RunState.DONE
    assert house.world.done == ["a", "b", "c"] * 2


async def test_a_run_is_left_out_when_the_job_wants_no_overlap(house: House) -> None:
    house.world.gate("a")
    await house.runner({"three": ThreeSteps(overlap="skip")}, max_parallel=1)
    first, second = [await house.enqueue("three", f"three@{number}") for number in (1, 2)]
    await house.clock.settle()
    left_out = await house.run(second.id)
    assert left_out.state is RunState.CANCELLED
    assert left_out.summary == f"left out, because run {first.id} of this job had not ended"
    house.world.gate("a").set()
    await house.clock.settle()
    assert (await house.run(first.id)).state is RunState.DONE


async def test_no_more_runs_at_once_than_allowed(house: House) -> None:
    most = now = 0

    async def body(run: RunContext) -> Outcome:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await run.sleep(1)
        now -= 1
        return Outcome("")

    names = [f"job{number}" for number in range(7)]
    await house.runner({name: Script(body=body) for name in names}, max_parallel=3)
    made = [await house.enqueue(name, name) for name in names]
    await house.clock.advance(3.5)
    assert {(await house.run(run.id)).state for run in made} == {RunState.DONE}
    assert most == 3


async def test_what_is_urgent_never_waits_for_long_runs_to_end(house: House) -> None:
    """A service that fails at night is not left down until four backups are through."""

    class Urgent(Script):
        urgent: ClassVar[bool] = True

    async def body(run: RunContext) -> Outcome:
        await run.sleep(7200)
        return Outcome("")

    long = {name: Script(body=body) for name in ("backup:a", "backup:b", "backup:c")}
    await house.runner({**long, "heal:api": Urgent(body=nothing)}, max_parallel=2)
    for name in long:
        await house.enqueue(name, name)
    await house.clock.advance(60)
    healing = await house.enqueue("heal:api", "heal:api")
    await house.clock.settle()
    assert (await house.run(healing.id)).state is RunState.DONE
    found = [await house.store.read(partial(runs.by_key, key=name)) for name in long]
    assert sorted(run.state.value for run in found if run) == ["queued", "running", "running"]


async def test_a_run_whose_steps_have_changed_is_parked_and_reported(house: House) -> None:
    house.world.gate("b")
    runner = await house.runner({"three": ThreeSteps()})
    run = await house.enqueue("three", "three@1")
    await house.clock.settle()
    stopping = asyncio.create_task(runner.stop(grace=1))
    await house.clock.advance(2)
    await stopping
    await house.runner({"three": Script(body=nothing)})
    await house.clock.settle()
    parked = await house.run(run.id)
    assert parked.state is RunState.PARKED
    assert (
        parked.error == "its steps have changed while it was unfinished: they were a, b, c and are one, two"
    )
    assert [ended.state for ended in house.ended] == [RunState.PARKED]
    await house.store.write(lambda tx: queue.retry(tx, run.id))
    await house.clock.settle()
    assert (await house.run(run.id)).state is RunState.DONE
    assert await house.store.read(lambda tx: runs.steps(tx, run.id)) == {}


async def test_a_run_whose_job_is_gone_is_parked_and_reported(house: House) -> None:
    await house.runner({"three": ThreeSteps()})
    run = await house.enqueue("gone", "gone@1")
    await house.clock.advance(STRANGE_AFTER - 5)
    assert (await house.run(run.id)).state is RunState.QUEUED
    await house.clock.advance(10)
    parked = await house.run(run.id)
    assert parked.state is RunState.PARKED
    assert parked.error == "the job gone is not in the configuration any more"
    assert [ended.id for ended in house.ended] == [run.id]


async def test_a_run_that_kills_its_processes_is_given_up(house: House) -> None:
    run = await house.enqueue("three", "three@1")
    for _ in range(DEATHS):
        node = await house.node()
        claim = partial(runs.claim, node=node.id, jobs=["three"], now=house.clock.now(), limit=1)
        taken = await house.store.write(claim)
        assert len(taken) == 1
        await node.stop()
        house.forget(node)
    await house.runner({"three": ThreeSteps()})
    await house.clock.settle()
    failed = await house.run(run.id)
    assert failed.state is RunState.FAILED
    assert failed.error == f"given up: {DEATHS} processes died while they ran it"
    await house.store.write(lambda tx: queue.retry(tx, run.id))
    await house.clock.settle()
    assert (await house.run(run.id)).state is RunState.DONE


async def test_stopping_lets_the_present_step_end_and_gives_the_run_back(house: House) -> None:
    house.world.gate("b")
    runner = await house.runner({"three": ThreeSteps()})
    run = await house.enqueue("three", "three@1")
    await house.clock.settle()
    stopping = asyncio.create_task(runner.stop(grace=10))
    await house.clock.advance(5)
    house.world.gate("b").set()
    await asyncio.wait_for(stopping, 10)
    given_back = await house.run(run.id)
    assert (given_back.state, given_back.owner, given_back.attempt) == (RunState.QUEUED, None, 0)
    await house.runner({"three": ThreeSteps()})
    await house.clock.settle()
    assert (await house.run(run.id)).state is RunState.DONE
    assert house.world.done == ["a", "b", "c"]


async def test_stopping_does_not_wait_for_a_long_step(house: House) -> None:
    house.world.gate("b")
    runner = await house.runner({"three": ThreeSteps()})
    other = await house.runner({"three": ThreeSteps()})
    run = await house.enqueue("three", "three@1")
    await house.clock.settle()
    mine = runner if (await house.run(run.id)).owner == runner.node.id else other
    stopping = asyncio.create_task(mine.stop(grace=10))
    await house.clock.advance(11)
    await stopping
    house.world.gate("b").set()
    await house.clock.settle()
    assert (await house.run(run.id)).state is RunState.DONE
    assert house.world.done == ["a", "b", "b", "c"]


async def test_a_person_may_end_a_run_and_try_it_again(house: House) -> None:
    house.world.gate("b")
    await house.runner({"three": ThreeSteps()})
    run = await house.enqueue("three", "three@1")
    await house.clock.settle()
    now = house.clock.now()
    await house.store.write(lambda tx: queue.cancel(tx, run.id, now=now, why="ann ended it"))
    await house.clock.settle()
    cancelled = await house.run(run.id)
    assert (cancelled.state, cancelled.summary) == (RunState.CANCELLED, "ann ended it")
    with pytest.raises(MainstayError, match="has ended already"):
        await house.store.write(lambda tx: queue.cancel(tx, run.id, now=now))
    house.world.gate("b").set()
    await house.store.write(lambda tx: queue.retry(tx, run.id))
    await house.clock.settle()
    assert (await house.run(run.id)).state is RunState.DONE
    assert house.world.done == ["a", "b", "b", "c"]
    with pytest.raises(MainstayError, match="is done"):
        await house.store.write(lambda tx: queue.retry(tx, run.id))
    with pytest.raises(MainstayError, match="no run"):
        await house.store.write(lambda tx: queue.retry(tx, "unheard-of"))
    with pytest.raises(MainstayError, match="no run"):
        await house.store.write(lambda tx: queue.cancel(tx, "unheard-of", now=now))


async def test_every_write_of_an_owner_that_was_followed_is_refused(house: House) -> None:
    node = await house.node()
    run = await house.enqueue("three", "three@1")
    (old,) = await house.store.write(lambda tx: runs.claim(tx, node.id, ["three"], house.clock.now(), 1))
    await node.stop()
    house.forget(node)
    house.world.gate("b")
    await house.runner({"three": ThreeSteps()})
    await house.clock.settle()
    before = await house.run(run.id)
    assert before.fence > old.fence

    def late(tx: Tx) -> list[object]:
        return [
            runs.hold(tx, old),
            runs.keep_step(tx, old, "b", 0, 0, "null"),
            runs.put_progress(tx, old, {}),
            runs.settle(tx, old, RunState.DONE, 0),
            runs.later(tx, old, 0, ""),
            runs.release(tx, old),
        ]

    assert await house.store.write(late) == [False, False, False, None, False, False]
    assert await house.run(run.id) == before
    house.world.gate("b").set()


async def test_a_run_that_the_journal_calls_ours_but_nobody_works_on_is_given_back(house: House) -> None:
    runner = await house.runner({"three": ThreeSteps()})
    run = await house.enqueue("other", "other@1")
    await house.store.write(lambda tx: runs.take(tx, run.id, "other", runner.node.id, house.clock.now()))
    await house.clock.advance(6)
    given_back = await house.run(run.id)
    assert (given_back.state, given_back.owner) == (RunState.QUEUED, None)
