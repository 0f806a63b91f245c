"""When the log is imported: what is left alone, what cannot wait, what may."""

from __future__ import annotations

import asyncio
import fcntl
from pathlib import Path

import pytest

from mainstay.edge.inbox import harvest as harvest_module
from mainstay.edge.inbox.drain import EVERY, FEW, SOON, Drain, _again
from mainstay.edge.inbox.log import DRAFT, ENDING, Log
from mainstay.edge.inbox.turn import Turn
from mainstay.ports.clock import FakeClock
from tests.edge.inbox.records import CLOCK, append, arrival, kept, opened
from tests.helpers import aeventually


class Hasty(FakeClock):
    """Nobody waits; what they wanted to wait is kept."""

    slept: tuple[float, ...] = ()

    async def sleep(self, seconds: float) -> None:
        self.slept += (seconds,)
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("count", "load", "pauses"),
    [(30, 12, (0.0, 0.0, EVERY)), (FEW, 100, (SOON, EVERY)), (FEW - 1, 100, (EVERY, EVERY))],
)
async def test_a_backlog_is_imported_without_a_pause_and_a_trickle_in_few_commits(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    directory: Path,
    written: Log,
    count: int,
    load: int,
    pauses: tuple[float, ...],
) -> None:
    monkeypatch.setattr(harvest_module, "LOAD", load)
    append(written, *[arrival(b"%d" % number) for number in range(count)])
    clock = Hasty(CLOCK.now())
    async with opened(tmp_path) as store:
        work = asyncio.create_task(Drain(directory, clock).serve(store, Turn(directory)))
        assert await aeventually(lambda: len(clock.slept) >= len(pauses))
        work.cancel()
        await asyncio.wait([work])
        assert len(await kept(store)) == count
    assert clock.slept[: len(pauses)] == pauses


def test_a_segment_that_is_just_being_begun_is_left_alone(directory: Path) -> None:
    """However old a clock that was set says that it is; one whose writer died goes."""
    directory.mkdir()
    living, dead = (directory / f"{name}{ENDING}{DRAFT}" for name in ("living", "dead"))
    dead.touch()
    with living.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _again(directory, living.stat().st_mtime + 1e6)
        assert [*directory.iterdir()] == [living]
