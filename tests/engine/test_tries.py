"""One try of a run: how it may end, what it may say, what is kept of it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from mainstay.core.job import JobFailed, Outcome, RunContext
from mainstay.core.run import Run, RunState
from mainstay.core.secret import Secret
from mainstay.engine.context import FLUSH, MOST_LINES
from mainstay.engine.runner import FIRST_PAUSE
from mainstay.store import runs
from mainstay.store.base import Tx
from tests.engine.house import House, Script, ThreeSteps, World


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
