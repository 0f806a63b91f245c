"""Killed at every named point of a backup: the next try ends with exactly one good backup and nothing left behind."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mainstay.backup.manifest import Manifest
from mainstay.ports.clock import SystemClock
from mainstay.store import backups
from mainstay.store.backups import Backup, BackupState
from mainstay.store.base import Store
from mainstay.store.open import open_store
from tests.backup.conftest import fill
from tests.backup.house import execute
from tests.helpers import ROOT, bare_environment, eventually
from tests.ports.test_postgres_sandbox import running
from tests.servers.postgres import PostgresServer
from tests.servers.s3 import Bucket

DEADLINE = 100.0
DAY = 86400.0
POINTS = [
    "backup.snapshot",
    "backup.dumped",
    "backup.uploaded",
    "backup.manifest",
    "backup.recorded",
    "prove.downloaded",
    "prove.restored",
    "prove.compared",
]


@pytest.fixture
def base() -> Iterator[Path]:
    """A directory that everybody may enter, so that throwaway servers live in it too."""
    made = Path(tempfile.mkdtemp(prefix="ms-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def shop(postgres: PostgresServer) -> Iterator[str]:
    with postgres.fresh(postgres.template("shop", fill)) as url:
        yield url


def agent(base: Path, dsn: str, crash_at: str | None = None, **options: Any) -> dict[str, Any] | None:
    """Run the agent to its end; what it printed, or None when it was killed as it should be."""
    env = bare_environment(PYTHONPATH=str(ROOT), **({"MAINSTAY_CRASH_AT": crash_at} if crash_at else {}))
    given = json.dumps({"base": str(base), "dsn": dsn, **options})
    done = subprocess.run(
        [sys.executable, "-m", "tests.backup.agent", given],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    if crash_at:
        assert done.returncode == -signal.SIGKILL, done.stderr
        return None
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@asynccontextmanager
async def journal(base: Path) -> AsyncIterator[Store]:
    store = await open_store(f"sqlite:///{base}/journal.db", SystemClock())
    try:
        yield store
    finally:
        await store.close()


async def recorded(base: Path) -> list[Backup]:
    async with journal(base) as store:
        return await store.read(backups.all_)


def files(folder: Path) -> list[Path]:
    """Every file but the owner's mark."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if path.name != "owner.json")


async def one_good_backup(base: Path, result: dict[str, Any] | None) -> Backup:
    """Exactly one backup, proven, complete, and nothing else on any disk or in any process."""
    assert result is not None
    assert (result["state"], result["error"], result["proven"]) == ("done", None, True)
    (backup,) = await recorded(base)
    assert (backup.id, backup.state, backup.rows) == (result["backup"], BackupState.PROVEN, 3300)
    names = ("dump.pgc.zst", "globals.sql.zst", "manifest.json")
    assert files(base / "vault") == [Path(backup.path) / name for name in names]
    assert list((base / "scratch").iterdir()) == []
    assert running(base) == []
    return backup


@pytest.mark.parametrize("point", POINTS)
async def test_a_backup_survives_death_at_every_point(base: Path, shop: str, point: str) -> None:
    agent(base, shop, crash_at=point)
    # Nobody tells the throwaway server and pg_dump that they are orphans; they find out by themselves.
    eventually(lambda: not running(base), DEADLINE)
    await one_good_backup(base, agent(base, shop))


async def test_dying_again_and_again_is_survived_too(base: Path, shop: str) -> None:
    for point in ("backup.uploaded", "prove.restored"):
        agent(base, shop, crash_at=point)
    await one_good_backup(base, agent(base, shop))


async def test_a_finished_dump_is_not_made_again(base: Path, shop: str) -> None:
    agent(base, shop, crash_at="backup.manifest")
    (dump,) = [path for path in files(base / "vault") if path.name == "dump.pgc.zst"]
    before = (base / "vault" / dump).stat()  # reading it changes only when it was read
    await one_good_backup(base, agent(base, shop))
    after = (base / "vault" / dump).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


async def test_a_run_that_never_comes_back_is_swept_by_the_next(base: Path, shop: str) -> None:
    agent(base, shop, crash_at="backup.uploaded")
    async with journal(base) as store:
        await store.write(
            lambda tx: tx.run(
                "runs.close", id=only_run(tx), state="cancelled", now=0.0, summary="", error=None
            )
        )
    await one_good_backup(base, agent(base, shop, key="two"))


def only_run(tx: Any) -> str:
    from mainstay.store import runs

    (run,) = runs.latest(tx, "backup:shop")
    return run.id


async def age(base: Path, backup: Backup, days: float) -> None:
    """Make a backup look older, in the storage and in the journal."""
    manifest = Manifest.unseal(backup.manifest)
    older = manifest.model_copy(update={"taken_at": manifest.taken_at - days * DAY})
    (base / "vault" / backup.path / "manifest.json").write_text(older.seal())
    changed = dataclasses.replace(backup, taken_at=older.taken_at, manifest=older.seal())
    async with journal(base) as store:
        await store.write(lambda tx: backups.put(tx, changed))


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_retention_survives_death_between_any_two_objects(base: Path, shop: str, count: int) -> None:
    keep = {"daily": 1, "monthly": 0}
    old = await one_good_backup(base, agent(base, shop, keep=keep))
    await age(base, old, 20)
    agent(base, shop, crash_at=f"retain.deleted@{count}", keep=keep, key="two")
    assert not (base / "vault" / old.path / "manifest.json").exists()  # a backup without a manifest is none
    await one_good_backup(base, agent(base, shop, keep=keep, key="two"))


async def test_an_upload_to_a_bucket_that_was_cut_off_is_swept(base: Path, shop: str, bucket: Bucket) -> None:
    execute(
        shop,
        "CREATE TABLE noise AS SELECT md5(random()::text) || md5(random()::text) AS a FROM generate_series(1, 600000)",
    )
    s3 = {"bucket": bucket.name, "endpoint": bucket.endpoint}
    agent(base, shop, crash_at="backup.dumped", s3=s3, part=5 << 20)
    assert (bucket.keys(), len(bucket.uploads())) == ([".mainstay/owner.json"], 1)
    result = agent(base, shop, s3=s3)
    assert result is not None
    assert result["proven"] is True
    assert bucket.uploads() == []
    assert len(bucket.keys("shop/")) == 3
