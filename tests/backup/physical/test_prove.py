"""A moment is proven when its marker rows are exactly right, and not otherwise."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pyrage
import pytest

from mainstay.backup.physical import jobs
from mainstay.backup.physical.jobs import ProveLog
from mainstay.backup.physical.prove import choose, compare
from mainstay.backup.physical.record import save
from mainstay.backup.physical.server import mark
from mainstay.backup.physical.target import LATEST, Kind, Target
from mainstay.core.errors import MainstayError
from mainstay.core.job import JobFailed
from mainstay.ports.objects.directory import Directory
from mainstay.ports.objects.seal import Encryption
from mainstay.ports.postgres.dsn import Dsn
from tests.backup.house import Run
from tests.backup.physical.house import PhysicalHouse, physical_house
from tests.backup.physical.test_retain import base
from tests.helpers import aeventually
from tests.servers.postgres import PostgresServer


def test_a_moment_lies_between_two_marker_rows() -> None:
    rows = [(1, 100.0), (2, 160.0), (3, 160.1), (4, 220.0)]
    found = {choose(rows, 120.0, random.Random(seed)).at for seed in range(20)}
    assert found == {(160.1 + 220.0) / 2}
    assert choose(rows[:1], 0, random.Random(1)) == LATEST


def test_differences_are_seen() -> None:
    live = [(5, 100.0), (6, 160.0), (7, 220.0)]
    moment = Target(Kind.TIME, at=190.0)
    assert compare(live, [(3, 1.0), (5, 100.0), (6, 160.0)], moment) == []
    assert compare(live, [(5, 100.0)], moment) == ["1 marker rows are missing, the first is 6"]
    assert compare(live, [*live], moment) == ["1 marker rows are from after the moment, the first is 7"]
    assert compare(live, [(5, 100.0), (6, 161.0)], moment) == ["1 marker rows are changed"]


async def test_a_storage_that_cannot_be_read_from_here_proves_nothing_and_says_so(
    tmp_path: Path, kept: PhysicalHouse
) -> None:
    sealed = Encryption(recipients=[str(pyrage.x25519.Identity.generate().to_public())])
    kept.storage(Directory(path=tmp_path / "sealed", encrypt=sealed))
    outcome = await ProveLog(database="shop").run(Run(kept.ports, "prove_log:shop"))
    assert outcome.summary.startswith("shop: nothing was restored: ")
    assert outcome.summary.endswith("is encrypted, and this machine has no identity")
    assert (outcome.data["proven"], outcome.data["bases"]) == (False, [])


async def test_without_a_base_backup_of_this_very_server_there_is_nothing_to_prove(
    kept: PhysicalHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of another server is no reason for an alarm that restores are broken."""
    await save(kept.vault, base(1, system="7"))
    with pytest.raises(MainstayError, match="no base backup of what the server of shop is now"):
        await ProveLog(database="shop").run(Run(kept.ports, "prove_log:shop"))
    monkeypatch.setattr(jobs, "LOG_PATIENCE", 0.0)
    with pytest.raises(JobFailed, match="is not received, and a base backup is worth nothing without it"):
        await kept.base_backup()


def last_marker_is_old(house: PhysicalHouse) -> bool:
    return house.server.execute("SELECT clock_timestamp() - max(at) > '0.3 s' FROM mainstay.marker") == [
        (True,)
    ]


async def prepared(house: PhysicalHouse) -> None:
    """A base backup, and three marker rows behind it."""
    async with house.streaming() as stream:
        await house.base_backup()
        for _ in range(3):
            await mark(Dsn.parse(house.server.dsn()))
            await aeventually(lambda: last_marker_is_old(house))
        house.server.execute("SELECT pg_switch_wal()")
        await house.shipped(stream)


async def test_a_moment_is_restored_and_compared(
    tmp_path: Path, primaries: Callable[[], PostgresServer]
) -> None:
    async with physical_house(tmp_path, primaries()) as house:
        await prepared(house)
        run = Run(house.ports, "prove_log:shop")
        done = await ProveLog(database="shop").run(run)
        assert done.data["proven"]
        assert done.data["markers"] in (1, 2)
        assert done.data["restore_seconds"] > 0
        assert "marker rows are exactly right" in done.summary
        # The same with a marker row that somebody took away from the past: it is no proof any more.
        house.server.execute("UPDATE mainstay.marker SET at = at + interval '1 ms' WHERE id = 1")
        with pytest.raises(JobFailed, match="cannot be restored as it was at"):
            await ProveLog(database="shop").run(Run(house.ports, "prove_log:shop"))
        assert list(house.ports.scratch.root.glob("mainstay-*")) == []
