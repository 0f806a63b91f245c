"""Restores: incremental ones, ones that were cut off, and ones from a storage in which something was changed."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path

import pytest

from mainstay.backup.fetch import Damaged
from mainstay.backup.physical import base as bases
from mainstay.backup.physical.plan import NoWay, moments
from mainstay.backup.physical.restore import plan
from mainstay.backup.physical.tables import restore_database, restore_tables
from mainstay.backup.physical.target import LATEST, Kind, Target, parse_target
from mainstay.backup.physical.verify import differences
from mainstay.core.errors import ConfigError, MainstayError
from mainstay.ports.objects.base import StorageError
from mainstay.ports.objects.directory import Directory
from mainstay.ports.postgres.dsn import Dsn
from tests.backup.house import Run
from tests.backup.physical.house import PhysicalHouse, physical_house
from tests.backup.physical.started import running
from tests.servers.postgres import PostgresServer

NOW = 1_790_000_000.0  # 2026-09-21 14:13:20 UTC


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-09-21 14:00", NOW - 800),
        ("2026-09-21T16:00+02:00", NOW - 800),
        ("14:00", NOW - 800),
        ("today 14:00", NOW - 800),
        ("yesterday 14:00", NOW - 800 - 86400),
        ("yesterday", NOW - 86400),
        ("20m ago", NOW - 1200),
    ],
)
def test_moments_are_read_as_people_say_them(text: str, at: float) -> None:
    assert parse_target(text, NOW, "UTC") == Target(Kind.TIME, at=at)


def test_a_time_is_that_of_the_file_s_zone() -> None:
    assert parse_target("16:00", NOW, "Europe/Berlin") == parse_target("14:00", NOW, "UTC")


def test_what_is_no_time() -> None:
    assert parse_target("latest", NOW, "UTC").kind is Kind.LATEST
    assert parse_target("0/16B3748", NOW, "UTC") == Target(Kind.LSN, lsn=0x16B3748)
    assert parse_target("before_release", NOW, "UTC") == Target(Kind.NAME, name="before_release")
    for wrong in ("14:75", "tomorrow at noon", "", "2027-01-01"):
        with pytest.raises(ConfigError):
            parse_target(wrong, NOW, "UTC")


async def test_incremental_base_backups_are_combined(tmp_path: Path, newest: PostgresServer) -> None:
    newest.execute("ALTER SYSTEM SET summarize_wal = on")
    newest.execute("SELECT pg_reload_conf()")
    async with physical_house(tmp_path, newest) as house:
        async with house.streaming() as stream:
            assert (await house.base_backup()).data["kind"] == "full"
            newest.execute("CREATE TABLE sale AS SELECT n AS id FROM generate_series(1, 10000) n")
            second = await house.base_backup()
            newest.execute("INSERT INTO sale SELECT n FROM generate_series(10001, 10100) n")
            third = await house.base_backup()
            newest.execute("SELECT pg_create_restore_point('here')")
            newest.execute("DROP TABLE sale")
            newest.execute("SELECT pg_switch_wal()")
            await house.shipped(stream)
        assert second.data["kind"] == third.data["kind"] == "incremental"
        assert third.data["raw_bytes"] < 0.5 * newest_size(newest)
        restored = await house.restore(Target(Kind.NAME, name="here"))
        with running(newest, restored.data) as connection:
            row = connection.execute("SELECT count(*), max(id) FROM sale").fetchone()
    assert row == (10100, 10100)


def newest_size(server: PostgresServer) -> int:
    ((size,),) = server.execute("SELECT sum(pg_database_size(oid))::bigint FROM pg_database")
    return int(size)


def test_files_are_compared_where_pg_verifybackup_does_not_work(tmp_path: Path) -> None:
    for name in ("sound", "changed", "short"):
        (tmp_path / name).write_text(name)
    files = [
        {
            "Path": name,
            "Size": len(name),
            "Checksum-Algorithm": "SHA256",
            "Checksum": sha256(name.encode()).hexdigest(),
        }
        for name in ("sound", "changed", "short", "gone")
    ]
    (tmp_path / "backup_manifest").write_text(json.dumps({"Files": files}))
    (tmp_path / "changed").write_text("chamged")
    (tmp_path / "short").write_text("sho")
    assert differences(tmp_path) == [
        "changed has another checksum",
        "short has 3 bytes instead of 5",
        "gone is missing",
    ]


@pytest.fixture
async def small(
    tmp_path: Path, debian_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[PhysicalHouse]:
    """A house with a base backup of many parts, and some log behind it; its stream has ended."""
    monkeypatch.setattr(bases, "PART", 4 << 20)
    async with physical_house(tmp_path, debian_postgres) as house:
        async with house.streaming() as stream:
            await house.base_backup()
            house.server.execute("CREATE TABLE ledger AS SELECT n AS id FROM generate_series(1, 1000) n")
            house.server.execute("SELECT pg_switch_wal()")
            await house.shipped(stream)
        yield house
    debian_postgres.execute("DROP TABLE ledger")
    debian_postgres.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")


def files(house: PhysicalHouse, pattern: str) -> list[Path]:
    assert isinstance(house.vault, Directory)
    return sorted(house.vault.path.rglob(pattern))


async def test_a_restore_that_was_cut_off_goes_on_where_it_was(small: PhysicalHouse) -> None:
    parts = files(small, "*.tar.zst")
    assert len(parts) > 4
    away = parts[-2].rename(parts[-2].with_suffix(".away"))
    with pytest.raises(Damaged, match="is gone"):
        await small.restore()
    away.rename(parts[-2])
    for part in parts[:2]:
        part.unlink()  # what was fetched is not fetched again
    restored = await small.restore()
    with running(small.server, restored.data) as connection:
        assert connection.execute("SELECT count(*) FROM ledger").fetchone() == (1000,)
    with pytest.raises(MainstayError, match="is not empty"):
        await small.restore()


async def test_one_changed_byte_is_always_found(small: PhysicalHouse) -> None:
    dice = random.Random(7)
    for number, file in enumerate(
        [*dice.sample(files(small, "*.tar.zst"), 2), files(small, "wal/*/*.zst")[-1]]
    ):
        sound = file.read_bytes()
        broken = bytearray(sound)
        broken[dice.randrange(len(broken))] ^= 1 << dice.randrange(8)
        file.write_bytes(broken)
        with pytest.raises((Damaged, StorageError, NoWay)):
            await small.restore(name=f"broken-{number}")
        file.write_bytes(sound)


async def test_a_segment_that_is_missing_is_said_before_anything_is_fetched(small: PhysicalHouse) -> None:
    (base,) = (await moments(small.vault, "shop")).bases
    (segment,) = files(small, f"{base.first.name}-*.zst")
    segment.unlink()
    with pytest.raises(NoWay, match="is missing"):
        await small.restore()


async def test_tables_and_databases_come_back_beside_what_is_there(
    small: PhysicalHouse, debian_database: str
) -> None:
    server = small.server
    server.execute("CREATE TABLE parent (id int PRIMARY KEY)")
    server.execute("CREATE TABLE child (id serial PRIMARY KEY, parent int REFERENCES parent)")
    server.execute("INSERT INTO parent VALUES (1); INSERT INTO child (parent) VALUES (1), (1)")
    try:
        async with small.streaming() as stream:
            server.execute("SELECT pg_switch_wal()")
            await small.shipped(stream)
        server.execute("DELETE FROM child")
        run = Run(small.ports, "restore:shop")
        found = await plan(small.ports, "shop", LATEST)
        with pytest.raises(MainstayError, match=r"there was no table public\.nothing"):
            await restore_tables(run, small.ports, found, ["nothing"], small.ports.dsn("shop"))
        done = await restore_tables(
            run, small.ports, found, ["child", "public.parent"], small.ports.dsn("shop")
        )
        assert (done.rows, done.complaints) == ({"child": 2, "parent": 1}, [])
        assert server.execute(f"SELECT count(*) FROM {done.schema}.child") == [(2,)]
        assert server.execute("SELECT count(*) FROM child") == [(0,)]
        whole = await restore_database(run, small.ports, found, Dsn.parse(debian_database))
        assert (whole.rows["public.child"], whole.rows["public.ledger"], whole.complaints) == (2, 1000, [])
        with pytest.raises(MainstayError, match="is not empty"):
            await restore_database(run, small.ports, found, Dsn.parse(debian_database))
    finally:
        server.execute("DROP TABLE child, parent")
        schemas = server.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'restored%'")
        for (schema,) in schemas:
            server.execute(f"DROP SCHEMA {schema} CASCADE")


async def test_life_goes_on_in_the_restored_server_and_so_does_its_log(
    tmp_path: Path, primaries: Callable[[], PostgresServer]
) -> None:
    server = primaries()
    async with physical_house(tmp_path, server) as house:
        async with house.streaming() as stream:
            await house.base_backup()
            server.execute("CREATE TABLE life (id int)")
            server.execute("INSERT INTO life VALUES (1); SELECT pg_switch_wal()")
            await house.shipped(stream)
            server.kill()
        restored = await house.restore()
        server.data = restored.data  # the new primary, at the old address
        server.start()
        async with house.streaming() as stream:
            server.execute("INSERT INTO life VALUES (2); SELECT pg_switch_wal()")
            await house.shipped(stream)
        assert house.board.ever("wal_gap") == []
        again = await house.restore(name="again")
        with running(server, again.data) as connection:
            assert connection.execute("SELECT array_agg(id ORDER BY id) FROM life").fetchone() == ([1, 2],)
        assert (await moments(house.vault, "shop")).timeline == 2
