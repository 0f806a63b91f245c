"""Killed at every named point of the physical lane: the next run goes on or begins anew, nothing is lost or left.

A few points each time; MAINSTAY_KILLS=all takes every one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mainstay.backup.physical import base as bases
from mainstay.backup.physical.archive import Archive
from mainstay.backup.physical.layout import Segment, parse_lsn
from mainstay.backup.physical.plan import moments
from mainstay.backup.physical.record import bases_of, save
from mainstay.backup.physical.retain import DAY
from mainstay.backup.physical.server import mark
from mainstay.ports.clock import SystemClock
from mainstay.ports.objects.base import chunked
from mainstay.ports.objects.directory import Directory
from mainstay.ports.postgres.dsn import Dsn
from mainstay.store.open import open_store
from tests.backup.physical.house import physical_house
from tests.backup.physical.started import running as started
from tests.backup.physical.test_retain import base, proven_by_a_run
from tests.helpers import ROOT, bare_environment, eventually
from tests.ports.test_postgres_sandbox import running
from tests.servers.postgres import PostgresServer

DEADLINE = 120.0
ALL = os.environ.get("MAINSTAY_KILLS") == "all"


def some(cheap: set[str], *points: str) -> list[str]:
    """Give the points of this run."""
    assert cheap <= set(points)
    return [point for point in points if ALL or point in cheap]


def launched(options: dict[str, Any], crash_at: str | None = None) -> subprocess.Popen[str]:
    env = bare_environment(PYTHONPATH=str(ROOT), **({"MAINSTAY_CRASH_AT": crash_at} if crash_at else {}))
    argv = [sys.executable, "-m", "tests.backup.physical.lane", json.dumps(options)]
    return subprocess.Popen(
        argv, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a process that was not killed printed."""
    out, said = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, said
    done: dict[str, Any] = json.loads(out)
    return done


def died(process: subprocess.Popen[str]) -> None:
    """It must have died at its point."""
    out, said = process.communicate(timeout=DEADLINE)
    assert process.returncode == -signal.SIGKILL, out + said


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that everybody may enter, so that throwaway servers live in it too."""
    made = Path(tempfile.mkdtemp(prefix="ms-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def server(debian_postgres: PostgresServer) -> Iterator[PostgresServer]:
    debian_postgres.execute("CREATE TABLE ledger (id bigint GENERATED ALWAYS AS IDENTITY, filler text)")
    yield debian_postgres
    debian_postgres.execute("DROP TABLE ledger")
    debian_postgres.execute("DROP SCHEMA IF EXISTS mainstay CASCADE")
    debian_postgres.execute("ALTER SYSTEM RESET synchronous_standby_names")
    debian_postgres.execute("SELECT pg_reload_conf()")
    eventually(lambda: not debian_postgres.execute("SELECT 1 FROM pg_replication_slots WHERE active"))
    debian_postgres.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A base backup of many parts."""
    monkeypatch.setattr(bases, "PART", 4 << 20)


def write(server: PostgresServer) -> int:
    """Commit a row, finish the segment, commit another one; give the position."""
    with server.connect() as connection:
        connection.execute("SET synchronous_commit = local")
        connection.execute("INSERT INTO ledger (filler) VALUES (repeat('x', 2000))")
        connection.execute("SELECT pg_switch_wal()")
        connection.execute("INSERT INTO ledger (filler) VALUES ('y')")
        row = connection.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
    assert row is not None
    return parse_lsn(row[0])


def clean(place: Path) -> None:
    """No process of ours works in a place, and no throwaway directory is left."""
    eventually(lambda: not running(place), DEADLINE)
    assert list((place / "scratch").glob("mainstay-*")) == []


# The stream and base backups

LANE = some(
    {"base.part@3"},
    "stream.slot", "stream.waits", "wal.part_shipped", "wal.part_shipped@3", "wal.whole", "wal.part_dropped",
    "wal.shipped", "wal.cleaned", "base.part", "base.part@3", "base.manifest", "base.uploaded", "base.recorded",
    "engine.step_kept@1", "engine.step_kept@2", "engine.step_kept@3",
)  # fmt: skip


@pytest.mark.parametrize("point", LANE)
async def test_the_log_and_a_base_backup_survive_death_at_every_point(
    place: Path, server: PostgresServer, point: str
) -> None:
    mode = "synchronous" if point == "stream.waits" else "asynchronous"
    options = {
        "base": str(place),
        "dsn": server.dsn(),
        "do": "run",
        "job": "base_backup:shop",
        "wal": {"mode": mode},
    }
    process = launched({**options, "until": 1 << 60}, crash_at=point)
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        write(server)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.3)
            break
    died(process)
    eventually(lambda: not running(place), DEADLINE)
    position = write(server)
    done = ended(launched({**options, "until": position}))
    assert (done["state"], done["error"]) == ("done", None)
    clean(place)
    await whole_bases_and_no_hole(place, server, done["base"], position)


async def whole_bases_and_no_hole(place: Path, server: PostgresServer, base: str, position: int) -> None:
    vault = Directory(path=place / "vault")
    await vault.sweep(time.time() + 2 * DAY)  # what was cut off in the middle of an object
    found, broken = await bases_of(vault, "shop")
    # The stream itself asks for the first one of a server, too.
    assert base in [each.id for each in found]
    assert (broken, len({each.log for each in found})) == ([], 1)
    home = place / "vault" / found[0].path
    assert {folder.name for folder in home.parent.iterdir()} == {Path(each.path).name for each in found}
    for each in found:
        files = {"base.json", "backup_manifest.zst", *(Path(part.path).name for part in each.parts)}
        assert {file.name for file in (place / "vault" / each.path).iterdir()} == files
    seen = await moments(vault, "shop")
    assert seen.holes == []
    assert seen.newest is not None
    assert Segment.named(seen.newest, found[0].segment_size).end >= position - 256
    contents = await Archive(vault, found[0].home).contents()
    assert not contents.parts.keys() & contents.whole.keys()  # no pieces of what is there whole
    assert all(len(same) == 1 for same in contents.whole.values())
    left = {file.name.split(".")[0] for file in (place / "spool" / found[0].log).iterdir()}
    assert len(left) <= 2  # the newest whole segment and the one that is being written


# Restores

RESTORE = some(
    {"restore.recovered"},
    "restore.prepared", "restore.part", "restore.part@3", "restore.unpacked", "restore.verified", "restore.laid",
    "restore.laid@2", "restore.fetched", "restore.signalled", "restore.replaying", "restore.recovered", "restore.noted",
    "restore.checked", "restore.finishing", "restore.finishing@2",
)  # fmt: skip
COMBINE = [
    "restore.unpacked", "restore.unpacked@2", "restore.combined", "restore.moved", "restore.moved@9",
    "restore.verified", "restore.recovered",
]  # fmt: skip


async def prepared(place: Path, server: PostgresServer, *, bases: int = 1) -> None:
    """Base backups and some log behind them, with marker rows; the stream has ended."""
    async with physical_house(place, server) as house, house.streaming() as stream:
        for _ in range(bases):
            await house.base_backup()
            await house.shipped(stream, write(server))
        for _ in range(2):
            await mark(Dsn.parse(server.dsn()))
            await house.shipped(stream, write(server))


def options(place: Path, server: PostgresServer, do: str, **more: Any) -> dict[str, Any]:
    return {"base": str(place), "dsn": server.dsn(), "do": do, **more}


def rows_of(server: PostgresServer, data: Path) -> list[Any]:
    with started(server, data) as connection:
        return connection.execute("SELECT count(*), max(id) FROM ledger").fetchall()


@pytest.mark.parametrize("point", RESTORE)
async def test_a_restored_server_is_the_same_however_often_the_restore_died(
    place: Path, server: PostgresServer, small_parts: None, point: str
) -> None:
    await prepared(place, server)
    await killed_and_repeated(place, server, point)


@pytest.mark.skipif(not ALL, reason="MAINSTAY_KILLS=all")
@pytest.mark.parametrize("point", COMBINE)
async def test_so_is_one_of_incremental_base_backups(
    place: Path, newest: PostgresServer, small_parts: None, point: str
) -> None:
    newest.execute("CREATE TABLE ledger (id bigint GENERATED ALWAYS AS IDENTITY, filler text)")
    newest.execute("ALTER SYSTEM SET summarize_wal = on")
    newest.execute("SELECT pg_reload_conf()")
    await prepared(place, newest, bases=2)
    await killed_and_repeated(place, newest, point)


async def killed_and_repeated(place: Path, server: PostgresServer, point: str) -> None:
    into = server.base / f"{place.name}-back"
    given = options(place, server, "restore", into=str(into))
    try:
        died(launched(given, crash_at=point))
        again = launched(given)
        _, said = again.communicate(timeout=DEADLINE)
        # Nothing but the last word was missing, when it died at its very end.
        assert again.returncode == 0 or "is whole and checked" in said, said
        assert rows_of(server, into) == server.execute("SELECT count(*), max(id) FROM ledger")
        assert not (into / "mainstay_restore").exists()
        eventually(lambda: not running(into))
    finally:
        shutil.rmtree(into, ignore_errors=True)


INTO = [
    "tables.restored",
    "tables.dumped",
    "tables.loading",
    "tables.loaded",
    "tables.compared",
]


@pytest.mark.skipif(not ALL, reason="MAINSTAY_KILLS=all")
@pytest.mark.parametrize("point", INTO)
@pytest.mark.parametrize("do", ["tables", "database"])
async def test_what_died_in_a_server_that_runs_is_taken_away_by_the_next(
    place: Path, server: PostgresServer, do: str, point: str
) -> None:
    await prepared(place, server)
    name = f"back_{place.name.replace('-', '_').lower()}"
    into = server.dsn() if do == "tables" else server.dsn(name)
    given = options(place, server, do, into=into)
    expected = server.execute("SELECT count(*) FROM ledger")
    try:
        died(launched(given, crash_at=point))
        done = ended(launched(given))
        if do == "tables":
            schemas = server.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'restored%'")
            assert schemas == [(done["schema"],)]
            assert server.execute(f"SELECT count(*) FROM {done['schema']}.ledger") == expected
        else:
            assert server.execute("SELECT count(*) FROM ledger", name) == expected
    finally:
        for (schema,) in server.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'restored%'"):
            server.execute(f"DROP SCHEMA {schema} CASCADE")
        server.execute(f"DROP DATABASE IF EXISTS {name}")


# Proofs and retention

PROOF = some(
    set(), "restore.part", "restore.recovered", "prove_log.restored", "prove_log.judged", "engine.step_kept"
)


@pytest.mark.skipif(not ALL, reason="MAINSTAY_KILLS=all")
@pytest.mark.parametrize("point", PROOF)
async def test_a_proof_that_died_is_repeated_and_leaves_nothing(
    place: Path, server: PostgresServer, small_parts: None, point: str
) -> None:
    await prepared(place, server)
    given = options(place, server, "run", job="prove_log:shop")
    died(launched(given, crash_at=point))
    done = ended(launched(given))
    assert done["error"] is None
    assert (done["state"], done["proven"]) == ("done", True)
    clean(place)


PRUNE = some(
    {"base.deleted"},
    "base.deleted",
    "base.part_deleted",
    "wal.pruned",
    "wal.pruned@2",
    "base.swept",
)


@pytest.mark.parametrize("point", PRUNE)
async def test_retention_that_died_is_ended_by_the_next(place: Path, point: str) -> None:
    vault, now = Directory(path=place / "vault"), time.time()
    for days in (30, 20, 1):
        one = base(days).model_copy(update={"taken_at": now - days * DAY})
        await save(vault, one)
        await vault.put(f"{one.path}/00000.tar.zst", chunked(b"tar"))
        archive = Archive(vault, one.home)
        await archive.put_whole(one.first.name, b"log")
        await archive.put_part(Segment(1, one.first.number + 2, one.segment_size).name, 0, b"lo")
    await vault.put("_physical/shop/base/never-finished/00000.tar.zst", chunked(b"tar"))
    store = await open_store(f"sqlite:///{place}/journal.db", SystemClock())
    await store.write(lambda tx: proven_by_a_run(tx, {"proven": True, "bases": ["base-1"]}))
    await store.close()
    given = {"base": str(place), "dsn": "postgresql://nowhere", "do": "prune", "now": now, "keep": 7 * DAY}
    for file in place.rglob("vault/**/*"):
        os.utime(file, (now - 3 * DAY, now - 3 * DAY))
    died(launched(given, crash_at=point))
    assert ended(launched(given))["refused"] is None
    assert [each.id for each in (await bases_of(vault, "shop"))[0]] == ["base-20", "base-1"]
    left = sorted([each.path.removeprefix("_physical/shop/") async for each in vault.list("_physical/shop")])
    assert [path for path in left if path.startswith("base/")] == [
        f"base/base-{days}/{name}" for days in (1, 20) for name in ("00000.tar.zst", "base.json")
    ]
    names = [name for path in left if path.startswith("7/") for name in re.findall("[0-9A-F]{24}", path)]
    assert min(Segment.named(name, 16 << 20).number for name in names) == base(20).first.number
