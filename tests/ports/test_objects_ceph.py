"""A bucket on a real S3 server: keys that may little, objects that nobody can delete, what is signed wrongly."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import botocore.exceptions
import pytest
from pydantic import ValidationError

from mainstay.core.secret import Secret
from mainstay.ports.objects import Denied, NotThere, StorageError
from mainstay.ports.objects.base import chunked
from mainstay.ports.objects.lock import Lock
from tests.servers.ceph import CephServer

MIB = 1 << 20


@pytest.fixture(scope="module")
def writer(ceph: CephServer) -> tuple[str, str]:
    """The keys of an account that may nothing until a bucket allows it."""
    return ceph.account("writer")


async def test_it_keeps_small_objects_and_large_ones(ceph: CephServer) -> None:
    storage = ceph.storage(ceph.bucket(), prefix="ours/and more")
    for path, data in (("a/small", b"x"), ("a/large", os.urandom(20 * MIB + 17))):
        stored = await storage.put(path, chunked(data))
        assert await storage.tally(path) == stored
    assert [entry.path async for entry in storage.list("a")] == ["a/large", "a/small"]
    await storage.delete("a/small")
    with pytest.raises(NotThere):
        await storage.read("a/small")
    powers = await storage.check()
    assert (powers.read, powers.delete) == (True, True)
    assert powers.now == pytest.approx(datetime.now(UTC).timestamp(), abs=120)


async def test_wrong_keys_are_told_and_not_shown(ceph: CephServer) -> None:
    storage = ceph.storage(ceph.bucket())
    wrong = storage.model_copy(update={"secret_key": Secret("secret", "wrong-horse-77")})
    with pytest.raises(StorageError) as told:
        await wrong.check()
    assert told.value.hint == "the secret key is wrong"
    assert not isinstance(told.value, Denied)
    assert "wrong-horse-77" not in str(told.value)
    unknown = storage.model_copy(update={"access_key": Secret("key", "NOBODY")})
    with pytest.raises(StorageError, match="access key is wrong"):
        await unknown.check()


async def test_a_key_that_can_only_write_is_enough_if_it_is_meant(
    ceph: CephServer, writer: tuple[str, str]
) -> None:
    bucket = ceph.bucket()
    ceph.allow(bucket, "writer", "PutObject", "ListBucket", deny="GetObject")
    storage = ceph.storage(bucket, writer)
    with pytest.raises(Denied, match="may write, but not read") as told:
        await storage.check()
    assert "write_only: true" in str(told.value)
    storage = ceph.storage(bucket, writer, write_only=True)
    powers = await storage.check()
    assert (powers.read, powers.delete) == (False, False)
    for size in (5, 20 * MIB):
        await storage.put(f"object of {size}", chunked(os.urandom(size)))
    with pytest.raises(Denied, match="may only write"):
        await storage.read("object of 5")
    with pytest.raises(Denied):
        await storage.delete("object of 5")
    assert {entry.bytes async for entry in ceph.storage(bucket).list() if "of" in entry.path} == {5, 20 * MIB}


async def test_a_key_that_cannot_delete_is_as_good_as_any(ceph: CephServer, writer: tuple[str, str]) -> None:
    bucket = ceph.bucket()
    ceph.allow(bucket, "writer", "PutObject", "GetObject", "ListBucket")
    storage = ceph.storage(bucket, writer)
    powers = await storage.check()
    assert (powers.read, powers.delete) == (True, False)
    await storage.put("object", chunked(b"data"))
    with pytest.raises(Denied, match="bucket ") as told:
        await storage.delete("object")
    assert told.value.hint == "the key may not do this: look at its policy"
    assert await storage.read("object") == b"data"


@pytest.mark.parametrize("size", [10, 20 * MIB], ids=["at once", "in parts"])
async def test_what_is_locked_cannot_be_deleted_by_its_owner(ceph: CephServer, size: int) -> None:
    bucket = ceph.bucket(lock=True)
    storage = ceph.storage(bucket, lock=Lock(days=30))
    await storage.check()
    assert await storage.doubt() is None
    data = os.urandom(size)
    await storage.put("object", chunked(data))
    s3 = ceph.client()
    (version,) = s3.list_object_versions(Bucket=bucket, Prefix="object")["Versions"]
    found = s3.get_object_retention(Bucket=bucket, Key="object")["Retention"]
    assert found["Mode"] == "COMPLIANCE"
    assert abs(found["RetainUntilDate"] - datetime.now(UTC) - timedelta(days=30)) < timedelta(minutes=5)
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        s3.delete_object(Bucket=bucket, Key="object", VersionId=version["VersionId"])
    await storage.delete("object")  # it is hidden, no more
    assert await storage.head("object") is None
    body = s3.get_object(Bucket=bucket, Key="object", VersionId=version["VersionId"])["Body"].read()
    assert body == data


async def test_a_bucket_without_lock_is_told(ceph: CephServer) -> None:
    storage = ceph.storage(ceph.bucket(), lock=Lock(days=30))
    assert "has no object lock" in (await storage.doubt() or "")
    with pytest.raises(StorageError, match=r"cannot be locked|was answered with 4"):
        await storage.put("object", chunked(b"data"))


def test_a_lock_has_an_end() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Lock(days=0)
