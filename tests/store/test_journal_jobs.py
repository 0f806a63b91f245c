"""The journal's own jobs, run by the real runner."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from mainstay.core.check import Result, Verdict
from mainstay.core.job import Job
from mainstay.core.run import Run, RunState
from mainstay.engine.journal_jobs import COPIED, JournalBackup, JournalPorts, JournalPrune
from mainstay.engine.node import Node
from mainstay.engine.queue import enqueue
from mainstay.engine.runner import Runner
from mainstay.ports.clock import SystemClock
from mainstay.store import meta, results, runs
from mainstay.store.base import Store, Tx
from tests.helpers import aeventually
from tests.journals import Journal, get


async def run(store: Store, directory: Path, job: Job, ports: JournalPorts) -> Run:
    """Do a job once, to its end."""
    clock = SystemClock()
    node = Node(store, clock, directory)
    await node.start()
    runner = Runner(store, clock, node, {"job": job}, {JournalPorts: ports}, [])
    serving = asyncio.create_task(runner.serve())
    now = clock.now()
    queued = await store.write(lambda tx: enqueue(tx, "job", key="job@1", due_at=now, now=now))

    async def ended() -> Run | None:
        found = await store.read(lambda tx: runs.require(tx, queued.id))
        return found if found.state.ended else None

    done = await aeventually(ended, 20)
    await runner.stop()
    await asyncio.wait([serving])
    await node.stop()
    assert isinstance(done, Run)
    return done


async def test_the_journal_copies_itself_or_says_who_does(journal: Journal, tmp_path: Path) -> None:
    async with journal.opened() as store:
        ports = JournalPorts(store, journal.path, tmp_path / "copies")
        done = await run(store, tmp_path, JournalBackup(), ports)
        noted = await store.read(get(COPIED))
    if journal.path is None:
        assert done.state is RunState.FAILED
        assert "databases:" in (done.error or "")
        assert noted is None
        return
    assert (done.state, done.error) == (RunState.DONE, None)
    assert "copied and checked" in done.summary
    assert json.loads(noted or "") == done.outcome
    assert Path(done.outcome["path"]).stat().st_size == done.outcome["bytes"]


async def test_old_answers_are_summed_up_and_forgotten(journal: Journal, tmp_path: Path) -> None:
    now = SystemClock().now()
    old = [Result("api/http", "api", Verdict.OK, "fine", now - 3 * 86400 + 60 * i, 0.1) for i in range(100)]
    new = [Result("api/http", "api", Verdict.OK, "fine", now - i, 0.1) for i in range(10)]
    asked: list[float] = []

    def also(tx: Tx, at: float) -> int:
        asked.append(at)
        meta.put(tx, "also", "1")
        return 1 if len(asked) == 1 else 0

    async with journal.opened() as store:
        await store.write(lambda tx: results.record(tx, [*old, *new]))
        ports = JournalPorts(store, journal.path, tmp_path, (also,))
        done = await run(store, tmp_path, JournalPrune(), ports)
        left = await store.read(lambda tx: tx.all("results.span", start=0.0, end=now + 1))
        hours = await store.read(lambda tx: tx.all("results.samples", span=results.HOUR))
    assert (done.state, done.error) == (RunState.DONE, None)
    # Whole hours are dropped, so answers of the hour in which the limit falls are still there.
    assert done.outcome["dropped"] == 101
    assert len(left) == 10
    assert sum(row["ok"] for row in hours) >= 100
    assert len(asked) == 2
