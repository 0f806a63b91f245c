"""Schedules in a crontab and as timers: they fire when a job is due, by the judgement of those who fire them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import takewhile
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from mainstay.core.job import Job, Outcome, RunContext
from mainstay.core.run import RunState
from mainstay.engine.elsewhere.crontab import crontab
from mainstay.engine.elsewhere.plan import Machine, entries_of
from mainstay.engine.elsewhere.systemd import calendar, units
from mainstay.engine.scheduler import due_now
from mainstay.ports.clock import FakeClock
from mainstay.store import runs
from mainstay.store.base import Store
from tests.journals import Journal, sqlite_journal, store

__all__ = ["store"]

ANALYZE = shutil.which("systemd-analyze")
DAY = 86400.0


class Tick(Job):
    """Does nothing; only its schedule matters."""

    async def run(self, run: RunContext) -> Outcome:
        return Outcome("tick")


JOBS: dict[str, Job] = {
    "backup:odoo": Tick(at="0 2 * * *"),
    "sync": Tick(at="*/10 * * * *", catch_up="none"),
    "weekly": Tick(at="30 2 * * 0", timezone="America/New_York"),
    "islands": Tick(at="45 1 1,15 * mon", timezone="Australia/Lord_Howe"),
    "last": Tick(at="5 4 L * *"),
    "second": Tick(at="5 4 * * mon#2", timezone="Europe/Berlin"),
    "journal_prune": Tick(every=3600.0),
    "often": Tick(every=600.0),
    "asked": Tick(),
}


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return sqlite_journal(tmp_path)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime(2026, 3, 1, tzinfo=UTC).timestamp())


@pytest.mark.parametrize("zone", ["Asia/Manila", "UTC", "Australia/Lord_Howe"])
def test_a_crontab_fires_within_minutes_of_every_due_time(zone: str) -> None:
    entries = entries_of(JOBS, "Asia/Manila")
    machine = Machine(["/usr/bin/mainstay"], "/etc/mainstay/50% of it.yaml", timezone=zone)
    text = crontab("shop", entries, machine).files["crontab"]
    lines = {line.split()[8]: line for line in text.splitlines() if line[:1] and line[0] in "*0123456789"}
    assert set(lines) == JOBS.keys() - {"asked"}
    start = datetime(2026, 10, 1, tzinfo=ZoneInfo(zone))
    end = (start + timedelta(days=16)).timestamp()
    for name, line in lines.items():
        assert line.endswith(r"run --due " + name + r" --config '/etc/mainstay/50\% of it.yaml'")
        fires = [
            at.timestamp()
            for at in takewhile(lambda at: at.timestamp() < end, CronSim(" ".join(line.split()[:5]), start))
        ]
        job = JOBS[name]
        for due in takewhile(
            lambda at: at < end - 600, job.schedule("Asia/Manila").due_after(start.timestamp(), name)
        ):
            late = fires[bisect_left(fires, due)] - due
            assert late <= (300 if job.every else 0), (name, datetime.fromtimestamp(due, UTC))
    reboots = {line.split()[4] for line in text.splitlines() if line.startswith("@reboot")}
    assert reboots == lines.keys() - {"sync"}


def test_the_machines_own_zone_needs_no_more_than_the_fields_themselves() -> None:
    machine = Machine(["mainstay"], "x.yaml", timezone="Asia/Manila")
    text = crontab("shop", entries_of(JOBS, "Asia/Manila"), machine).files["crontab"]
    assert "\n0 2 * * * mainstay run --due backup:odoo" in text
    assert "\n30 * * * * mainstay run --due weekly" in text


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed (Debian: systemd)")
def test_units_are_what_systemd_takes(tmp_path: Path) -> None:
    machine = Machine([sys.executable, "-m", "mainstay"], "/etc/mainstay/mainstay.yaml", user="root")
    made = units(entries_of(JOBS, "Asia/Manila"), machine)
    assert len(made.files) == 2 * (len(JOBS) - 1)
    for name, text in made.files.items():
        (tmp_path / name).write_text(text)
    timers = [str(tmp_path / name) for name in made.files if name.endswith(".timer")]
    said = subprocess.run(
        [str(ANALYZE), "verify", "--man=no", *timers], capture_output=True, text=True, check=False
    )
    told = [line for line in said.stderr.splitlines() if "mainstay-" in line]
    assert told == []
    assert "Persistent=false" in made.files["mainstay-sync.timer"]
    assert "Persistent=true" in made.files["mainstay-backup-odoo.timer"]


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed (Debian: systemd)")
@pytest.mark.parametrize("name", ["backup:odoo", "sync", "weekly", "islands"])
def test_systemd_reckons_the_same_times(name: str) -> None:
    schedule = JOBS[name].schedule("Asia/Manila")
    base = datetime(2026, 4, 20, 12, 0, tzinfo=UTC)
    found: set[float] = set()
    for each in calendar(schedule.at or "", schedule.timezone):
        said = subprocess.run(
            [str(ANALYZE), "calendar", "--iterations=3", f"--base-time={base:%Y-%m-%d %H:%M:%S} UTC", each],
            capture_output=True, text=True, check=True, env={"TZ": "UTC", "LC_ALL": "C", "PATH": "/usr/bin:/bin"},
        ).stdout  # fmt: skip
        for line in said.splitlines():
            if "UTC" in line and ("elapse" in line or "Iter" in line):
                day, hour = line.split()[-3:-1]
                found.add(datetime.fromisoformat(f"{day} {hour}+00:00").timestamp())
    wanted = schedule.due_after(base.timestamp(), name)
    assert sorted(found)[:3] == [next(wanted) for _ in range(3)]


async def test_who_asks_what_is_due_gets_it_once_and_what_was_missed_by_the_rule(
    store: Store, clock: FakeClock
) -> None:
    job, zone = JOBS["backup:odoo"], "UTC"

    async def due() -> list[tuple[float, int]]:
        ask = partial(due_now, job="b", plan=job.schedule(zone), rule="last", now=clock.now())
        found = await store.write(ask)
        for run in found:
            await store.write(lambda tx: runs.close(tx, run.id, RunState.DONE, clock.now()))  # noqa: B023
        return [(run.due_at, run.missed) for run in found]

    midnight = clock.now()
    assert await due() == []
    clock.step(7200)
    assert await due() == [(midnight + 7200, 0)]
    assert await due() == []
    clock.step(3 * DAY + 60)
    assert await due() == [(midnight + 7200 + 3 * DAY, 2)]


async def test_the_first_call_ever_counts_what_is_due_at_that_moment(store: Store, clock: FakeClock) -> None:
    clock.step(7201)
    plan = JOBS["backup:odoo"].schedule("UTC")
    found = await store.write(partial(due_now, job="b", plan=plan, rule="last", now=clock.now()))
    assert [run.due_at for run in found] == [clock.now() - 1]
    # Still there for the next one when whoever asked first was killed before it began.
    again = await store.write(partial(due_now, job="b", plan=plan, rule="last", now=clock.now()))
    assert [run.id for run in again] == [found[0].id]
