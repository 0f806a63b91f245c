"""The runner: one run from the queue to its end, and everything that may go wrong on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, ClassVar

import pytest

from mainstay.core.errors import MainstayError
from mainstay.core.job import Job, JobFailed, Outcome, RunContext
from mainstay.core.run import Run, RunState
from mainstay.core.secret import Secret
from mainstay.engine import queue
from mainstay.engine.context import FLUSH, MOST_LINES
from mainstay.engine.progress import Progress
from mainstay.engine.runner import DEATHS, FIRST_PAUSE, STRANGE_AFTER
from mainstay.store import runs
from mainstay.store.base import Tx
from tests.engine.house import House, ThreeSteps, World

Body = Callable[[RunContext], Awaitable[Outcome]]


class Script(Job):
    """A job whose body and steps are a test's."""

    steps: ClassVar[tuple[str, ...]] = ("one", "two")
    body: Any

    async def run(self, run: RunContext) -> Outcome:
        outcome: Outcome = await self.body(run)
        return outcome


async def nothing(run: RunContext) -> Outcome:
    return Outcome("nothing")


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


async def test_a_failed_try_is_repeated_after_a_growing_pause_from_its_last_finished_step(
    house: House,
) -> None:
    tries: list[float] = []

    async def body(run: RunContext) -> Outcome:
        await run.step("one", partial(run.get(World).act, "one"))
        tries.append(run.now())
        raise JobFailed("the disk is full", hint="make room")

    await house.runner({"job": Script(body=body, retries=2)})
    run = await house.enqueue("job", "job@1")
    await house.clock.advance(FIRST_PAUSE * 10)
    failed = await house.run(run.id)
    assert (failed.state, failed.attempt) == (RunState.FAILED, 3)
    assert failed.error == "the disk is full (hint: make room)"
    assert house.world.done == ["one"]
    assert len(tries) == 3
    assert 0 < tries[1] - tries[0] < FIRST_PAUSE + 0.1
    assert 0 < tries[2] - tries[1] < FIRST_PAUSE * 2 + 0.1
    assert [ended.state for ended in house.ended] == [RunState.FAILED]


async def test_what_cannot_be_helped_by_trying_again_fails_at_once(house: House) -> None:
    async def body(run: RunContext) -> Outcome:
        raise JobFailed("no such database", retry=False)

    await house.runner({"job": Script(body=body)})
    run = await house.enqueue("job", "job@1")
    await house.clock.settle()
    failed = await house.run(run.id)
    assert (failed.state, failed.attempt, failed.error) == (RunState.FAILED, 1, "no such database")


async def test_a_retry_that_a_wrong_clock_put_far_off_is_not_waited_for(house: House) -> None:
    tries = 0

    async def body(run: RunContext) -> Outcome:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise JobFailed("once")
        return Outcome("twice")

    house.clock.step(365 * 86400)
    await house.runner({"job": Script(body=body)})
    run = await house.enqueue("job", "job@1")
    house.clock.step(-365 * 86400)
    await house.clock.advance(FIRST_PAUSE + 10)
    assert (await house.run(run.id)).state is RunState.DONE


async def test_an_unexpected_fault_is_one_line_and_its_story_is_in_the_log(house: House) -> None:
    Secret("db_password", "hunter2hunter2")

    async def body(run: RunContext) -> Outcome:
        raise RuntimeError("cannot log in\nwith hunter2hunter2")

    await house.runner({"job": Script(body=body, retries=0)})
    run = await house.enqueue("job", "job@1")
    await house.clock.settle()
    failed = await house.run(run.id)
    lines = await house.lines(run.id)
    assert failed.error == "RuntimeError: cannot log in with ********"
    assert lines[0].startswith("Traceback")
    assert lines[-1] == f"failed: {failed.error}"
    assert "hunter2" not in str(lines)


async def test_secrets_are_masked_in_steps_log_summary_outcome_and_progress(house: House) -> None:
    Secret("token", "s3cr3t-t0ken")

    async def leak() -> dict[str, Any]:
        return {"urls": ["https://user:s3cr3t-t0ken@example.com/"], "s3cr3t-t0ken": 1}

    async def body(run: RunContext) -> Outcome:
        run.log("uses s3cr3t-t0ken")
        run.progress("with s3cr3t-t0ken", 1, 2)
        kept = await run.step("one", leak)
        await run.sleep(10)
        return Outcome("did s3cr3t-t0ken", {"kept": kept, "more": ("s3cr3t-t0ken",)})

    await house.runner({"job": Script(body=body)})
    run = await house.enqueue("job", "job@1")
    await house.clock.advance(5)
    assert "s3cr3t" not in str(await house.store.read(lambda tx: runs.progress(tx, run.id)))
    await house.clock.advance(6)
    done = await house.run(run.id)
    assert done.state is RunState.DONE
    kept = await house.store.read(lambda tx: runs.steps(tx, run.id))
    assert "s3cr3t" not in f"{done} {kept} {await house.lines(run.id)}"
    assert "********" in f"{done.summary}"


async def test_a_run_that_takes_too_long_is_stopped(house: House) -> None:
    async def body(run: RunContext) -> Outcome:
        try:
            await run.sleep(1000)
        finally:
            run.get(World).done.append("cleaned up")
        raise AssertionError

    await house.runner({"job": Script(body=body, timeout=90, retries=0)})
    run = await house.enqueue("job", "job@1")
    await house.clock.advance(91)
    failed = await house.run(run.id)
    assert (failed.state, failed.error) == (RunState.FAILED, "took longer than 1m 30s and was stopped")
    assert house.world.done == ["cleaned up"]


async def test_a_job_that_will_not_stop_fails_all_the_same(house: House) -> None:
    async def body(run: RunContext) -> Outcome:
        while not run.get(World).gate("end").is_set():
            try:
                await run.get(World).gate("end").wait()
            except asyncio.CancelledError:
                run.log("not now")
        return Outcome("at last")

    await house.runner({"job": Script(body=body, timeout=5, retries=0)})
    run = await house.enqueue("job", "job@1")
    await house.clock.advance(60)
    assert (await house.run(run.id)).state is RunState.FAILED
    house.world.gate("end").set()


async def test_a_step_must_be_planned_and_give_json(house: House) -> None:
    async def unplanned(run: RunContext) -> Outcome:
        await run.step("three", partial(run.get(World).act, "three"))
        return Outcome("")

    async def not_json(run: RunContext) -> Outcome:
        async def thing() -> object:
            return object()

        await run.step("one", thing)
        return Outcome("")

    async def parts(run: RunContext) -> Outcome:
        async def pair() -> tuple[int, int]:
            return (1, 2)

        first = await run.step("one:1", pair)
        return Outcome("parts", {"same": first == await run.step("one:1", pair), "first": list(first)})

    async def no_outcome(run: RunContext) -> Outcome:
        return None  # type: ignore[return-value]  # what a careless job does

    jobs = {
        "unplanned": Script(body=unplanned, retries=0),
        "not-json": Script(body=not_json, retries=0),
        "parts": Script(body=parts),
        "no-outcome": Script(body=no_outcome),
    }
    await house.runner(jobs)
    made = {name: await house.enqueue(name, name) for name in jobs}
    await house.clock.settle()
    ended = {name: await house.run(run.id) for name, run in made.items()}
    assert ended["unplanned"].error == "ValueError: unplanned has no step 'three'; its steps are one, two"
    assert "not JSON serializable" in (ended["not-json"].error or "")
    assert ended["parts"].outcome == {"same": True, "first": [1, 2]}
    assert ended["no-outcome"].error == "the job gave NoneType instead of an Outcome"


async def test_an_adapter_that_nobody_provides_is_named(house: House) -> None:
    async def body(run: RunContext) -> Outcome:
        run.get(House)
        return Outcome("")

    await house.runner({"job": Script(body=body, retries=0)})
    run = await house.enqueue("job", "job@1")
    await house.clock.settle()
    assert (await house.run(run.id)).error == "LookupError: nothing was provided for House"


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


async def test_log_lines_appear_while_the_run_goes_on(house: House) -> None:
    async def body(run: RunContext) -> Outcome:
        run.log("first")
        await run.sleep(10)
        run.log("second\nthird")
        await run.sleep(10)
        return Outcome("")

    await house.runner({"job": Script(body=body)})
    run = await house.enqueue("job", "job@1")
    await house.clock.advance(1)
    assert await house.lines(run.id) == ["first"]
    await house.clock.advance(10)
    assert await house.lines(run.id) == ["first", "second", "third"]


async def test_a_job_that_talks_too_much_is_cut_short(house: House) -> None:
    async def body(run: RunContext) -> Outcome:
        for number in range(MOST_LINES + 1000):
            run.log(f"line {number}")
        return Outcome("")

    await house.runner({"job": Script(body=body)})
    run = await house.enqueue("job", "job@1")
    await house.clock.settle()
    lines = await house.store.read(lambda tx: runs.lines(tx, run.id, limit=MOST_LINES * 2))
    assert len(lines) == MOST_LINES
    assert lines[-1][2] == "further lines of this try are not kept"


async def test_progress_is_seen_by_other_processes_and_gone_afterwards(house: House) -> None:
    async def body(run: RunContext) -> Outcome:
        for done in range(1000):
            run.progress("copying", done, 1000, "rows")
            await run.sleep(0.01)
        return Outcome("")

    await house.runner({"job": Script(body=body)})
    run = await house.enqueue("job", "job@1")
    await house.clock.advance(5)
    seen = await house.store.read(lambda tx: runs.progress(tx, run.id))
    assert seen is not None
    assert (seen["label"], seen["total"], seen["unit"]) == ("copying", 1000, "rows")
    assert 500 - FLUSH * 100 - 2 <= seen["done"] <= 500
    await house.clock.advance(6)
    assert (await house.run(run.id)).state is RunState.DONE
    assert await house.store.read(lambda tx: runs.progress(tx, run.id)) is None


async def test_a_hook_that_falls_does_not_keep_the_run_from_ending(house: House) -> None:
    def hook(tx: Tx, run: Run) -> None:
        raise KeyError("oops")

    await house.runner({"three": ThreeSteps()}, hooks=[hook])
    run = await house.enqueue("three", "three@1")
    await house.clock.settle()
    assert (await house.run(run.id)).state is RunState.DONE
    assert [ended.id for ended in house.ended] == [run.id]


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
