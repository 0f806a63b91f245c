"""A real S3 server that lists in pages, denies deleting, or keeps what is locked: what becomes of retention."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from mainstay.backup.keeping import PruneBackups
from mainstay.backup.manifest import MANIFEST
from mainstay.ports.clock import SystemClock
from mainstay.ports.objects.base import chunked
from mainstay.ports.objects.lock import Lock
from mainstay.store import backups
from mainstay.store.backups import Backup, BackupState
from mainstay.store.base import Tx
from tests.backup.house import House
from tests.servers.ceph import CephServer

DAY = 86400.0


@pytest.fixture
def today(house: House) -> House:
    """The house at the present time, since the server has a clock of its own."""
    house.clock.step(SystemClock().now() - house.clock.now())
    return house


async def lay(house: House, count: int) -> list[Backup]:
    """Proven backups of so many days, the newest one of today, each with a manifest on the storage and no more."""
    now = house.clock.now()
    storage = house.ports.storage("vault").model_copy(update={"read_back": False})
    made = [
        Backup(
            id=f"b{number:04}", database="shop", storage="vault", path=f"shop/20200101T000000Z-b{number:04}",
            state=BackupState.PROVEN, taken_at=now - number * DAY, seconds=1.0, bytes=10, tables=1, rows=1,
            manifest="{}",
        )
        for number in range(count)
    ]  # fmt: skip
    for start in range(0, count, 60):
        some = made[start : start + 60]
        await asyncio.gather(*(storage.put(f"{each.path}/{MANIFEST}", chunked(b"{}")) for each in some))

    def record(tx: Tx) -> None:
        for each in made:
            backups.put(tx, each)

    await house.ports.store.write(record)
    return made


def keep(house: House, **settings: object) -> None:
    house.database("shop", house.ports.database("shop").dsn.reveal(), keep={"monthly": 0, **settings})


async def test_1205_objects_are_pruned_to_the_last_one_that_is_kept(today: House, ceph: CephServer) -> None:
    bucket = ceph.bucket()
    today.storage("vault", ceph.storage(bucket, prefix="deep/down"))
    await lay(today, 1205)
    keep(today, daily=30)
    outcome = await PruneBackups(database="shop").run(today.run())
    assert outcome.data["deleted"] == 1175
    left = [entry.path async for entry in today.ports.storage("vault").list("shop")]
    assert sorted(left) == [f"shop/20200101T000000Z-b{number:04}/{MANIFEST}" for number in range(30)]
    assert len(await today.all()) == 30


async def test_what_may_not_be_deleted_stays_a_backup_and_fails_nothing(
    today: House, ceph: CephServer
) -> None:
    keys = ceph.account("keeper")
    bucket = ceph.bucket()
    ceph.allow(bucket, "keeper", "PutObject", "GetObject", "ListBucket", "ListBucketMultipartUploads")
    today.storage("vault", ceph.storage(bucket, keys))
    made = await lay(today, 6)
    keep(today, daily=2)
    for _ in range(2):  # it does not get worse
        run = today.run()
        assert (await PruneBackups(database="shop").run(run)).data["deleted"] == 0
        assert "4 backups could go from vault, which does not let us delete" in run.said
        assert len(await today.all()) == 6
    # One that was begun to be deleted with another key is a backup again.
    await today.ports.store.write(lambda tx: backups.deleted(tx, made[-1].id, today.clock.now()))
    await PruneBackups(database="shop").run(today.run())
    assert len(await today.all()) == 6


async def test_a_backup_in_a_locked_bucket_is_proven_and_let_go(today: House, ceph: CephServer) -> None:
    bucket = ceph.bucket(lock=True)
    today.storage("vault", ceph.storage(bucket, lock=Lock(days=1)))
    assert (await today.backup()).data["proven"] is True
    (backup,) = await today.all()
    older = replace(backup, id="older", taken_at=backup.taken_at - 9 * DAY)
    await today.ports.store.write(lambda tx: backups.put(tx, replace(older, path="shop/x-older")))
    await today.ports.storage("vault").put(f"shop/x-older/{MANIFEST}", chunked(b"{}"))
    keep(today, daily=1)
    assert (await PruneBackups(database="shop").run(today.run())).data["deleted"] == 1
    versions = ceph.client().list_object_versions(Bucket=bucket, Prefix="shop/x-older")
    assert len(versions["Versions"]) == 1  # hidden, and there until its lock ends
    assert versions["DeleteMarkers"]


async def test_a_clock_that_is_not_the_server_s_deletes_nothing(today: House, ceph: CephServer) -> None:
    today.storage("vault", ceph.storage(ceph.bucket()))
    today.clock.step(365 * DAY)
    await lay(today, 6)
    keep(today, daily=2)
    run = today.run()
    assert (await PruneBackups(database="shop").run(run)).data["deleted"] == 0
    assert "the storage's is 36" in run.said
    assert "behind this machine's" in run.said
