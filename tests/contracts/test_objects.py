"""What every storage promises: whole objects or none, read back, listed to the last, errors that say what to do."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated

import pyrage
import pytest
from pydantic import TypeAdapter

from mainstay.core.plugin import Tagged
from mainstay.core.secret import Secret
from mainstay.ports.objects import NotThere, Storage, StorageError
from mainstay.ports.objects.base import chunked, safe_path
from mainstay.ports.objects.directory import Directory
from mainstay.ports.objects.s3 import S3
from mainstay.ports.objects.seal import Encryption
from mainstay.ports.objects.sftp import Sftp
from tests.servers.s3 import Bucket
from tests.servers.sftp import SftpServer

TYPES = ("directory", "s3", "sftp")
FORMS = (*TYPES, "encrypted")
MIB = 1 << 20


def s3_storage(bucket: Bucket, **options: object) -> S3:
    return S3(
        bucket=bucket.name,
        endpoint=bucket.endpoint,
        access_key=Secret("key", "testing"),
        secret_key=Secret("secret", "testing-secret"),
        **options,  # type: ignore[arg-type]
    )


def sftp_storage(server: SftpServer, path: str, **options: object) -> Sftp:
    known = {"host": server.host, "port": server.port, "user": server.user, "host_key": server.host_key}
    return Sftp(path=path, key=Secret("box_key", server.key), **{**known, **options})  # type: ignore[arg-type]


def encryption(*others: str) -> Encryption:
    """Encryption for a new identity, which is at hand, and others, which are not."""
    identity = pyrage.x25519.Identity.generate()
    recipients = [str(identity.to_public()), *others]
    return Encryption(recipients=recipients, identity=Secret("identity", str(identity)))


@pytest.fixture(params=FORMS)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """An empty storage of every type, and one that encrypts."""
    if request.param == "encrypted":
        return Directory(path=tmp_path / "vault", encrypt=encryption())
    if request.param == "directory":
        return Directory(path=tmp_path / "vault")
    if request.param == "sftp":
        server: SftpServer = request.getfixturevalue("sftp")
        return sftp_storage(server, str(server.root / tmp_path.name / "vault and more"))
    return s3_storage(request.getfixturevalue("bucket"), prefix="ours/and more")


def test_every_type_is_tried_here() -> None:
    assert set(Storage.registry) == set(TYPES)


async def collected(storage: Storage, path: str, start: int = 0) -> bytes:
    return b"".join([chunk async for chunk in storage.get(path, start)])


async def paths(storage: Storage, folder: str = "") -> list[str]:
    return [entry.path async for entry in storage.list(folder)]


@pytest.mark.parametrize(
    "size", [0, 1, MIB, 40 * MIB + 17], ids=["empty", "one byte", "a chunk", "many parts"]
)
async def test_what_is_put_is_what_is_got(storage: Storage, size: int) -> None:
    data = os.urandom(size)
    stored = await storage.put("some/folder/object.bin", chunked(data))
    assert (stored.path, stored.bytes) == ("some/folder/object.bin", size)
    assert stored.sha256 == hashlib.sha256(data).hexdigest()
    assert await collected(storage, "some/folder/object.bin") == data
    assert await storage.tally("some/folder/object.bin") == stored
    entry = await storage.head("some/folder/object.bin")
    assert entry is not None
    assert entry.bytes == stored.kept.bytes
    assert await storage.weigh("some/folder/object.bin") == stored.kept
    assert entry.sealed == (storage.encrypt is not None)
    assert entry.sealed or (stored.kept.bytes, stored.kept.sha256) == (size, stored.sha256)


@pytest.mark.parametrize("start", [0, 1, 16 * MIB - 1, 16 * MIB, 17 * MIB, 18 * MIB])
async def test_an_object_is_read_from_anywhere(storage: Storage, start: int) -> None:
    data = os.urandom(17 * MIB + 5)
    await storage.put("object", chunked(data))
    assert await collected(storage, "object", start) == data[start:]


@pytest.mark.parametrize(
    "name", ["a b", "ünï/cödé 表", "plus+and%20", "a=b&c?d#e", "it's", '"quoted"', "~tilde", "-" * 200]
)
async def test_odd_names_are_just_names(storage: Storage, name: str) -> None:
    await storage.put(f"x/{name}", chunked(b"data"))
    assert await paths(storage) == [f"x/{name}"]
    assert await collected(storage, f"x/{name}") == b"data"
    await storage.delete(f"x/{name}")
    assert await paths(storage) == []


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../escape",
        "a/../../b",
        "a//b",
        "a/./b",
        "a/",
        "nul\0",
        "back\\slash",
        "x.part",
        "x.age",
        "y" * 901,
    ],
)
async def test_no_path_leads_outside(storage: Storage, path: str) -> None:
    for attempt in (
        storage.put(path, chunked(b"x")),
        collected(storage, path),
        storage.head(path),
        storage.delete(path),
    ):
        with pytest.raises(StorageError, match="is not a path"):
            await attempt


async def test_a_replaced_object_is_never_half_of_both(storage: Storage) -> None:
    await storage.put("object", chunked(b"old" * 1000))
    gate = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"new"
        await gate.wait()

    writing = asyncio.create_task(storage.put("object", slow()))
    await asyncio.sleep(0)
    assert await collected(storage, "object") == b"old" * 1000
    gate.set()
    await writing
    assert await collected(storage, "object") == b"new"


@pytest.mark.parametrize("good", [0, 1, 20, 40], ids=["at once", "soon", "in the second part", "late"])
async def test_a_stream_that_fails_leaves_nothing(storage: Storage, good: int) -> None:
    async def failing() -> AsyncIterator[bytes]:
        for _ in range(good):
            yield bytes(MIB)
        raise RuntimeError("pg_dump died")

    with pytest.raises(RuntimeError, match="pg_dump died"):
        await storage.put("object", failing())
    assert await storage.head("object") is None
    assert await paths(storage) == []


async def test_a_cancelled_upload_leaves_nothing(storage: Storage) -> None:
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(MIB)
            begun.set()
            await asyncio.sleep(0)

    task = asyncio.create_task(storage.put("object", endless()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await storage.head("object") is None


async def test_what_is_not_there_is_said_so(storage: Storage) -> None:
    await storage.check()
    assert await storage.head("nothing") is None
    await storage.delete("nothing")
    with pytest.raises(NotThere, match="nothing is not in"):
        await collected(storage, "nothing")
    assert await paths(storage, "no/folder") == []


async def test_a_folder_lists_what_is_below_it_only(storage: Storage) -> None:
    for path in ("shop/b", "shop/a/2", "shop/a/1", "shop-2/a", "shopping", "z"):
        await storage.put(path, chunked(path.encode()))
    assert await paths(storage, "shop") == ["shop/a/1", "shop/a/2", "shop/b"]
    assert await paths(storage, "shop/") == ["shop/a/1", "shop/a/2", "shop/b"]
    assert await paths(storage) == ["shop-2/a", "shop/a/1", "shop/a/2", "shop/b", "shopping", "z"]


async def test_more_than_a_page_is_listed_to_the_end(storage: Storage) -> None:
    slow = storage.model_copy(update={"read_back": False})
    names = [f"many/{number:04}" for number in range(1005 if storage.type_name == "s3" else 205)]
    for start in range(0, len(names), 50):
        await asyncio.gather(*(slow.put(name, chunked(b"x")) for name in names[start : start + 50]))
    assert await paths(storage, "many") == names


async def test_check_leaves_nothing(storage: Storage) -> None:
    await storage.check()
    assert await paths(storage) == []


async def test_many_may_check_at_once(storage: Storage) -> None:
    found = await asyncio.gather(*(storage.check() for _ in range(10)))
    assert all(powers.read and powers.delete for powers in found)
    assert await paths(storage) == []


async def test_small_objects_are_read_whole_and_large_ones_are_not(storage: Storage) -> None:
    await storage.put("small", chunked(b"text"))
    assert await storage.read("small") == b"text"
    with pytest.raises(StorageError, match="larger than 3 bytes"):
        await storage.read("small", most=3)


async def test_an_object_that_comes_back_changed_is_refused(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(storage)
    write = kind.write

    async def lying(self: Storage, path: str, chunks: AsyncIterator[bytes], expect: int) -> None:
        async def changed() -> AsyncIterator[bytes]:
            async for chunk in chunks:
                yield chunk[:-1] + bytes([chunk[-1] ^ 1])

        await write(self, path, changed(), expect)

    monkeypatch.setattr(kind, "write", lying)
    with pytest.raises(StorageError, match=r"gave back \d+ bytes"):
        await storage.put("object", chunked(b"the truth!"))
    assert await storage.head("object") is None
    unread = storage.model_copy(update={"read_back": False})
    assert (await unread.put("object", chunked(b"the truth!"))).bytes == 10


@pytest.mark.parametrize(
    ("written", "target"),
    [
        ({"directory": "/srv/vault"}, "directory /srv/vault"),
        ({"directory": {"path": "/srv/vault", "read_back": False}}, "directory /srv/vault"),
        (
            {"s3": {"bucket": "acme", "endpoint": "https://sgp1.example.com/"}},
            "bucket acme at sgp1.example.com",
        ),
        ({"s3": {"bucket": "acme"}}, "bucket acme at Amazon S3"),
    ],
)
def test_it_is_read_from_a_file(written: object, target: str) -> None:
    adapter: TypeAdapter[Storage] = TypeAdapter(Annotated[Storage, Tagged(Storage)])
    assert adapter.validate_python(written).target() == target


BAD: dict[str, Callable[[], object]] = {
    "write it like https": lambda: S3(bucket="acme", endpoint="s3.example.com"),
    "not encrypted": lambda: S3(bucket="acme", endpoint="http://s3.example.com"),
    "belong together": lambda: S3(bucket="acme", access_key=Secret("a", "b")),
    "should match pattern": lambda: S3(bucket="Not A Bucket"),
    "is not a path": lambda: S3(bucket="acme", prefix="../up"),
}


@pytest.mark.parametrize("message", BAD)
def test_a_wrong_bucket_is_refused_when_it_is_read(message: str) -> None:
    with pytest.raises((ValueError, StorageError), match=message):
        BAD[message]()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_this_machine_needs_no_encryption(host: str) -> None:
    assert host.strip("[]") in S3(bucket="acme", endpoint=f"http://{host}:9000").target()
    assert "nas" in S3(bucket="acme", endpoint="http://nas.example.com", allow_http=True).target()


def test_paths_are_given_back() -> None:
    assert safe_path("a/b c/ü") == "a/b c/ü"
