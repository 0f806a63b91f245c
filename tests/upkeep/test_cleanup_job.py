"""The job that cleans up: rehearsal, budget, faults, what it says."""

from __future__ import annotations

import asyncio
import itertools
import os
from pathlib import Path

import pytest

from mainstay.app import open_app
from mainstay.config import load
from mainstay.core.run import Run, RunState
from mainstay.core.units import format_size
from mainstay.ports.clock import FakeClock, SystemClock
from mainstay.store import runs, views
from mainstay.store.base import Store
from mainstay.upkeep.cleanup.job import CleanupTempFiles
from mainstay.upkeep.ports import UpkeepPorts
from tests.helpers import aeventually, mainstay
from tests.upkeep.broom import left, plant
from tests.upkeep.house import House, job_of


@pytest.fixture
def house(store: Store, clock: FakeClock, tmp_path: Path) -> House:
    (tmp_path / "state").mkdir()
    return House(store, clock, tmp_path / "state")


@pytest.fixture
def temp(tmp_path: Path) -> Path:
    """A directory full of old files."""
    plant(tmp_path / "temp", "a.log", "b.log", "c.txt", size=5000)
    return tmp_path / "temp"


def _occupied(file: Path) -> int:
    return file.stat().st_blocks * 512


async def test_new_rules_are_rehearsed_once_and_then_carried_out(house: House, temp: Path) -> None:
    job = job_of(CleanupTempFiles, paths=[{"path": str(temp), "match": ["*.log"]}])
    first = await house.run(job)
    assert first.state is RunState.DONE
    size = format_size(sum(_occupied(temp / name) for name in ("a.log", "b.log")))
    assert first.summary.startswith(f"rehearsal, nothing was deleted: 2 files would go, about {size}")
    assert f"{temp}: delete a.log" in await house.lines(first)
    assert left(temp) == {"a.log", "b.log", "c.txt"}
    freed = sum(_occupied(temp / name) for name in ("a.log", "b.log"))
    second = await house.run(job)
    assert second.summary == f"{size} came free: 2 files"
    assert second.outcome == {
        "rehearsal": False, "freed_bytes": freed, "files": 2, "directories": 0, "truncated": 0, "images": 0,
        "containers": 0, "left": {}, "in_time": True,
    }  # fmt: skip
    assert left(temp) == {"c.txt"}
    wider = job_of(CleanupTempFiles, paths=[{"path": str(temp)}])
    assert (await house.run(wider)).outcome["rehearsal"] is True
    assert left(temp) == {"c.txt"}


@pytest.mark.parametrize("way", ["argument", "option"])
async def test_a_rehearsal_can_be_left_out(house: House, temp: Path, way: str) -> None:
    job = job_of(CleanupTempFiles, paths=[{"path": str(temp)}], rehearse=way == "argument")
    done = await house.run(job, args={"now": True} if way == "argument" else {})
    assert (done.outcome["rehearsal"], left(temp)) == (False, set())


async def test_one_wrong_rule_fails_the_run_but_not_the_others(house: House, temp: Path) -> None:
    (temp.parent / "alias").symlink_to(temp)
    rules = [{"path": str(temp.parent / name)} for name in ("alias", "nowhere", "temp")]
    done = await house.run(job_of(CleanupTempFiles, paths=rules, rehearse=False))
    assert done.state is RunState.FAILED
    assert "alias is a link" in (done.error or "")
    assert "write the real path" in (done.error or "")
    assert left(temp) == set()
    assert f"{temp.parent}/nowhere: it is not there" in await house.lines(done)


async def test_what_is_protected_is_refused(house: House, temp: Path) -> None:
    ports = UpkeepPorts(house.store, house.clock, protected={temp / "backups": "where backups are kept"})
    done = await house.run(job_of(CleanupTempFiles, paths=[{"path": str(temp)}], rehearse=False), ports=ports)
    assert done.state is RunState.FAILED
    assert "where backups are kept" in (done.error or "")
    assert left(temp) == {"a.log", "b.log", "c.txt"}


class Hurried(FakeClock):
    """A clock on which every question about the time takes a second."""

    def __init__(self, start: float) -> None:
        super().__init__(start)
        self.asked = itertools.count()

    def monotonic(self) -> float:
        return super().monotonic() + next(self.asked)


async def test_it_stops_at_its_budget_and_goes_on_where_it_stopped(
    house: House, clock: FakeClock, tmp_path: Path
) -> None:
    rules = []
    for name in ("one", "two", "three"):
        plant(tmp_path / name, *(f"{number}" for number in range(10)))
        rules.append({"path": str(tmp_path / name)})
    job = job_of(CleanupTempFiles, paths=rules, rehearse=False, budget="40s")
    summaries = []
    for _ in range(12):
        done = await house.run(job, ports=UpkeepPorts(house.store, Hurried(clock.now())))
        summaries.append(done.summary)
        if done.outcome["in_time"]:
            break
    assert "40s were up, the next run goes on" in summaries[0]
    assert len(summaries) > 2
    assert [left(tmp_path / name) for name in ("one", "two", "three")] == [set(), set(), set()]


async def test_a_rehearsal_that_runs_out_of_time_goes_on_before_anything_is_deleted(
    house: House, clock: FakeClock, tmp_path: Path
) -> None:
    names = ("one", "two", "three")
    for name in names:
        plant(tmp_path / name, *(f"{number}" for number in range(10)))
    job = job_of(CleanupTempFiles, paths=[{"path": str(tmp_path / name)} for name in names], budget="20s")
    shown: list[str] = []
    for _ in range(12):
        done = await house.run(job, ports=UpkeepPorts(house.store, Hurried(clock.now())))
        if not done.outcome["rehearsal"]:
            break
        shown += await house.lines(done)
        assert all(len(left(tmp_path / name)) == 10 for name in names)
    assert (
        "20s were up, the next run goes on" in done.summary
    )  # it deletes by now, and has no more time either
    assert all(any(f"{name}: delete" in line for line in shown) for name in names)


async def test_names_that_are_no_text_are_kept_in_the_journal_as_text(house: House, temp: Path) -> None:
    os.close(os.open(os.fsencode(temp) + b"/\xff\n\x1b[2J", os.O_CREAT))
    done = await house.run(job_of(CleanupTempFiles, paths=[{"path": str(temp)}], rehearse=False))
    assert done.state is RunState.DONE
    assert f"{temp}: delete \\xff\\n\\x1b[2J" in await house.lines(done)


def test_the_command_says_what_would_go(tmp_path: Path) -> None:
    plant(tmp_path / "temp", "old", "young", size=5000)
    stamp = (tmp_path / "temp/old").stat().st_mtime - 86400 * 20
    os.utime(tmp_path / "temp/old", (stamp, stamp))
    rule = "{path: temp, by: modified, older_than: 10d}"
    (tmp_path / "mainstay.yaml").write_text(
        f"name: example\nstate_dir: state\njobs: {{cleanup_temp_files: {{paths: [{rule}]}}}}\n"
    )
    size = format_size(_occupied(tmp_path / "temp/old"))
    said = mainstay("run", "cleanup_temp_files", "--dry-run", cwd=tmp_path)
    assert (said.returncode, said.stderr) == (0, "")
    assert "delete old" in said.stdout
    assert f"about {size} would come free" in said.stdout
    assert left(tmp_path / "temp") == {"old", "young"}
    done = mainstay("run", "cleanup_temp_files", "--arg", "now=true", cwd=tmp_path)
    assert f"{size} came free: 1 file " in done.stdout
    assert left(tmp_path / "temp") == {"young"}


async def test_a_killed_run_goes_on_and_repeats_no_rule(tmp_path: Path) -> None:
    """Two rules; the process dies when the first one is done and kept. The next process does the second alone."""
    for name in ("one", "two"):
        plant(tmp_path / name, "old")
    rules = "[{path: one, older_than: 0s}, {path: two, older_than: 0s}]"
    (tmp_path / "mainstay.yaml").write_text(
        f"name: example\nstate_dir: state\njobs: {{cleanup_temp_files: {{rehearse: false, paths: {rules}}}}}\n"
    )
    crash = {"MAINSTAY_CRASH_AT": "engine.step_kept@2"}
    assert mainstay("run", "cleanup_temp_files", cwd=tmp_path, env=crash).returncode == -9
    assert (left(tmp_path / "one"), left(tmp_path / "two")) == (set(), {"old"})
    plant(tmp_path / "one", "new")
    config = load(tmp_path / "mainstay.yaml")
    async with open_app(config, SystemClock(), role="agent") as app:
        serving = asyncio.create_task(app.runner.serve())

        async def ended() -> Run | None:
            [run] = await app.store.read(lambda tx: views.runs(tx, job="cleanup_temp_files"))
            found = await app.store.read(lambda tx: runs.require(tx, run["id"]))
            return found if found.state.ended else None

        done = await aeventually(ended, 30)
        await app.runner.stop()
        await asyncio.wait([serving])
    assert isinstance(done, Run)
    assert (done.state, done.outcome["files"]) == (RunState.DONE, 2)
    assert (left(tmp_path / "one"), left(tmp_path / "two")) == ({"new"}, set())
