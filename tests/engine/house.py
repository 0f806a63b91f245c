"""Nodes, runners and jobs to try them with."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from mainstay.core.errors import JournalError
from mainstay.core.job import Job, Outcome, RunContext
from mainstay.core.run import Run
from mainstay.engine.node import Node
from mainstay.engine.queue import enqueue
from mainstay.engine.runner import RunHook, Runner
from mainstay.ports.clock import FakeClock
from mainstay.store import runs
from mainstay.store.base import Store, Unit

T = TypeVar("T")


class Weak:
    """A store that may be out of reach."""

    def __init__(self, store: Store) -> None:
        self.dialect = store.dialect
        self.renewed = store.renewed
        self.away = False
        self._store = store

    def _reach(self) -> None:
        if self.away:
            raise JournalError("the journal is out of reach")

    async def write(self, unit: Unit[T]) -> T:
        self._reach()
        return await self._store.write(unit)

    async def read(self, unit: Unit[T]) -> T:
        self._reach()
        return await self._store.read(unit)

    async def wait(self, topic: str, timeout: float) -> bool:
        return await self._store.wait(topic, timeout)

    def version(self, topic: str) -> int:
        return self._store.version(topic)

    async def close(self) -> None:
        await self._store.close()


class World:
    """What jobs have done, in order; and gates that hold them."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.reached = asyncio.Condition()

    def gate(self, name: str) -> asyncio.Event:
        return self.gates.setdefault(name, asyncio.Event())

    async def act(self, what: str) -> str:
        self.done.append(what)
        if what in self.gates:
            await self.gates[what].wait()
        return what


class ThreeSteps(Job):
    """Does a, b and c in the world."""

    steps: ClassVar[tuple[str, ...]] = ("a", "b", "c")

    async def run(self, run: RunContext) -> Outcome:
        world = run.get(World)
        results = [await run.step(name, partial(world.act, name)) for name in self.steps]
        run.log("all three are done")
        return Outcome(f"did {len(results)} steps", {"results": results})


class Script(Job):
    """A job whose body and steps are a test's."""

    steps: ClassVar[tuple[str, ...]] = ("one", "two")
    body: Any

    async def run(self, run: RunContext) -> Outcome:
        outcome: Outcome = await self.body(run)
        return outcome


async def nothing(run: RunContext) -> Outcome:
    return Outcome("nothing")


class House:
    """Everything that a test of the engine needs, on one journal and one clock."""

    def __init__(self, store: Store, clock: FakeClock, directory: Path) -> None:
        self.store = store
        self.clock = clock
        self.directory = directory
        self.world = World()
        self.ended: list[Run] = []
        self._stops: list[Any] = []

    async def node(self, store: Store | None = None, **options: Any) -> Node:
        node = Node(store or self.store, self.clock, self.directory, **options)
        await node.start()
        self._stops.append(node.stop)
        return node

    async def die(self, node: Node) -> None:
        """Let a node die within this process: it beats no more, says nothing, and the kernel closes its lock."""
        self.forget(node)
        for task in list(node._tasks):
            task.cancel()
        assert node._lock is not None
        os.close(node._lock)
        node._lock = None

    def forget(self, node: Node) -> None:
        """Do not stop a node at the end."""
        self._stops.remove(node.stop)

    async def runner(
        self,
        jobs: Mapping[str, Job],
        *,
        node: Node | None = None,
        store: Store | None = None,
        serve: bool = True,
        hooks: Sequence[RunHook] = (),
        **options: Any,
    ) -> Runner:
        node = node or await self.node(store)
        ports: dict[type, object] = {World: self.world}
        hooks = [*hooks, lambda tx, run: self.ended.append(run)]
        runner = Runner(store or self.store, self.clock, node, jobs, ports, hooks, **options)
        if serve:
            task = asyncio.create_task(runner.serve())
            self._stops.append(lambda: asyncio.wait([task]))
        self._stops.append(runner.stop)
        return runner

    async def enqueue(self, job: str, key: str, **options: Any) -> Run:
        now = self.clock.now()
        due_at = options.pop("due_at", now)
        return await self.store.write(lambda tx: enqueue(tx, job, key=key, due_at=due_at, now=now, **options))

    async def run(self, run_id: str) -> Run:
        return await self.store.read(lambda tx: runs.require(tx, run_id))

    async def lines(self, run_id: str) -> list[str]:
        return [line for _, _, line in await self.store.read(lambda tx: runs.lines(tx, run_id))]

    async def close(self) -> None:
        for stop in reversed(self._stops):
            closing = asyncio.ensure_future(stop())
            while not closing.done():
                await self.clock.advance(1)
            await closing
