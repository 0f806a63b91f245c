"""What a running job is given: memorised steps, a live log, progress, adapters."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any, NoReturn, TypeVar, cast

from mainstay.core import crash
from mainstay.core.job import Job
from mainstay.core.run import Run
from mainstay.core.secret import redact
from mainstay.engine.patience import patiently
from mainstay.engine.progress import Listener, Progress
from mainstay.ports.clock import Clock
from mainstay.store import runs
from mainstay.store.base import Store, Tx

T = TypeVar("T")

FLUSH = 0.5
"""Seconds between two writes of a run's log and progress, at least."""
SURE = 0.1
"""Seconds, by both clocks and from the question on, for which an answer of the journal is good enough."""
LONGEST_LINE = 4000
MOST_LINES = 20_000
"""Lines that one try may log; the rest is counted, not kept."""


class Context:
    """One try of a run in this process; a `RunContext`.

    `lost` means that the run has another owner (or a person ended it) and nothing may be written any more;
    `leaving` that this process wants to give it back at the next step.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        run: Run,
        job: Job,
        memo: Mapping[str, Any],
        ports: Mapping[type, object],
        listener: Listener | None = None,
    ) -> None:
        self.id = run.id
        self.job = run.job
        self.due_at = run.due_at
        self.attempt = run.attempt
        self.args: Mapping[str, Any] = run.args
        self.run = run
        self.kind = job
        self.listener = listener
        self.lost = False
        self.leaving = False
        self.stopped = False
        self.work: asyncio.Task[Any] | None = None
        self._store = store
        self._clock = clock
        self._sure = (float("-inf"), float("-inf"))
        self._memo = dict(memo)
        self._ports = ports
        self._lines: list[tuple[float, str]] = []
        self._logged = 0
        self._progress: Progress | None = None
        self._news = asyncio.Event()
        self._writing = asyncio.Lock()

    async def step(self, name: str, action: Callable[[], Awaitable[T]]) -> T:
        """Do `action` once, ever, in this run; see `RunContext.step`. A resumed run gets what JSON kept of it."""
        if name not in self.run.plan and not name.startswith(tuple(f"{step}:" for step in self.run.plan)):
            raise ValueError(f"{self.job} has no step {name!r}; its steps are {', '.join(self.run.plan)}")
        if name in self._memo:
            return cast(T, self._memo[name])
        await self._may_begin()
        started = self._clock.now()
        text = json.dumps(masked(await action()))
        crash.point("engine.step_done")
        finished = self._clock.now()
        sure = (self._clock.monotonic(), finished)
        if not await patiently(
            self._store, self._clock, lambda tx: self._keep(tx, name, started, finished, text)
        ):
            self._quit(lost=True)
        self._sure = sure
        crash.point("engine.step_kept")
        self._memo[name] = json.loads(text)
        return cast(T, self._memo[name])

    def _keep(self, tx: Tx, name: str, started: float, finished: float, text: str) -> bool:
        kept = runs.keep_step(tx, self.run, name, started, finished, text)
        if kept:
            tx.signal("log")
        return kept

    async def _may_begin(self) -> None:
        """A process may have been stopped for minutes between any two lines: ask the journal, then act."""
        if self.leaving or self.lost:
            self._quit(lost=self.lost)
        times = (self._clock.monotonic(), self._clock.now())
        if all(0 <= now - asked < SURE for now, asked in zip(times, self._sure, strict=True)):
            return
        if not await patiently(self._store, self._clock, lambda tx: runs.owns(tx, self.run), reading=True):
            self._quit(lost=True)

    def stop(self, *, lost: bool) -> None:
        """Stop the job where it stands."""
        self.lost = self.lost or lost
        self.stopped = True
        if self.work is not None:
            self.work.cancel()

    def _quit(self, *, lost: bool) -> NoReturn:
        self.stop(lost=lost)
        raise asyncio.CancelledError

    def log(self, line: str) -> None:
        """Add lines to the run's log; secrets are masked."""
        for part in redact(line).splitlines():
            self._logged += 1
            if self._logged == MOST_LINES:
                part = "further lines of this try are not kept"
            if self._logged <= MOST_LINES:
                self._lines.append((self._clock.now(), part[:LONGEST_LINE]))
            if self.listener is not None and self.listener.on_log is not None:
                self.listener.on_log(part)
        self._news.set()

    def progress(self, label: str, done: float, total: float | None = None, unit: str = "") -> None:
        """Say how far a long step is."""
        self._progress = Progress(redact(label), done, total, unit, self._clock.now())
        if self.listener is not None and self.listener.on_progress is not None:
            self.listener.on_progress(self._progress)
        self._news.set()

    def now(self) -> float:
        return self._clock.now()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)

    def get(self, port: type[T]) -> T:
        """Give the adapter for `port`. Raises LookupError when the composition root provides none."""
        try:
            return cast(T, self._ports[port])
        except KeyError:
            raise LookupError(f"nothing was provided for {port.__name__}") from None

    async def publish(self) -> None:
        """Write the log and the progress as they come, until cancelled."""
        while True:
            await self._news.wait()
            # A write that is under way is never left: nobody would know whether its lines are kept.
            await asyncio.shield(self._flush())
            await self._clock.sleep(FLUSH)

    async def _flush(self) -> None:
        async with self._writing:
            self._news.clear()
            lines, progress = list(self._lines), self._progress
            if await patiently(self._store, self._clock, lambda tx: self._put(tx, lines, progress)):
                del self._lines[: len(lines)]
            else:
                self.stop(lost=True)

    def _put(self, tx: Tx, lines: list[tuple[float, str]], progress: Progress | None) -> bool:
        if not runs.hold(tx, self.run):
            return False
        runs.add_lines(tx, self.id, lines)
        if progress is not None:
            runs.put_progress(tx, self.run, asdict(progress))
        tx.signal("log")
        return True

    async def finish(self, ending: Callable[[Tx], T]) -> T | None:
        """Write the rest of the log and `ending` in one unit; None when the run has another owner."""

        def unit(tx: Tx) -> T | None:
            if not runs.hold(tx, self.run):
                return None
            runs.add_lines(tx, self.id, self._lines)
            tx.signal("log")
            return ending(tx)

        async with self._writing:
            return await patiently(self._store, self._clock, unit)


def masked(value: Any) -> Any:
    """Give a JSON value with every secret in its strings masked."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redact(str(key)): masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item) for item in value]
    return value
