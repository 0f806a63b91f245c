"""Programs before and after a backup, and streams that are held back."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mainstay.backup.data.base import DataError
from mainstay.backup.data.directory import DirectoryData
from mainstay.backup.dump import gently
from mainstay.backup.jobs import BackupData
from mainstay.backup.paced import paced
from mainstay.backup.settings import BackupRules, Hook
from mainstay.core.job import JobFailed
from mainstay.ports.clock import FakeClock
from mainstay.store.backups import BackupState
from tests.backup.data.room import Room
from tests.backup.house import House
from tests.helpers import aeventually

TELL = (
    "import os, sys; print(os.environ['MAINSTAY_HOOK'], os.environ.get('MAINSTAY_RESULT', ''), *sys.argv[1:])"
)


@pytest.fixture
def stuff(tmp_path: Path) -> Path:
    (tmp_path / "stuff").mkdir()
    (tmp_path / "stuff" / "file").write_text("contents")
    return tmp_path / "stuff"


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


async def test_they_run_around_the_backup_and_are_told_how_it_went(room: Room, stuff: Path) -> None:
    make = f"open({str(stuff / 'paused')!r}, 'w').close(); print('stopped the writer')"
    unmake = f"import os; os.unlink({str(stuff / 'paused')!r}); print(dict(os.environ))"
    room.set(DirectoryData, path=stuff, rules={"before": python(make), "after": {"command": python(unmake)}})
    run = room.house.run()
    assert (await room.backup(run)).data["proven"] is True
    assert room.manifest(await room.newest()).counted["files"].rows == 2
    assert not (stuff / "paused").exists()
    assert "before: stopped the writer" in run.said
    told = next(line for line in run.lines if line.startswith("after: {"))
    for fact in (
        "'MAINSTAY_RESULT': 'ok'", "'MAINSTAY_BACKUP': 'stuff'",
        f"'MAINSTAY_RUN': '{run.id}'", "'MAINSTAY_DUE_AT': '2026-",
    ):  # fmt: skip
        assert fact in told
    after, uploaded = run.lines.index(told), run.lines.index(next(x for x in run.lines if "stored" in x))
    assert uploaded < after < run.lines.index(next(x for x in run.lines if x.startswith("proving")))


async def test_a_failing_one_before_stops_the_backup(room: Room, stuff: Path) -> None:
    before = {"command": python("print('no'); raise SystemExit(3)"), "env": {"X": "y"}}
    room.set(DirectoryData, path=stuff, rules={"before": before, "after": python(TELL)})
    run = room.house.run()
    with pytest.raises(JobFailed, match="`before` of stuff ended with exit code 3: no"):
        await room.backup(run)
    assert await room.house.all() == []
    assert "after: after failed" in run.said


async def test_the_one_after_is_told_of_a_failed_backup(room: Room, stuff: Path) -> None:
    room.set(DirectoryData, path=stuff / "nowhere", rules={"before": python(TELL), "after": python(TELL)})
    run = room.house.run()
    with pytest.raises(DataError):
        await room.backup(run)
    assert "before: before" in run.said
    assert "after: after failed" in run.said


async def test_a_failing_one_after_fails_the_run_and_not_the_backup(room: Room, stuff: Path) -> None:
    room.set(
        DirectoryData, path=stuff, rules={"after": python("raise SystemExit('the writer is still stopped')")}
    )
    with pytest.raises(
        JobFailed, match=r"proven .*but `after` of stuff .*the writer is still stopped"
    ) as fault:
        await room.backup()
    assert fault.value.retry is False
    assert (await room.newest()).state is BackupState.PROVEN


async def test_one_that_takes_too_long_is_ended(room: Room, stuff: Path) -> None:
    before = {"command": python("import time; time.sleep(600)"), "timeout": "200ms"}
    room.set(DirectoryData, path=stuff, rules={"before": before})
    with pytest.raises(JobFailed, match="took longer than 200ms"):
        await room.backup()


async def test_one_that_is_not_there(room: Room, stuff: Path) -> None:
    room.set(DirectoryData, path=stuff, rules={"before": ["/nowhere/pause"]})
    with pytest.raises(JobFailed, match="cannot run /nowhere/pause: no such program"):
        await room.backup()


async def test_the_one_after_runs_when_the_job_is_stopped(room: Room, stuff: Path) -> None:
    wait = "import time; print('waiting', flush=True); time.sleep(600)"
    room.set(DirectoryData, path=stuff, rules={"before": python(wait), "after": python(TELL)})
    run = room.house.run()
    work = asyncio.create_task(BackupData(database="stuff").run(run))
    await aeventually(lambda: "before: waiting" in run.said)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert "after: after failed" in run.said


async def test_databases_have_them_too(house: House) -> None:
    rules = house.ports.backup("shop").model_copy(
        update={
            "before": Hook(command=python(TELL)),
            "after": Hook(command=python(TELL)),
            "prove": "0 4 * * 0",
        }
    )
    database = house.ports.database("shop").model_copy(update={"backup": rules})
    house.ports = dataclasses.replace(house.ports, databases={"shop": database})
    run = house.run()
    await house.backup(run=run)
    assert "before: before" in run.said
    assert "after: after ok" in run.said


def test_how_they_are_written() -> None:
    rules = BackupRules.model_validate({"to": "vault", "before": ["a", "b"], "limit": "20MiB/s"})
    assert rules.before == Hook(command=["a", "b"])
    assert rules.limit == 20 << 20
    some: list[dict[str, Any]] = [
        {"before": []}, {"before": "systemctl stop odoo"}, {"limit": 0}, {"limit": "fast"}, {"nice": 20},
    ]  # fmt: skip
    for wrong in some:
        with pytest.raises(ValidationError):
            BackupRules.model_validate({"to": "vault", **wrong})


class Swift(FakeClock):
    """Lets time pass the moment that somebody waits for it."""

    async def sleep(self, seconds: float) -> None:
        self._now += seconds


async def test_a_limit_holds_the_upload_back(room: Room, stuff: Path) -> None:
    import os

    clock = Swift()
    (stuff / "large").write_bytes(os.urandom(3_000_000))
    room.house.ports = dataclasses.replace(room.house.ports, clock=clock)
    room.set(DirectoryData, path=stuff, rules={"limit": "100KB/s", "prove": "0 4 * * 0"})
    begun = clock.monotonic()
    await room.backup()
    assert 29 < clock.monotonic() - begun < 32


async def test_a_stream_goes_no_faster_than_it_may_and_loses_nothing() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for number in range(10):
            yield bytes([number]) * 1000

    clock = FakeClock()
    got: list[bytes] = []

    async def read() -> None:
        got.extend([chunk async for chunk in paced(chunks(), 1000, clock)])

    work = asyncio.create_task(read())
    await clock.advance(5.5)
    assert not work.done()
    await clock.advance(4.5)
    await work
    assert b"".join(got) == b"".join(bytes([number]) * 1000 for number in range(10))


def test_a_program_that_steps_back() -> None:
    assert gently(["x"], 0) == ["x"]
    assert gently(["x"], 7)[:3] == ["nice", "-n", "7"]
    assert gently(["x"], 7)[-1] == "x"
