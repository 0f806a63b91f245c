"""Runs one job of upkeep by the real runner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mainstay.core.job import Job
from mainstay.core.run import Run
from mainstay.engine.node import Node
from mainstay.engine.runner import RunHook, Runner
from mainstay.ports.clock import FakeClock
from mainstay.store import runs
from mainstay.store.base import Store
from mainstay.upkeep.ports import UpkeepPorts


class House:
    """A journal, a clock and a runner for jobs named `job`."""

    def __init__(self, store: Store, clock: FakeClock, directory: Path) -> None:
        self.store = store
        self.clock = clock
        self.directory = directory
        self.hooks: list[RunHook] = []
        self.more: dict[type, object] = {}

    async def run(
        self, job: Job, *, ports: UpkeepPorts | None = None, args: Mapping[str, Any] | None = None
    ) -> Run:
        """Do a job once, to its end."""
        node = Node(self.store, self.clock, self.directory)
        await node.start()
        given: dict[type, object] = {UpkeepPorts: ports or UpkeepPorts(self.store, self.clock), **self.more}
        runner = Runner(self.store, self.clock, node, {"job": job}, given, self.hooks)
        try:
            return await runner.run_now("job", args)
        finally:
            await self._finish(runner.stop)
            await self._finish(node.stop)

    async def lines(self, run: Run) -> list[str]:
        return [line for _, _, line in await self.store.read(lambda tx: runs.lines(tx, run.id))]

    async def _finish(self, what: Callable[[], Any]) -> None:
        ending = asyncio.ensure_future(what())
        while not ending.done():
            await self.clock.advance(1)
        await ending


def job_of(cls: type[Job], **options: Any) -> Any:
    """A job as the configuration would make it."""
    return cls.model_validate(options)
