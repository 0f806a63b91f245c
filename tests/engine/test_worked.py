"""How long jobs were at work within a week, on each database."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mainstay.core.job import Job, JobFailed, Outcome, RunContext
from mainstay.engine.node import Node
from mainstay.engine.runner import Runner
from mainstay.ports.clock import FakeClock
from mainstay.store import status
from mainstay.store.base import Store

DAY = 86400.0


class Busy(Job):
    """Is at work for so long, and may fail."""

    lasting: float = 30.0
    fails: bool = False

    async def run(self, run: RunContext) -> Outcome:
        await run.sleep(self.lasting)
        if self.fails:
            raise JobFailed("no", retry=False)
        return Outcome("worked")


async def test_the_time_of_a_week_is_added_up_by_job(store: Store, clock: FakeClock, tmp_path: Path) -> None:
    jobs = {"dump": Busy(), "bad": Busy(lasting=5.0, fails=True), "idle": Busy()}
    node = Node(store, clock, tmp_path)
    await node.start()
    runner = Runner(store, clock, node, jobs, {})
    for job in ("dump", "dump", "bad"):
        running = asyncio.ensure_future(runner.run_now(job))
        while not running.done():
            await clock.advance(1)
        await running
    worked = await store.read(lambda tx: status.worked(tx, clock.now()))
    assert worked == {"dump": pytest.approx(60.0, abs=2.5), "bad": pytest.approx(5.0, abs=1.5)}
    later = clock.now() + 8 * DAY
    assert await store.read(lambda tx: status.worked(tx, later)) == {}
    for stop in (runner.stop, node.stop):
        ending = asyncio.ensure_future(stop())
        while not ending.done():
            await clock.advance(1)
        await ending
