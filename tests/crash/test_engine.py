"""Killed at every named point of a run: the successor finishes the run, and no finished step is repeated."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstay.core.run import Run, RunState
from mainstay.store import runs
from mainstay.store.base import Tx
from tests.engine.processes import DEADLINE, Yard, yard
from tests.helpers import aeventually
from tests.journals import Journal, journal

__all__ = ["journal"]

POINTS = [
    "engine.claimed",
    "engine.step_done",
    "engine.step_done@2",
    "engine.step_done@3",
    "engine.step_kept",
    "engine.step_kept@2",
    "engine.step_kept@3",
    "engine.before_end",
]
COMMITS = [
    *(f"journal.before_commit@{number}" for number in range(2, 9)),
    *(f"journal.committed@{number}" for number in (3, 5, 7)),
]


@pytest.fixture
def processes(journal: Journal, tmp_path: Path) -> Iterator[Yard]:
    with yard(journal, tmp_path) as made:
        yield made


async def killed_and_followed(processes: Yard, journal: Journal, point: str) -> None:
    first = processes.start(crash_at=point, enqueue=1)
    assert first.process.wait(DEADLINE) == -signal.SIGKILL
    processes.start()
    async with journal.opened() as store:

        def look(tx: Tx) -> Run | None:
            return runs.by_key(tx, "diary@0")

        async def ended() -> Run | None:
            found = await store.read(look)
            return found if found is not None and found.state is RunState.DONE else None

        if await store.read(look) is None:
            return  # it died before the run was queued
        run = await aeventually(ended, DEADLINE)
        assert run is not None
        kept = await store.read(lambda tx: runs.steps(tx, run.id))
        lines = await store.read(lambda tx: runs.lines(tx, run.id))
        assert list(kept) == ["a", "b", "c"]
        assert (run.summary, run.attempt, run.error) == ("written down", 1, None)
        assert [number for number, _, _ in lines] == list(range(1, len(lines) + 1))


@pytest.mark.parametrize("point", POINTS)
async def test_a_run_survives_death_at_every_point(processes: Yard, journal: Journal, point: str) -> None:
    await killed_and_followed(processes, journal, point)
    name, _, number = point.partition("@")
    repeated = ["a", "b", "c"][int(number or 1) - 1] if name == "engine.step_done" else None
    for step in ("a", "b", "c"):
        assert processes.count_of(f"{step}!") == (2 if step == repeated else 1)


@pytest.mark.parametrize("point", COMMITS)
async def test_a_run_survives_death_around_every_commit(
    processes: Yard, journal: Journal, point: str
) -> None:
    await killed_and_followed(processes, journal, point)
    for step in ("a", "b", "c"):
        assert processes.count_of(f"{step}!") <= 2
    assert sum(processes.count_of(f"{step}!") for step in ("a", "b", "c")) <= 4
