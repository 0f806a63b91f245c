"""Commits wait for us only while we answer, the server's disk is never filled, and a gap is never silent."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from mainstay.backup.physical import release as releases
from mainstay.backup.physical import stream as streams
from mainstay.backup.physical import watchdog
from mainstay.backup.physical.alarms import Alarms
from mainstay.backup.physical.plan import moments
from mainstay.backup.physical.release import release
from mainstay.backup.physical.server import Server, name_of
from mainstay.backup.physical.target import LATEST, Kind, Target
from mainstay.backup.physical.watchdog import Pace, Sight, Wish, synchronous
from mainstay.ports.objects.directory import Directory
from mainstay.ports.postgres.dsn import Dsn
from tests.backup.physical.conftest import copy
from tests.backup.physical.house import PhysicalHouse, physical_house
from tests.backup.physical.started import running
from tests.backup.physical.test_faults import receiver, write_log
from tests.helpers import ROOT, aeventually
from tests.servers.postgres import PostgresServer

OURS = "mainstay_shop"


def sight(flushed: int, received: int | None, names: str = "", *, streaming: bool = True) -> Sight:
    return Sight(flushed, streaming, received, names, "on", "reserved", 0)


def test_a_receiver_that_follows_is_never_late() -> None:
    pace = Pace()
    assert [pace.late(sight(100 * n, 100 * n - 50), float(n)) for n in range(1, 6)] == [0, 0, 0, 0, 0]
    assert pace.well(5.0) == 4.0


def test_a_receiver_that_stands_still_is_late_from_when_it_should_have_moved() -> None:
    pace = Pace()
    pace.late(sight(100, 100), 0.0)
    assert pace.late(sight(900, 100), 1.0) == 0  # it has all that was there when we looked last
    assert [pace.late(sight(900, 100), now) for now in (2.0, 3.0, 5.0)] == [0, 1, 3]
    assert pace.well(5.0) == 0
    assert pace.late(sight(950, 900), 6.0) == 0


def test_one_that_is_gone_and_a_server_that_does_not_answer_are_late() -> None:
    pace = Pace()
    assert [pace.late(None, 0.0), pace.late(sight(1, None, streaming=False), 2.0), pace.late(None, 3.0)] == [
        0,
        2,
        3,
    ]


@pytest.mark.parametrize(
    ("names", "late", "well", "wish"),
    [
        ("", 0.0, 4.9, Wish.NOTHING),
        ("", 0.0, 5.0, Wish.WAIT),
        (f'"{OURS}"', 2.9, 0.0, Wish.NOTHING),
        (f'"{OURS}"', 3.0, 0.0, Wish.GO_ON),
        (OURS, 3.0, 0.0, Wish.GO_ON),
        ("another", 9.0, 0.0, Wish.NOTHING),
        ("another", 0.0, 99.0, Wish.NOTHING),
    ],
)
def test_commits_wait_only_for_one_that_follows(names: str, late: float, well: float, wish: Wish) -> None:
    assert synchronous(sight(1, 1, names), OURS, late, well, 3.0) is wish


def test_every_database_has_a_name_of_its_own_on_its_server() -> None:
    names = {name_of(name) for name in ("shop", "Shop", "shop-1", "shop.1", "x" * 60, "x" * 59 + "y")}
    assert len(names) == 6
    assert all(len(name) <= 63 and name.replace("_", "").isalnum() and name.islower() for name in names)


async def test_commits_go_on_without_a_receiver_and_wait_again_for_one(
    kept: PhysicalHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LOOK_EVERY", 0.1)
    monkeypatch.setattr(watchdog, "RETURN_AFTER", 0.5)
    dsn = f"{kept.server.dsn()}?options=-csynchronous_commit%3Don"
    kept.change(dsn=dsn, mode="synchronous", fall_back_after=1.0)
    monkeypatch.setattr(streams, "STALLED_AFTER", 3.0)
    async with kept.streaming():
        await aeventually(kept.waits, 20)
        os.kill(await receiver(kept), signal.SIGSTOP)
        committed = threading.Event()

        def commit() -> None:
            with psycopg.connect(kept.server.dsn(), autocommit=True) as connection:
                connection.execute("SET synchronous_commit = on")
                connection.execute("CREATE TABLE ledger (id int)")
            committed.set()

        threading.Thread(target=commit, daemon=True).start()
        await aeventually(committed.is_set, 20)
        assert any("commits go on without it" in said for said in kept.board.ever("wal_sync"))
        # The one that hangs is ended after a while, and commits wait for its successor.
        await aeventually(kept.waits, 40)
        await aeventually(lambda: "wal_sync:shop" not in kept.board.live, 20)
    assert not kept.waits()


async def test_somebody_else_s_synchronous_standby_is_left_alone(kept: PhysicalHouse) -> None:
    kept.change(mode="synchronous")
    kept.server.execute("ALTER SYSTEM SET synchronous_standby_names = 'theirs'")
    kept.server.execute("SELECT pg_reload_conf()")
    try:
        async with kept.streaming():
            await aeventually(lambda: any("'theirs'" in said for said in kept.board.ever("wal_sync")), 20)
        assert kept.server.execute("SHOW synchronous_standby_names") == [("theirs",)]
    finally:
        kept.server.execute("ALTER SYSTEM RESET synchronous_standby_names")
        kept.server.execute("SELECT pg_reload_conf()")


async def test_a_wait_that_a_killed_agent_left_is_lifted_when_nobody_asks_for_it(
    kept: PhysicalHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was synchronous and was killed; now it is asynchronous, and commits would wait for the end of a segment."""
    monkeypatch.setattr(streams, "LOOK_EVERY", 0.1)
    server = Server(Dsn.parse(kept.server.dsn()), OURS)
    await server.wait_for_us(True)
    await server.close()
    await aeventually(kept.waits, 20)
    async with kept.streaming():
        await aeventually(lambda: not kept.waits(), 20)


async def test_a_server_whose_log_is_not_kept_any_more_is_let_go(
    kept: PhysicalHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "AGAIN", 0.1)
    alarms = Alarms(kept.ports.store, kept.ports.clock, kept.board, "shop")
    server = Server(Dsn.parse(kept.server.dsn()), OURS)
    await server.make_slot()
    await server.wait_for_us(True)
    await aeventually(kept.waits, 20)
    # Somebody uses the slot at first.
    argv = [str(kept.server.bin / "pg_receivewal"), "-D", str(kept.base), "-S", OURS, "-d", kept.server.dsn()]
    receiving = await asyncio.create_subprocess_exec(*argv)
    in_use = "SELECT active FROM pg_replication_slots"
    await aeventually(lambda: kept.server.execute(in_use) == [(True,)], 20)
    letting_go = asyncio.create_task(release(kept.ports, alarms))
    await aeventually(lambda: kept.board.loud("wal_slot"), 20)
    receiving.terminate()
    await receiving.wait()
    await letting_go
    assert (slots(kept.server), kept.waits(), kept.board.live) == ([], False, {})
    await release(kept.ports, alarms)  # once more, as at every start
    await server.close()


def slots(server: PostgresServer) -> list[str]:
    return [name for (name,) in server.execute("SELECT slot_name FROM pg_replication_slots")]


async def test_the_slot_is_dropped_before_it_fills_the_server_s_disk(
    kept: PhysicalHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LOOK_EVERY", 0.1)
    monkeypatch.setattr(streams, "LONGEST_PAUSE", 0.3)
    kept.change(most_retained=64 * 10**6)
    (tmp_path / "a file").touch()
    sound = kept.vault
    async with kept.streaming() as stream:
        await kept.shipped(stream, write_log(kept))
        broken = Directory(path=tmp_path / "a file" / "vault")
        for shipper in stream._shippers.values():
            shipper.archive.storage = broken
        for _ in range(6):
            write_log(kept)
        dropped = "are allowed: the slot was dropped"
        await aeventually(lambda: any(dropped in said for said in kept.board.ever("wal_slot")), 20)
        assert slots(kept.server) == []
        for shipper in stream._shippers.values():
            shipper.archive.storage = sound
        await aeventually(lambda: slots(kept.server) == [OURS], 20)
        await kept.shipped(stream, write_log(kept))
    assert kept.board.ever("wal_gap") == []  # the receiver had everything, so nothing is missing


async def test_log_that_was_lost_is_told_and_a_base_backup_is_taken(
    tmp_path: Path, kept: PhysicalHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LOOK_EVERY", 0.1)
    async with kept.streaming() as stream:
        await kept.base_backup()
        await kept.shipped(stream, write_log(kept))
    kept.server.execute(f"SELECT pg_drop_replication_slot('{OURS}')")
    for _ in range(3):
        write_log(kept)
        kept.server.execute("CHECKPOINT")
    async with kept.streaming() as stream:
        await aeventually(lambda: kept.board.ever("wal_gap"), 30)
        await aeventually(lambda: receiver_follows(kept), 30)
        await kept.shipped(stream, write_log(kept))
        await kept.base_backup(full=True)
    found = await moments(kept.vault, "shop")
    assert len(found.bases) == 2
    assert len(found.holes) == 1
    restored = await kept.restore()
    assert restored.soundness.faults == []


async def test_a_server_that_is_set_back_on_its_own_timeline_has_two_pasts(
    tmp_path: Path, primaries: Callable[[], PostgresServer]
) -> None:
    """Its disk is that of a snapshot again: it writes other log under the names that are in the storage already."""
    server, snapshot = primaries(), tmp_path / "snapshot"
    async with physical_house(tmp_path, server) as house, house.streaming() as stream:
        await house.base_backup()
        server.execute("CREATE TABLE life (id int); INSERT INTO life VALUES (1)")
        server.execute("CHECKPOINT")
        server.kill()
        copy(server.data, snapshot)
        server.start()
        server.execute("INSERT INTO life VALUES (2)")
        for _ in range(2):
            await house.shipped(stream, write_log(house))
        ((before,),) = server.execute("SELECT extract(epoch FROM clock_timestamp())::float8 + 0.001")
        server.execute("INSERT INTO life VALUES (3)")
        await house.shipped(stream, write_log(house))
        server.kill()
        shutil.rmtree(server.data)
        copy(snapshot, server.data)
        server.start()
        server.execute("INSERT INTO life VALUES (4)")
        await aeventually(lambda: any("was set back" in said for said in house.board.ever("wal_gap")), 30)
        await house.base_backup()
        server.execute("INSERT INTO life VALUES (5)")
        for _ in range(3):
            await house.shipped(stream, write_log(house))
        assert stream.state.log == f"{stream.state.system}.1"
        for target, expected in ((LATEST, [1, 4, 5]), (Target(Kind.TIME, at=before), [1, 2])):
            restored = await house.restore(target, f"at-{expected[-1]}")
            with running(server, restored.data) as connection:
                query = "SELECT array_agg(id ORDER BY id) FROM life"
                assert connection.execute(query).fetchone() == (expected,)


def receiver_follows(house: PhysicalHouse) -> bool:
    state = house.server.execute(
        "SELECT state FROM pg_stat_replication WHERE application_name = 'mainstay_shop'"
    )
    return state == [("streaming",)]


async def test_another_node_goes_on_where_the_storage_ends(kept: PhysicalHouse, tmp_path: Path) -> None:
    async with kept.streaming() as stream:
        await kept.base_backup()
        await kept.shipped(stream, write_log(kept))
    write_log(kept)
    kept.server.execute("CHECKPOINT")
    kept.spool = tmp_path / "another"
    async with kept.streaming() as stream:
        await kept.shipped(stream, write_log(kept))
    assert kept.board.ever("wal_gap") == []
    assert (await moments(kept.vault, "shop")).holes == []


async def test_an_account_with_the_documented_rights_is_enough(
    tmp_path: Path, primaries: Callable[[], PostgresServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "RETURN_AFTER", 0.5)
    server = primaries()
    server.execute("CREATE DATABASE shop")
    page = (ROOT / "docs/how-to/lose-nothing.md").read_text()
    (rights,) = [
        block for block in re.findall(r"```sql\n(.*?)```", page, re.DOTALL) if "CREATE ROLE" in block
    ]
    server.execute(rights, "shop")
    dsn = f"postgresql://mainstay:...@127.0.0.1:{server.port}/shop?options=-csynchronous_commit%3Don"
    async with physical_house(tmp_path, server, mode="synchronous", markers=1) as house:
        house.change(dsn=dsn)
        async with house.streaming() as stream:
            await house.base_backup()
            await aeventually(house.waits, 20)
            await aeventually(
                lambda: server.execute("SELECT count(*) > 1 FROM mainstay.marker", "shop") == [(True,)], 20
            )
            await house.shipped(stream, write_log(house))
            await aeventually(lambda: not house.board.live, 20)
        assert not house.waits()
        assert house.board.ever("wal_sync") == house.board.ever("wal_marker") == []
