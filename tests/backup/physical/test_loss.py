"""What is lost when a server dies with its disk: nothing while commits wait for us, else very little.

MAINSTAY_KILLS and MAINSTAY_MOMENTS raise the numbers.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from mainstay.backup.physical.target import Kind, Target
from tests.backup.physical.house import PhysicalHouse, Writers, physical_house
from tests.backup.physical.started import running
from tests.helpers import aeventually
from tests.servers.postgres import PostgresServer

ASKED = os.environ.get("MAINSTAY_KILLS", "1")
KILLS = 20 if ASKED == "all" else int(ASKED)
MOMENTS = int(os.environ.get("MAINSTAY_MOMENTS", "2"))


async def killed(house: PhysicalHouse, stream_first: bool) -> tuple[Writers, set[int]]:
    """Kill a server under load, and the receiver too; give what was acknowledged and what the restored one has."""
    async with house.streaming() as stream:
        await house.base_backup()
        with Writers(house.server.dsn()) as writers:
            await aeventually(lambda: writers.count > 500, 30)
            if house.stream_mode == "synchronous":
                await aeventually(house.waits, 30)
            seen = writers.count
            await aeventually(lambda: writers.count > seen + random.randrange(500, 3000), 30)
            if stream_first:
                stream._receiver.stop()
            house.server.kill()
    restored = await house.restore()
    assert restored.soundness.faults == []
    assert restored.soundness.indexes > 100
    with running(house.server, restored.data) as connection:
        rows = connection.execute("SELECT id FROM ledger").fetchall()
        # Nobody waits for a receiver that is not there.
        connection.execute("SET statement_timeout = '20s'")
        connection.execute("INSERT INTO ledger VALUES (-1, 'life goes on')")
    return writers, {number for (number,) in rows}


@pytest.mark.parametrize("number", range(KILLS))
async def test_while_commits_wait_for_us_none_is_lost(
    tmp_path: Path, primaries: Callable[[], PostgresServer], number: int
) -> None:
    async with physical_house(tmp_path, primaries(), mode="synchronous", fall_back_after=30) as house:
        writers, there = await killed(house, stream_first=number % 2 == 1)
    assert writers.count > 1000
    assert writers.all - there == set()


@pytest.mark.parametrize("number", range(KILLS))
async def test_without_waiting_less_than_two_seconds_are_lost(
    tmp_path: Path, primaries: Callable[[], PostgresServer], number: int
) -> None:
    async with physical_house(tmp_path, primaries()) as house:
        writers, there = await killed(house, stream_first=number % 2 == 1)
    lost = writers.all - there
    last = max(at for some in writers.moments for at in some)
    first_lost = min((writers.at(number) for number in lost), default=last)
    print(f"lost {len(lost)} of {writers.count} commits, {last - first_lost:.3f} s")
    assert last - first_lost < 2


async def test_any_moment_is_restored_exactly(
    tmp_path: Path, primaries: Callable[[], PostgresServer]
) -> None:
    async with physical_house(tmp_path, primaries()) as house:
        async with house.streaming() as stream:
            await house.base_backup()
            moments = write_moments(house.server.dsn(), 400)
            await house.shipped(stream)
        for number in range(MOMENTS):
            choice = random.randrange(2, 398)
            before, after = moments[choice][1], moments[choice + 1][0]
            at = (before + after) / 2
            restored = await house.restore(Target(Kind.TIME, at=at), f"moment-{number}")
            with running(house.server, restored.data) as connection:
                rows = connection.execute("SELECT id FROM moment ORDER BY id").fetchall()
            assert [number for (number,) in rows] == list(range(choice + 1)), datetime.fromtimestamp(at, UTC)


def write_moments(dsn: str, count: int) -> list[tuple[float, float]]:
    """Write numbered rows; give when each was begun, and when it was known to be there."""
    found = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = on")
        connection.execute("CREATE TABLE moment (id int PRIMARY KEY)")
        for number in range(count):
            before = time.time()
            connection.execute("INSERT INTO moment VALUES (%s)", [number])
            found.append((before, time.time()))
    return found
