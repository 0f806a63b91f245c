"""Old runs are forgotten with their steps and logs; what has not ended never is."""

from __future__ import annotations

from mainstay.core.run import RunState
from mainstay.engine.queue import enqueue
from mainstay.store import runs
from mainstay.store.base import Store, Tx


async def test_only_runs_that_ended_long_ago_are_forgotten(store: Store) -> None:
    def seed(tx: Tx) -> None:
        for key, ended in (("old", 100.0), ("young", 900.0), ("waiting", None)):
            run = enqueue(tx, "tidy", key=key, due_at=50.0, now=50.0)
            runs.add_lines(tx, run.id, [(60.0, "a line")])
            if ended:
                runs.close(tx, run.id, RunState.FAILED, ended)

    await store.write(seed)
    assert await store.write(lambda tx: runs.prune(tx, 500.0)) == 1
    assert await store.write(lambda tx: runs.prune(tx, 500.0)) == 0
    left = {run.key: run for run in await store.read(lambda tx: runs.latest(tx, "tidy"))}
    assert set(left) == {"young", "waiting"}
    assert await store.read(lambda tx: len(runs.lines(tx, left["young"].id))) == 1
