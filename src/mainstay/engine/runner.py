"""The runner: takes runs from the queue and does them, step by step, until they have ended for good."""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from mainstay.core import crash
from mainstay.core.errors import JournalError, MainstayError
from mainstay.core.ids import new_id
from mainstay.core.job import Job
from mainstay.core.run import Run, RunState
from mainstay.core.secret import redact
from mainstay.core.units import format_duration
from mainstay.engine.context import Context, masked
from mainstay.engine.ending import Ending, judge
from mainstay.engine.node import Node
from mainstay.engine.patience import rest
from mainstay.engine.progress import Listener, OnLog, OnProgress
from mainstay.engine.queue import enqueue
from mainstay.ports.clock import Clock
from mainstay.store import runs
from mainstay.store.base import Store, Tx

logger = logging.getLogger(__name__)

RunHook = Callable[[Tx, Run], None]
"""Called in the transaction that ends a run (done, failed for good) or parks it."""

FIRST_PAUSE = 15.0
"""Seconds before the first retry, at most; every further pause may be twice as long."""
STOP_GRACE = 10.0
"""Seconds that a stopped job gets to clean up."""
DEATHS = 10
"""After so many a run is taken for what kills its owners."""
STRANGE_AFTER = 60.0
"""Seconds after which a waiting run whose job is not configured is parked."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A run that this process owns, and the results of its finished steps."""

    run: Run
    memo: Mapping[str, Any]


class Runner:
    """Runs jobs by name in this process, which `node` makes an owner.

    `ports` are the adapters that jobs may ask for by type. `poll` is how often, in seconds, the journal is looked
    at although nothing was signalled. `jobs` may be replaced at any time, when the configuration has changed. At most
    `max_parallel` runs go on at a time; urgent ones do not count and do not wait.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        node: Node,
        jobs: Mapping[str, Job],
        ports: Mapping[type, object],
        hooks: Sequence[RunHook] = (),
        max_parallel: int = 4,
        poll: float = 5.0,
    ) -> None:
        self.jobs = jobs
        self._store = store
        self._clock = clock
        self.node = node
        self._ports = ports
        self._hooks = hooks
        self._max_parallel = max_parallel
        self._poll = poll
        self._wake = asyncio.Event()
        self._serving = False
        self._stopping = False
        self._taking = 0
        self._active: dict[str, Context] = {}
        self._tries: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._hurry = False
        node.listen(self._hear_of_death)

    async def serve(self) -> None:
        """Take runs as they become due, until `stop`."""
        self._serving = True
        self._begin()
        await asyncio.wait(self._loops, return_when=asyncio.FIRST_COMPLETED)

    async def run_now(
        self,
        job: str,
        args: Mapping[str, Any] | None = None,
        why: str = "manual",
        on_progress: OnProgress | None = None,
        on_log: OnLog | None = None,
        key: str | None = None,
    ) -> Run:
        """Run a job in this process, which owns the run from its first instant; gives the run as it ended.

        Retries happen here too. While another run of the job is under way this one waits, or is left out, as the
        job's overlap rule says. If this process is killed, another node finishes the run. `key`: of one that waits.
        """
        if job not in self.jobs:
            raise MainstayError(f"there is no job {job!r}", hint=f"jobs are: {', '.join(sorted(self.jobs))}")
        self._begin()
        now = self._clock.now()
        key = key or f"{job}:manual:{new_id(now)}"

        def ask(tx: Tx) -> tuple[Run, Begun | None]:
            run = enqueue(tx, job, key=key, due_at=now, now=now, args=args, why=why, owner=self.node.id)
            return run, self._take(tx, run)

        self._taking += 1
        try:
            run, begun = await self._store.write(ask)
            while True:
                if begun is not None:
                    await self._spawn(begun, Listener(on_log, on_progress))
                version = self._store.version("runs")
                run = await self._store.read(partial(runs.require, run_id=run.id))
                if run.state.ended or run.state is RunState.PARKED or self._stopping:
                    return run
                await self._wait_for(run, version)
                begun = await self._store.write(partial(self._take, run=run))
        finally:
            self._taking -= 1

    async def stop(self, grace: float = 10.0) -> None:
        """Take nothing more, let running steps end within `grace` seconds, give unfinished runs back."""
        self._stopping = True
        self._wake.set()
        for context in self._active.values():
            context.leaving = True
        await self._until_idle(grace)
        for context in self._active.values():
            context.stop(lost=False)
        await self._until_idle(STOP_GRACE)
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)

    async def _until_idle(self, patience: float) -> None:
        if self._tries:
            timer = asyncio.ensure_future(self._clock.sleep(patience))
            everything = asyncio.ensure_future(asyncio.wait(set(self._tries)))
            await asyncio.wait([everything, timer], return_when=asyncio.FIRST_COMPLETED)
            everything.cancel()
            timer.cancel()

    def _hear_of_death(self) -> None:
        self._hurry = True
        self._wake.set()

    def _begin(self) -> None:
        if not self._loops:
            self._loops = [asyncio.create_task(self._rounds()), asyncio.create_task(self._signals())]

    async def _signals(self) -> None:
        while True:
            await self._store.wait("runs", self._poll)
            self._wake.set()

    async def _rounds(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                pause = await self._round()
            except JournalError as fault:
                logger.warning("the queue cannot be read: %s", fault)
                pause = min(1.0, self._poll)
            except Exception:
                logger.exception("a round of the queue failed")
                pause = self._poll
            await rest(self._clock, self._wake, pause)

    async def _round(self) -> float | None:
        """See to what is owned, take what may start; gives after how many seconds the next run may start."""
        known = dict(self._active)
        free = self._free()
        names = [name for name, job in self.jobs.items() if free > 0 or job.urgent] if self._serving else []
        if self._hurry and names:
            # Somebody died: look for the work that is free now before anything else.
            self._hurry = False
            await self._claim(free, tidy=False)
            return 0.0

        def look(tx: Tx) -> tuple[set[tuple[str, int]], float | None, bool]:
            now = self._clock.now()
            at = runs.next_at(tx, self.node.id, names, now) if names else None
            return runs.owned(tx, self.node.id), at, self._serving and self._untidy(tx, now)

        owned, at, untidy = await self._store.read(look)
        await self._see_to(owned, known)
        now = self._clock.now()
        if untidy or (at is not None and at <= now):
            return 0.0 if await self._claim(free, tidy=untidy) else None
        return None if at is None else at - now

    def _free(self) -> int:
        """Say how many runs that are not urgent may be begun."""
        busy = sum(1 for context in self._active.values() if not context.kind.urgent)
        return max(0, self._max_parallel - busy) if self._serving else 0

    async def _claim(self, free: int, *, tidy: bool) -> int:
        """Take what may start and start it; gives how many."""
        begun = await self._store.write(lambda tx: self._tidy_and_take(tx, free, tidy))
        for one in begun:
            _ = self._spawn(one)
        return len(begun)

    async def _see_to(self, owned: set[tuple[str, int]], known: Mapping[str, Context]) -> None:
        for context in known.values():
            if (context.id, context.run.fence) not in owned:
                context.stop(lost=True)
        strays = [(run, fence) for run, fence in owned if run not in known and run not in self._active]
        if strays and not self._taking:
            await self._store.write(lambda tx: self._give_back(tx, strays))

    def _give_back(self, tx: Tx, strays: Sequence[tuple[str, int]]) -> None:
        """Release what the journal says is ours but nobody here works on: an answer got lost on its way."""
        for run_id, fence in strays:
            run = runs.get(tx, run_id)
            if run is not None and run.owner == self.node.id and run.fence == fence and runs.release(tx, run):
                tx.signal("runs")

    def _untidy(self, tx: Tx, now: float) -> bool:
        return bool(
            runs.left_out(tx, self._skipping(), now) or runs.strangers(tx, self.jobs, now - STRANGE_AFTER)
        )

    def _tidy_and_take(self, tx: Tx, free: int, tidy: bool) -> list[Begun]:
        now = self._clock.now()
        if tidy:
            self._tidy(tx, now)
        taken = [] if self._stopping else self._take_due(tx, now, free)
        if taken:
            tx.signal("runs")
        return [begun for run in taken if (begun := self._open(tx, run)) is not None]

    def _take_due(self, tx: Tx, now: float, free: int) -> list[Run]:
        urgent = [name for name, job in self.jobs.items() if job.urgent]
        taken = runs.claim(tx, self.node.id, urgent, now, len(urgent)) if urgent else []
        others = self.jobs.keys() - set(urgent)
        return taken + (runs.claim(tx, self.node.id, others, now, free) if free > 0 else [])

    def _tidy(self, tx: Tx, now: float) -> None:
        for run_id, busy in runs.left_out(tx, self._skipping(), now):
            self._leave_out(tx, run_id, busy)
        for stranger in runs.strangers(tx, self.jobs, now - STRANGE_AFTER):
            error = f"the job {stranger.job} is not in the configuration any more"
            if runs.close(tx, stranger.id, RunState.PARKED, now, error=error):
                tx.signal("runs")
                self._tell(tx, runs.require(tx, stranger.id))

    def _skipping(self) -> list[str]:
        return [name for name, job in self.jobs.items() if job.overlap == "skip"]

    def _leave_out(self, tx: Tx, run_id: str, busy: str) -> None:
        summary = f"left out, because run {busy} of this job had not ended"
        runs.close(tx, run_id, RunState.CANCELLED, self._clock.now(), summary=summary)
        tx.signal("runs")

    def _take(self, tx: Tx, run: Run) -> Begun | None:
        """Take one run that is reserved for this node."""
        now = self._clock.now()
        for run_id, busy in runs.left_out(tx, self._skipping(), now):
            if run_id == run.id:
                self._leave_out(tx, run_id, busy)
        if run.next_try_at is not None and run.next_try_at > now:
            return None
        taken = runs.take(tx, run.id, run.job, self.node.id, now)
        if taken is None:
            return None
        tx.signal("runs")
        return self._open(tx, taken)

    def _open(self, tx: Tx, run: Run) -> Begun | None:
        """Compare the plan that the run began with and today's; None when it cannot go on."""
        steps = tuple(self.jobs[run.job].steps)
        memo = runs.steps(tx, run.id)
        if run.fence > DEATHS and (deaths := runs.deaths(tx, run.id)) >= DEATHS:
            error = f"given up: {deaths} processes died while they ran it"
            self._end(tx, run, Ending(RunState.FAILED, error))
            return None
        if not run.plan and not memo:
            runs.plan(tx, run.id, steps)
            return Begun(replace(run, plan=steps), memo)
        if run.plan != steps:
            was, now = ", ".join(run.plan) or "none", ", ".join(steps) or "none"
            error = f"its steps have changed while it was unfinished: they were {was} and are {now}"
            self._end(tx, run, Ending(RunState.PARKED, error))
            return None
        return Begun(run, memo)

    def _spawn(self, begun: Begun, listener: Listener | None = None) -> "asyncio.Task[None]":
        run = begun.run
        context = Context(
            self._store, self._clock, run, self.jobs[run.job], begun.memo, self._ports, listener
        )
        self._active[run.id] = context
        task = asyncio.create_task(self._do(context), name=f"run {run.job} {run.id}")
        self._tries.add(task)
        task.add_done_callback(self._tries.discard)
        return task

    async def _do(self, context: Context) -> None:
        try:
            crash.point("engine.claimed")
            ending = await self._attempt(context)
            kept = False
            if not context.lost:
                crash.point("engine.before_end")
                kept = await self._finish(context, ending)
            if not kept:
                logger.info(
                    "run %s of %s was ended or has another owner; left alone", context.id, context.job
                )
        except Exception:
            logger.exception("run %s of %s could not be carried out", context.id, context.job)
        finally:
            del self._active[context.id]
            self._wake.set()

    async def _attempt(self, context: Context) -> Ending:
        job = context.kind
        work = context.work = asyncio.create_task(job.run(context))
        publishing = asyncio.create_task(context.publish())
        timer = asyncio.ensure_future(self._clock.sleep(job.timeout))
        try:
            await asyncio.wait({work, timer}, return_when=asyncio.FIRST_COMPLETED)
            late = not work.done()
            if late:
                work.cancel()
                grace = asyncio.ensure_future(self._clock.sleep(STOP_GRACE))
                await asyncio.wait({work, grace}, return_when=asyncio.FIRST_COMPLETED)
                grace.cancel()
            return judge(work, timeout=job.timeout, late=late, given_back=context.leaving and context.stopped)
        finally:
            publishing.cancel()
            timer.cancel()

    async def _finish(self, context: Context, ending: Ending) -> bool:
        run = context.run
        again = ending.retry and run.attempt <= context.kind.retries
        pause = random.uniform(0, min(runs.LONGEST_PAUSE, FIRST_PAUSE * 2 ** (run.attempt - 1)))  # noqa: S311
        if ending.log:
            context.log(ending.log)
        if ending.error:
            context.log(
                f"failed: {ending.error}" + (f"; next try in {format_duration(pause)}" if again else "")
            )

        def unit(tx: Tx) -> bool:
            tx.signal("runs")
            if ending.state is RunState.QUEUED:
                return runs.release(tx, run)
            if again:
                reserved = self.node.id if context.listener else None
                return runs.later(tx, run, self._clock.now() + pause, ending.error or "", reserved)
            self._end(tx, run, ending)
            return True

        return bool(await context.finish(unit))

    def _end(self, tx: Tx, run: Run, ending: Ending) -> None:
        outcome = ending.outcome
        ended = runs.settle(
            tx,
            run,
            ending.state,
            self._clock.now(),
            summary=redact(outcome.summary) if outcome else "",
            outcome=masked(outcome.data) if outcome else None,
            error=ending.error,
        )
        if ended is not None:
            tx.signal("runs")
            self._tell(tx, ended)

    def _tell(self, tx: Tx, run: Run) -> None:
        for hook in self._hooks:
            try:
                hook(tx, run)
            except JournalError:
                raise
            except Exception:
                # The run has ended, whatever its observers make of it; a run that cannot end would block its job.
                logger.exception("the end of run %s could not be passed on", run.id)

    async def _wait_for(self, run: Run, version: int) -> None:
        pause = self._poll
        if run.next_try_at is not None:
            pause = min(pause, max(0.0, run.next_try_at - self._clock.now()))
        if self._store.version("runs") == version:
            await self._store.wait("runs", pause)
