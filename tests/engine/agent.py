"""A process with a node and a runner, for tests that kill, stop and freeze it.

    python -m tests.engine.agent '{"url": ..., "state": ..., "host": ..., "dir": ...}'

Its jobs write a line `STEP RUN PID TIME` into `DIR/did` when a step begins and `STEP! ...` when its work is finished,
and wait in a step for as long as the file `DIR/hold-STEP` is there.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from mainstay.core.job import Job, Outcome, RunContext
from mainstay.engine.lease import Lease
from mainstay.engine.node import Node
from mainstay.engine.queue import enqueue
from mainstay.engine.runner import Runner
from mainstay.ports.clock import SystemClock
from mainstay.store.open import open_store


class Diary(Job):
    """Writes down what it does."""

    steps: ClassVar[tuple[str, ...]] = ("a", "b", "c")
    directory: str

    async def run(self, run: RunContext) -> Outcome:
        for name in self.steps:
            await run.step(name, partial(self.act, run, name))
            run.log(f"{name} is kept")
        self.note(run, "end")
        return Outcome("written down")

    async def act(self, run: RunContext, name: str) -> int:
        self.note(run, name)
        while (Path(self.directory) / f"hold-{name}").exists():
            await run.sleep(0.002)
        self.note(run, f"{name}!")
        return os.getpid()

    def note(self, run: RunContext, what: str) -> None:
        with (Path(self.directory) / "did").open("a") as diary:
            diary.write(f"{what} {run.id} {os.getpid()} {run.now():.6f}\n")


async def serve(options: dict[str, Any]) -> None:
    clock = SystemClock()
    store = await open_store(options["url"], clock)
    node = Node(store, clock, Path(options["state"]), host=options.get("host"))
    await node.start()
    jobs = {name: Diary(directory=options["dir"]) for name in ("diary", "other")}
    runner = Runner(store, clock, node, jobs, {}, poll=options.get("poll", 5.0))
    for number in range(options.get("enqueue", 0)):
        key, now = f"diary@{number}", clock.now()
        await store.write(partial(enqueue, job="diary", key=key, due_at=now, now=now))
    if options.get("child"):
        # A careless child: it inherits whatever may be inherited.
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
        print("child", child.pid, flush=True)
    print("ready", node.id, flush=True)
    if job := options.get("run_now"):
        run = await runner.run_now(job)
        print("ended", run.state.value, flush=True)
    elif role := options.get("lease"):
        async with Lease(store, clock, node, role) as lease:
            await lease.wait_held()
            print("held", lease.fence, flush=True)
            await lease.wait_lost()
            print("lost", flush=True)
    else:
        await runner.serve()
    await runner.stop()
    await node.stop()
    await store.close()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(serve(json.loads(sys.argv[1])))
