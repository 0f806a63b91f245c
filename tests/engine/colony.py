"""Agents within one process, each with a store of its own, which may die between any two of its words."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from mainstay.core.job import Job, Outcome, RunContext
from mainstay.engine.node import Node
from mainstay.engine.runner import Runner
from mainstay.engine.scheduler import Scheduler
from mainstay.ports.clock import FakeClock
from mainstay.store import nodes
from mainstay.store.base import Store, Unit
from mainstay.store.open import open_store
from tests.helpers import aeventually

T = TypeVar("T")

DAY = 86400.0


class Mortal:
    """A store that falls silent for ever after `fuse` writes: before the last of them is done, or just after."""

    def __init__(self, store: Store, fuse: int | None, chance: random.Random) -> None:
        self.dialect = store.dialect
        self.renewed = store.renewed
        self.dead = asyncio.Event()
        self._store = store
        self._fuse = fuse
        self._chance = chance

    async def write(self, unit: Unit[T]) -> T:
        if not self._burns():
            return await self._store.write(unit)
        if self._chance.random() < 0.5:
            await self._store.write(unit)
        self.dead.set()
        raise await self._silence()

    def _burns(self) -> bool:
        if self._fuse is not None:
            self._fuse -= 1
        return self._fuse == 0

    async def _silence(self) -> BaseException:
        await asyncio.Event().wait()
        return AssertionError("the dead do not speak")

    async def read(self, unit: Unit[T]) -> T:
        if self.dead.is_set():
            raise await self._silence()
        return await self._store.read(unit)

    async def wait(self, topic: str, timeout: float) -> bool:
        return await self._store.wait(topic, timeout)

    def version(self, topic: str) -> int:
        return self._store.version(topic)

    async def close(self) -> None:
        await self._store.close()


class Book:
    """What was done when: every finished piece of work, and what went on at once."""

    def __init__(self) -> None:
        self.finished: list[tuple[str, float]] = []
        self.going_on: dict[str, int] = {}
        self.overlaps: list[str] = []


class Work(Job):
    """Two steps that take `lasting` seconds each."""

    steps = ("first", "second")
    lasting: float = 0.0

    async def run(self, run: RunContext) -> Outcome:
        book = run.get(Book)
        agent = run.get(Agent)
        if book.going_on.get(run.job):
            book.overlaps.append(run.id)
        book.going_on[run.job] = agent.number
        for name in self.steps:
            await run.step(name, lambda: run.sleep(self.lasting))
        book.going_on.pop(run.job)
        book.finished.append((run.job, run.due_at))
        return Outcome("worked")


class Agent:
    """A node with a scheduler and a runner."""

    def __init__(self, colony: Colony, number: int, fuse: int | None) -> None:
        self.colony = colony
        self.number = number
        self.fuse = fuse
        self.alive = True
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        colony = self.colony
        self.opened = await open_store(colony.url, colony.clock)
        self.store = Mortal(self.opened, self.fuse, colony.chance)
        ports: dict[type, object] = {Book: colony.book, Agent: self}
        self.tasks = [asyncio.create_task(self._die_when_told())]
        self.node = Node(
            self.store, colony.clock, colony.directory, beat_every=colony.pace, dead_after=4 * colony.pace
        )
        self.tasks.append(asyncio.create_task(self._live(ports)))

    async def _live(self, ports: Mapping[type, object]) -> None:
        colony = self.colony
        await self.node.start()
        self.runner = Runner(self.store, colony.clock, self.node, colony.jobs, ports, poll=colony.pace)
        scheduler = Scheduler(self.store, colony.clock, colony.jobs, look_every=colony.pace)
        await asyncio.gather(self.runner.serve(), scheduler.serve())

    async def _die_when_told(self) -> None:
        await self.store.dead.wait()
        self.die()

    def die(self) -> None:
        """As SIGKILL does it: nothing is said, and the kernel closes the lock."""
        self.alive = False
        tasks = [*self.tasks, *self.node._tasks]
        if hasattr(self, "runner"):
            tasks += [*self.runner._loops, *self.runner._tries]
            tasks += [context.work for context in self.runner._active.values() if context.work]
        for task in tasks:
            if task is not asyncio.current_task():
                task.cancel()
        book = self.colony.book
        book.going_on = {job: number for job, number in book.going_on.items() if number != self.number}
        if self.node._lock is not None:
            os.close(self.node._lock)
            self.node._lock = None


class Colony:
    """Agents on one journal and one clock. `pace` is how often, in seconds, they look without being told."""

    def __init__(
        self, url: str, clock: FakeClock, directory: Path, jobs: Mapping[str, Job], pace: float, seed: int = 0
    ) -> None:
        self.url = url
        self.clock = clock
        self.directory = directory
        self.jobs = jobs
        self.pace = pace
        self.book = Book()
        self.chance = random.Random(seed)
        self.agents: list[Agent] = []

    async def start(self, fuse: int | None = None) -> Agent:
        agent = Agent(self, len(self.agents), fuse)
        self.agents.append(agent)
        await agent.start()
        await self.clock.settle()
        return agent

    @property
    def living(self) -> list[Agent]:
        return [agent for agent in self.agents if agent.alive]

    async def buried(self, store: Store) -> None:
        """Wait until the living know of every death; the clock stands still meanwhile."""
        dead = {agent.node.id for agent in self.agents if not agent.alive}
        for agent in self.agents:
            if not agent.alive:
                await agent.opened.close()

        async def gone() -> bool:
            return not dead & {row.id for row in await store.read(nodes.everyone)}

        if self.living:
            await aeventually(gone)
            await self.clock.settle()

    async def close(self) -> None:
        for agent in self.living:
            agent.die()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        mine = [task for task in rest if "journal-listener" not in task.get_name()]
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)
        for agent in self.agents:
            await agent.opened.close()
