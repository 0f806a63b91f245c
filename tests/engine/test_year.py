"""Months of schedules, and weeks of sudden death: each due run once, none lost, none at the same time as another."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from mainstay.core.job import Job
from mainstay.core.run import Run, RunState
from mainstay.ports.clock import FakeClock
from mainstay.store import runs
from mainstay.store.base import Store
from tests.engine.colony import DAY, Colony, Work
from tests.journals import Journal

START = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
WHOLE = bool(os.environ.get("MAINSTAY_YEAR"))
FIRST, DAYS = (START, 365) if WHOLE else (datetime(2026, 8, 1, tzinfo=UTC).timestamp(), 100)
"""Unless all of the year is asked for: its autumn, in which Lord Howe, Berlin and New York change their clocks."""
SEEDS = int(os.environ.get("MAINSTAY_SEEDS", "1"))
"""How many weeks of sudden death."""


def due_times(jobs: Mapping[str, Job], start: float, end: float) -> dict[str, list[float]]:
    return {
        name: list(itertools.takewhile(lambda due: due <= end, job.schedule().due_after(start, name)))
        for name, job in jobs.items()
    }


async def all_runs(store: Store, jobs: Mapping[str, Job]) -> dict[str, list[Run]]:
    found = {name: await store.read(partial(runs.latest, job=name, limit=100_000)) for name in jobs}
    return {name: made[::-1] for name, made in found.items()}


@pytest.mark.parametrize("journal", ["postgres"], indirect=True)
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_two_agents_do_every_due_run_of_months_exactly_once(journal: Journal, tmp_path: Path) -> None:
    jobs = {
        "yearly": Work(at="0 0 29 10 *", timezone="Europe/Berlin"),
        "weekly": Work(at="45 1 * * 0", timezone="Australia/Lord_Howe"),
        "fortnightly": Work(every=14 * DAY),
        "nightly": Work(at="30 2 * * *", timezone="America/New_York"),
        "third-day": Work(at="0 2 */3 * *", timezone="Asia/Manila"),
        # Hourly on four days, on two of which Berlin changes its clocks.
        "hourly": Work(at="0 * 25,29 3,10 *", timezone="Europe/Berlin"),
    }
    clock = FakeClock(FIRST)
    colony = Colony(journal.url, clock, tmp_path, jobs, pace=DAY)
    await colony.start()
    await colony.start()
    await clock.advance(DAYS * DAY)
    expected = due_times(jobs, FIRST, FIRST + DAYS * DAY)
    async with journal.opened(clock) as store:
        done = await all_runs(store, jobs)
    await colony.close()
    assert {name: [run.due_at for run in made] for name, made in done.items()} == expected
    assert {run.state for made in done.values() for run in made} == {RunState.DONE}
    assert sum(run.missed for made in done.values() for run in made) == 0
    assert sorted(colony.book.finished) == sorted((name, due) for name in expected for due in expected[name])
    assert colony.book.overlaps == []
    counts = (1, 52, 26, 365, 127, 4 * 24) if WHOLE else (1, 15, 7, 100, 34, 24 + 1 + 24)
    assert tuple(map(len, expected.values())) == counts
    assert {run.owner for made in done.values() for run in made} == {agent.node.id for agent in colony.agents}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
async def test_with_nodes_dying_at_random_no_run_is_lost_and_none_overlaps(
    journal: Journal, tmp_path: Path, seed: int
) -> None:
    jobs = {
        "hourly": Work(at="0 * * * *", lasting=900.0),
        "half": Work(at="*/30 * * * *", lasting=60.0),
        "long": Work(at="30 */6 * * *", lasting=7000.0, timeout=DAY),
    }
    clock = FakeClock(START)
    colony = Colony(journal.url, clock, tmp_path, jobs, pace=3600.0, seed=seed)
    deaths = 0
    async with journal.opened(clock) as store:
        while clock.now() < START + 2 * DAY:
            while len(colony.living) < 2:
                await colony.start(fuse=colony.chance.randrange(3, 120))
            await clock.advance(colony.chance.uniform(60, 3600))
            deaths = sum(not agent.alive for agent in colony.agents)
            await colony.buried(store)
        await colony.start()
        await clock.advance(DAY)
        await colony.buried(store)
        await clock.advance(3600)
        done = await all_runs(store, jobs)
        now = clock.now()
    await colony.close()
    expected = due_times(jobs, START, now)
    assert deaths >= 5
    assert colony.book.overlaps == []
    for name, made in done.items():
        due = [run.due_at for run in made]
        assert due == [moment for moment in expected[name] if moment in set(due)]
        assert sum(1 + run.missed for run in made) == len(expected[name])
        old = [run for run in made if run.due_at < now - DAY / 2]
        assert {run.state for run in old} == {RunState.DONE}
        assert {(name, run.due_at) for run in old} <= set(colony.book.finished)
