"""A directory by restic: only what changed is stored, and a witness that is not restic says what has to come back."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from mainstay.backup.data.base import DataError
from mainstay.backup.data.directory import compared
from mainstay.backup.data.restic import ResticData
from mainstay.backup.data.restic_program import Restic, ResticFault, as_argument
from mainstay.backup.data.stable import Witness
from mainstay.backup.data.tree import Entry, differences, read_tree
from mainstay.backup.keeping import VerifyBackups
from mainstay.core.job import JobFailed
from mainstay.core.secret import Secret
from mainstay.ports.objects.s3 import S3
from mainstay.store.backups import BackupState
from tests.backup.data.room import Room, equal, flip
from tests.helpers import eventually
from tests.servers.process import program
from tests.servers.s3 import Bucket

ROOT = os.geteuid() == 0
PASSWORD = Secret("restic_password", "four words of nonsense")


@pytest.fixture(scope="module", autouse=True)
def restic() -> str:
    return program("restic", "restic")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "filestore"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "large").write_bytes(os.urandom(2_000_000))
    (root / "a" / "b" / "small.txt").write_text("small")
    (root / "a" / "b" / "other.tmp").write_text("left out")
    (root / "twin").hardlink_to(root / "a" / "b" / "small.txt")
    (root / "link").symlink_to("a/large")
    (root / "a" / "b" / "small.txt").chmod(0o640)
    return root


def repository(room: Room) -> Path:
    return room.house.vault.path / ".mainstay" / "restic" / "stuff"


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def damage(folder: Path) -> None:
    """Change one bit of the largest pack."""
    packs = [path for path in (folder / "data").rglob("*") if path.is_file()]
    pack = max(packs, key=lambda path: path.stat().st_size)
    pack.chmod(0o600)
    flip(pack)


async def test_only_what_changed_is_stored_and_each_is_proven(room: Room, tree: Path, tmp_path: Path) -> None:
    rules = {"keep": {"daily": 1, "monthly": 0}}
    room.set(ResticData, path=tree, password=PASSWORD, exclude=["*.tmp"], rules=rules)
    first = await room.proven()
    before = size(repository(room))
    done = await room.restore(first, tmp_path / "restored")
    assert equal(done.judgement)
    there, here = (list(read_tree(each, lambda done: None)) for each in (tmp_path / "restored", tree))
    found, _ = differences(here, there, owners=ROOT)
    assert {each.what for each in found} <= {"a/b/other.tmp", "mtime of ."}
    assert (tmp_path / "restored" / "twin").samefile(tmp_path / "restored" / "a" / "b" / "small.txt")
    (tree / "new").write_text("only this is new")
    room.house.clock.step(3 * 86400)
    second = await room.proven()
    assert first.bytes > 2_000_000
    assert second.bytes < 20_000
    assert size(repository(room)) - before < 40_000
    assert [each.id for each in await room.house.all()] == [second.id]
    assert len(list((repository(room) / "snapshots").iterdir())) == 1, "a snapshot goes with its backup"
    assert [name for name in room.house.files() if "scratch" in name] == []
    damage(repository(room))
    assert (await room.house.prove(second)).verdict is BackupState.FAILED
    room.house.clock.step(3600)
    state = (await room.house.get(second.id)).state
    with pytest.raises(JobFailed, match="share is damaged, take a new one now"):
        await VerifyBackups(database="stuff").run(room.house.run())
    assert (await room.house.get(second.id)).state is state, (
        "who fails is deleted, and which need it is not known"
    )


async def test_a_wrong_password_makes_no_second_repository(room: Room, tree: Path) -> None:
    room.set(ResticData, path=tree, password=PASSWORD, rules={"prove": "0 4 * * 0"})
    await room.backup()
    room.set(ResticData, path=tree, password=Secret("restic_password", "wrong horse"))
    room.house.clock.step(3600)
    with pytest.raises(DataError, match="wrong password") as fault:
        await room.backup()
    assert "wrong horse" not in str(fault.value)
    assert len(list((repository(room) / "keys").iterdir())) == 1


async def test_its_password_lies_nowhere(room: Room, tree: Path, tmp_path: Path) -> None:
    """A process that is killed would leave it there."""
    folder = tmp_path / "private"
    folder.mkdir()
    made = Restic(room.house.vault, "stuff", PASSWORD, folder)
    assert (await made.prepared("snapshots", "--json", make=True)).text.strip() in ("null", "[]")
    assert [path.name for path in folder.iterdir()] == ["output"]


async def test_a_bucket_holds_a_repository_as_well(room: Room, tree: Path, bucket: Bucket) -> None:
    storage = S3(
        bucket=bucket.name,
        endpoint=bucket.server.endpoint,
        prefix="pre/fix",
        access_key=Secret("key", "testing"),
        secret_key=Secret("secret", "testing-too"),
    )
    room.house.storage("vault", storage)
    room.set(ResticData, path=tree, password=PASSWORD)
    await room.proven()


def test_what_changes_meanwhile_is_no_evidence(tree: Path, tmp_path: Path) -> None:
    folder = tmp_path / "scratch"
    folder.mkdir()
    witness = Witness(tree, lambda path: path.endswith(".tmp"), folder)
    witness.before()
    (tree / "a" / "large").write_bytes(b"other")
    (tree / "later").touch()
    (tree / "link").unlink()
    listed = [Entry.parse(line) for line in witness.after().read_bytes().splitlines()]
    assert {entry.path for entry in listed} == {"a", "a/b", "a/b/small.txt", "twin"}
    assert next(entry for entry in listed if entry.path == "a/b/small.txt").sha256
    assert witness.moved == 3


async def test_writes_meanwhile_are_no_difference(room: Room, tree: Path) -> None:
    stop, writing = threading.Event(), threading.Event()

    def write() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            (tree / "a" / "b" / "small.txt").write_text(f"{turn}")
            (tree / f"passing-{turn % 7}").touch()
            (tree / f"passing-{(turn + 3) % 7}").unlink(missing_ok=True)
            writing.set()

    thread = threading.Thread(target=write)
    thread.start()
    writing.wait()
    try:
        room.set(ResticData, path=tree, password=PASSWORD)
        await room.proven()
    finally:
        stop.set()
        thread.join()


async def test_a_copy_that_lacks_something_is_found(room: Room, tree: Path, tmp_path: Path) -> None:
    """restic may be content with its snapshot; the witness is not."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    witness = Witness(tree, lambda path: False, folder)
    witness.before()
    listing = witness.after()
    room.set(ResticData, path=tree, password=PASSWORD, rules={"prove": "0 4 * * 0"})
    await room.backup()
    manifest = room.manifest(await room.newest())
    assert manifest.counted == witness.tally.counted
    assert equal(compared(manifest, listing, tree, lambda done: None, witness=True))
    info = (tree / "a" / "large").stat()
    (tree / "a" / "large").write_bytes(bytes(2_000_000))
    os.utime(tree / "a" / "large", ns=(info.st_atime_ns, info.st_mtime_ns))
    (tree / "link").unlink()
    judgement = compared(manifest, listing, tree, lambda done: None, witness=True)
    assert judgement.verdict is BackupState.FAILED
    assert [each.what for each in judgement.differences][:2] == ["sha256 of a/large", "link"]


async def test_when_it_is_not_in_the_file_any_more(room: Room, tree: Path) -> None:
    import dataclasses

    room.set(ResticData, path=tree, password=PASSWORD, rules={"prove": "0 4 * * 0"})
    await room.backup()
    backup = await room.newest()
    room.house.ports = dataclasses.replace(room.house.ports, data={})
    with pytest.raises(DataError, match="nobody knows the password"):
        await room.house.prove(backup)


async def test_a_repository_that_somebody_uses_is_not_a_damaged_one(room: Room, tree: Path) -> None:
    """What failed its proof is deleted a week later: a fault that passes must never look like damage."""
    room.set(ResticData, path=tree, password=PASSWORD, rules={"prove": "0 4 * * 0"})
    await room.backup()
    backup = await room.newest()
    words = ["restic", "-q", "-r", str(repository(room)), "--no-cache", "backup", "--stdin"]
    env = {**os.environ, "RESTIC_PASSWORD": PASSWORD.reveal()}
    with subprocess.Popen(words, env=env, stdin=subprocess.PIPE) as other:
        eventually(lambda: any((repository(room) / "locks").iterdir()))
        room.house.clock.step(3600)
        with pytest.raises(JobFailed, match="lock was created"):
            await VerifyBackups(database="stuff").run(room.house.run())
        with pytest.raises(ResticFault, match="lock was created"):
            await room.house.prove(backup)
        other.kill()
    assert (await room.house.get(backup.id)).state is BackupState.TAKEN


async def test_a_repository_that_is_gone_is_not_made_anew_and_found_sound(room: Room, tree: Path) -> None:
    room.set(ResticData, path=tree, password=PASSWORD, rules={"prove": "0 4 * * 0"})
    await room.backup()
    backup = await room.newest()
    dataset, manifest = room.house.ports.data["stuff"], room.manifest(backup)
    assert await dataset.lacks("stuff", room.house.vault, manifest) == []
    for snapshot in (repository(room) / "snapshots").iterdir():
        snapshot.unlink()
    (wrong,) = await dataset.lacks("stuff", room.house.vault, manifest)
    assert "has no snapshot" in wrong
    shutil.rmtree(repository(room))
    room.house.clock.step(3600)
    with pytest.raises(JobFailed, match="1 backups of stuff are damaged"):
        await VerifyBackups(database="stuff").run(room.house.run())
    assert not repository(room).exists()


@pytest.mark.parametrize(
    ("said", "damage"),
    [
        (
            "Fatal: unable to open config file: Head x: dial tcp 127.0.0.1:1: connect: connection refused",
            False,
        ),
        ("Fatal: There were 2 errors", False),
        ("ignoring error for /f: ciphertext verification failed\nFatal: There were 2 errors", True),
        ("pack 3ef: Get x: i/o timeout\nFatal: repository contains errors", False),
        ("pack 3ef: does not exist\nFatal: repository contains errors", True),
    ],
)
def test_only_what_restic_is_certain_of_is_damage(said: str, damage: bool) -> None:
    assert ResticFault(1, said, "vault").damage is damage


def test_a_pattern_with_a_slash_is_for_the_whole_path(tmp_path: Path) -> None:
    told = [as_argument(tmp_path, each) for each in ("/tmp", "a/b", "tmp/", "*.tmp")]
    assert told == [f"{tmp_path}/tmp", f"{tmp_path}/a/b", "tmp", "*.tmp"]
