"""The queue against a model: whatever nodes and people do in whatever order, its rules hold."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mainstay.core.errors import MainstayError
from mainstay.core.run import Run, RunState
from mainstay.engine import queue
from mainstay.ports.clock import SystemClock
from mainstay.store import nodes, runs
from mainstay.store.base import Tx
from mainstay.store.open import open_store

T = TypeVar("T")

JOBS = ("alpha", "beta")
NODES = ("n1", "n2")
ENDED = (RunState.DONE, RunState.FAILED, RunState.CANCELLED)

job_names = st.sampled_from(JOBS)
node_names = st.sampled_from(NODES)
numbers = st.integers(0, 10_000)


@dataclass
class Belief:
    """What the model knows of a run."""

    id: str
    job: str
    state: RunState = RunState.QUEUED
    owner: str | None = None
    fence: int = 0
    next_try_at: float | None = None
    started: bool = False
    due_at: float = 0.0
    steps: dict[str, int] = field(default_factory=dict)


class Queue(RuleBasedStateMachine):
    """Nodes claim, finish, fail and die; people queue, cancel and retry; old owners go on writing."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = tempfile.TemporaryDirectory()
        path = Path(self.directory.name) / "journal.db"
        self.store = self.loop.run_until_complete(open_store(f"sqlite:///{path}", SystemClock()))
        self.now = 1_780_000_000.0
        self.model: dict[str, Belief] = {}
        self.alive: set[str] = set()
        self.tickets: list[Run] = []
        self.highest: dict[str, int] = {}

    def teardown(self) -> None:
        self.loop.run_until_complete(self.store.close())
        self.loop.close()
        self.directory.cleanup()

    def write(self, unit: Callable[[Tx], T]) -> T:
        return self.loop.run_until_complete(self.store.write(unit))

    def read(self, unit: Callable[[Tx], T]) -> T:
        return self.loop.run_until_complete(self.store.read(unit))

    def chosen(self, number: int) -> Belief:
        return list(self.model.values())[number % len(self.model)]

    def ready(self) -> list[Belief]:
        busy = {one.job for one in self.model.values() if one.state is RunState.RUNNING}
        waiting = [
            one
            for one in self.model.values()
            if one.state is RunState.QUEUED
            and one.job not in busy
            and (one.next_try_at is None or one.next_try_at <= self.now)
        ]
        return sorted(waiting, key=lambda one: (not one.started, one.due_at, one.id))

    @initialize()
    def both_nodes_are_there(self) -> None:
        for node in NODES:
            self.a_node_joins(node)

    @rule(seconds=st.floats(0.1, 500))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(node=node_names)
    def a_node_joins(self, node: str) -> None:
        row = nodes.NodeRow(node, "host", 1, "agent", self.now, self.now)
        self.write(lambda tx: nodes.join(tx, row))
        self.alive.add(node)

    @rule(node=node_names)
    def a_node_dies(self, node: str) -> None:
        def bury(tx: Tx) -> None:
            nodes.remove(tx, node)
            runs.free_orphans(tx)

        self.write(bury)
        self.alive.discard(node)
        for one in self.model.values():
            if one.state is RunState.RUNNING and one.owner == node:
                one.state, one.owner, one.fence = RunState.QUEUED, None, one.fence + 1

    @rule(job=job_names, key=st.integers(0, 2), later=st.sampled_from([0.0, 0.0, 300.0]))
    def a_run_is_queued(self, job: str, key: int, later: float) -> None:
        name, due = f"{job}@{key}", self.now + later
        made = self.write(lambda tx: queue.enqueue(tx, job, key=name, due_at=due, now=self.now))
        known = self.model.get(name)
        if known is None:
            self.model[name] = Belief(made.id, job, due_at=due, next_try_at=due if later else None)
        else:
            assert made.id == known.id

    @rule(node=node_names, limit=st.integers(1, 3))
    def a_node_claims(self, node: str, limit: int) -> None:
        expected: list[Belief] = []
        for one in self.ready():
            if len(expected) < limit and one.job not in {taken.job for taken in expected}:
                expected.append(one)
        taken = self.write(lambda tx: runs.claim(tx, node, JOBS, self.now, limit))
        if node not in self.alive:
            assert taken == []
            return
        assert [run.id for run in taken] == [one.id for one in expected]
        for run, one in zip(taken, expected, strict=True):
            one.state, one.owner, one.fence, one.started = RunState.RUNNING, node, one.fence + 1, True
            one.next_try_at = None
            assert (run.owner, run.fence) == (one.owner, one.fence)
        self.tickets += taken

    def ticket(self, number: int) -> Run:
        """One of the newest claims, whether it is still good or was followed by another."""
        recent = self.tickets[-6:]
        return recent[number % len(recent)]

    def current(self, ticket: Run) -> Belief | None:
        """The run of a ticket, if the ticket is still good."""
        one = self.model[ticket.key]
        good = one.state is RunState.RUNNING and (one.owner, one.fence) == (ticket.owner, ticket.fence)
        return one if good else None

    @precondition(lambda self: self.tickets)
    @rule(number=numbers, step=st.sampled_from("abc"))
    def an_owner_keeps_a_step(self, number: int, step: str) -> None:
        ticket = self.ticket(number)
        one = self.current(ticket)
        kept = self.write(lambda tx: runs.keep_step(tx, ticket, step, 0, 0, str(number)))
        assert kept == (one is not None)
        if one is not None:
            one.steps.setdefault(step, number)

    @precondition(lambda self: self.tickets)
    @rule(number=numbers, state=st.sampled_from([RunState.DONE, RunState.FAILED, RunState.PARKED]))
    def an_owner_ends_a_run(self, number: int, state: RunState) -> None:
        ticket = self.ticket(number)
        one = self.current(ticket)
        ended = self.write(lambda tx: runs.settle(tx, ticket, state, self.now))
        assert (ended is not None) == (one is not None)
        if one is not None:
            one.state = state

    @precondition(lambda self: self.tickets)
    @rule(number=numbers, pause=st.floats(0, 800))
    def an_owner_tries_again_later(self, number: int, pause: float) -> None:
        ticket = self.ticket(number)
        one = self.current(ticket)
        at = self.now + pause
        assert self.write(lambda tx: runs.later(tx, ticket, at, "failed")) == (one is not None)
        if one is not None:
            one.state, one.owner, one.next_try_at = RunState.QUEUED, None, at

    @precondition(lambda self: self.tickets)
    @rule(number=numbers)
    def an_owner_gives_a_run_back(self, number: int) -> None:
        ticket = self.ticket(number)
        one = self.current(ticket)
        assert self.write(lambda tx: runs.release(tx, ticket)) == (one is not None)
        if one is not None:
            one.state, one.owner, one.fence = RunState.QUEUED, None, one.fence + 1

    @precondition(lambda self: self.model)
    @rule(number=numbers)
    def a_person_cancels(self, number: int) -> None:
        one = self.chosen(number)
        refused = one.state in ENDED
        assert self.refused(lambda tx: queue.cancel(tx, one.id, now=self.now)) == refused
        if not refused:
            one.state, one.fence = RunState.CANCELLED, one.fence + 1

    @precondition(lambda self: self.model)
    @rule(number=numbers)
    def a_person_retries(self, number: int) -> None:
        one = self.chosen(number)
        refused = one.state not in (RunState.FAILED, RunState.PARKED, RunState.CANCELLED)
        assert self.refused(lambda tx: queue.retry(tx, one.id)) == refused
        if refused:
            return
        if one.state is RunState.PARKED:
            one.steps, one.started = {}, False
        one.state, one.owner, one.fence, one.next_try_at = RunState.QUEUED, None, one.fence + 1, None

    def refused(self, unit: Callable[[Tx], Any]) -> bool:
        try:
            self.write(unit)
        except MainstayError:
            return True
        return False

    @invariant()
    def the_journal_is_as_the_model_says(self) -> None:
        def everything(tx: Tx) -> dict[str, tuple[Run | None, dict[str, Any]]]:
            return {key: (runs.by_key(tx, key), runs.steps(tx, one.id)) for key, one in self.model.items()}

        for key, (run, steps) in self.read(everything).items():
            one = self.model[key]
            assert run is not None
            assert (run.id, run.state, run.fence, steps) == (one.id, one.state, one.fence, one.steps)
            if one.state is RunState.RUNNING:
                assert run.owner == one.owner
                assert one.owner in self.alive
            assert run.fence >= self.highest.get(key, 0)
            self.highest[key] = run.fence

    @invariant()
    def no_job_runs_twice_at_once(self) -> None:
        running = [one.job for one in self.model.values() if one.state is RunState.RUNNING]
        assert len(running) == len(set(running))

    @invariant()
    def the_next_start_is_known(self) -> None:
        at = self.read(lambda tx: runs.next_at(tx, "n1", JOBS, self.now))
        if self.ready():
            assert at is not None
            assert at <= self.now
        else:
            assert at is None or at > self.now


TestQueue = Queue.TestCase
TestQueue.settings = settings(
    max_examples=60, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
