"""What every kind of data has in common with databases: encryption, a lost journal, a killed process, the commands."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pyrage
import pytest

from mainstay.backup.catalog import adopt
from mainstay.backup.data.directory import LISTING, TREE, DirectoryData
from mainstay.backup.keeping import VerifyBackups
from mainstay.config import load
from mainstay.core.errors import ConfigError
from mainstay.core.job import JobFailed
from mainstay.core.secret import Secret
from mainstay.ports.objects.directory import Directory
from mainstay.ports.objects.seal import Encryption
from mainstay.store.backups import BackupState
from mainstay.store.open import open_store
from tests.backup.data.room import Room, flip
from tests.helpers import mainstay


@pytest.fixture
def stuff(tmp_path: Path) -> Path:
    root = tmp_path / "stuff"
    (root / "folder").mkdir(parents=True)
    (root / "folder" / "telling-name").write_text("telling contents")
    return root


async def test_an_encrypted_storage_shows_nothing_and_is_proven_and_verified(room: Room, stuff: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    encrypt = Encryption(recipients=[str(identity.to_public())], identity=Secret("identity", str(identity)))
    vault = Directory(path=room.house.vault.path, encrypt=encrypt)
    room.house.storage("vault", vault)
    room.set(DirectoryData, path=stuff)
    backup = await room.proven()
    there = {path.name: path.read_bytes() for path in (vault.path / backup.path).iterdir()}
    assert there.keys() == {f"{TREE}.age", f"{LISTING}.age", "manifest.json.age", "label.json"}
    assert not any(b"telling" in data for data in there.values())
    flip(vault.path / backup.path / f"{LISTING}.age")
    room.house.clock.step(3600)
    with pytest.raises(JobFailed, match="1 backups of stuff are damaged"):
        await VerifyBackups(database="stuff").run(room.house.run())


async def test_a_journal_that_was_lost_is_made_again(room: Room, stuff: Path, tmp_path: Path) -> None:
    room.set(DirectoryData, path=stuff)
    backup = await room.proven()
    fresh = await open_store(f"sqlite:///{tmp_path}/second.db", room.house.clock)
    object.__setattr__(room.house.ports, "store", fresh)
    try:
        (found,) = await adopt(room.house.ports, "stuff", "vault")
        assert (found.id, found.state, found.manifest) == (backup.id, BackupState.TAKEN, backup.manifest)
        assert (await room.house.prove(found)).verdict is BackupState.PROVEN
    finally:
        await fresh.close()


async def test_what_was_taken_comes_back_when_it_is_no_longer_in_the_file(
    room: Room, stuff: Path, tmp_path: Path
) -> None:

    room.set(DirectoryData, path=stuff)
    backup = await room.proven()
    room.house.ports = dataclasses.replace(room.house.ports, data={})
    await room.restore(backup, tmp_path / "back")
    assert (tmp_path / "back" / "folder" / "telling-name").read_text() == "telling contents"


async def test_cut_off_before_its_manifest_it_is_taken_anew_at_the_same_place(
    room: Room, stuff: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    async def never(*args: object) -> None:
        raise Killed

    room.set(DirectoryData, path=stuff)
    run = room.house.run()
    with monkeypatch.context() as patch:
        patch.setattr("mainstay.backup.data.take.publish", never)
        with pytest.raises(Killed):
            await room.backup(run)
    assert await room.house.all() == []
    (stuff / "later").write_text("there by now")
    await room.backup(run)
    (backup,) = await room.house.all()
    assert backup.state is BackupState.PROVEN
    assert room.manifest(backup).counted["files"].rows == 2
    assert [path.name for path in (room.house.vault.path / "stuff").iterdir()] == [
        backup.path.rpartition("/")[2]
    ]


def test_the_commands_take_it_like_a_database(stuff: Path, tmp_path: Path) -> None:
    (tmp_path / "mainstay.yaml").write_text(
        f"name: test\nstate_dir: state\ndata: {{stuff: {{directory: {stuff}}}}}\n"
        f"storage: {{vault: {{directory: {tmp_path}/vault}}}}\n"
    )
    taken = mainstay("backup", "now", cwd=tmp_path)
    assert taken.returncode == 0, taken.stdout + taken.stderr
    assert "1 files in 2 directories" in taken.stdout
    assert "3 entries compared" in mainstay("status", cwd=tmp_path).stdout
    done = mainstay("restore", "stuff", "--into", str(tmp_path / "back"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "back" / "folder" / "telling-name").read_text() == "telling contents"


RESTIC = "restic: {path: /x, password: {secret: p}, backup: {to: %s}}"
FAULTS = {
    "a name twice": (
        "databases: {x: {dsn: 'postgresql://h/x'}}\ndata: {x: {directory: {path: /x, backup: {to: vault}}}}",
        "has this name already",
    ),
    "no such storage": ("data: {x: {directory: {path: /x, backup: {to: valt}}}}", "valt"),
    "two for restic": ("data: {x: {" + RESTIC % "[vault, other]" + "}}", "not copied to a second"),
    "restic in a lock": ("data: {x: {" + RESTIC % "locked" + "}}", "cannot write"),
    "no such type": ("data: {x: {directry: /x}}", "known types: directory, mysql, redis, restic, sqlite"),
    "no hook": ("data: {x: {directory: {path: /x, backup: {to: vault, before: stop}}}}", "before"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_cannot_be_is_told_with_its_line(tmp_path: Path, name: str) -> None:
    text, said = FAULTS[name]
    file = tmp_path / "mainstay.yaml"
    file.write_text(
        f"name: test\n{text}\nstorage:\n  vault: {{directory: vault}}\n  other: {{directory: other}}\n"
        "  locked: {s3: {bucket: some-bucket, lock: {days: 3}}}\n"
    )
    with pytest.raises(ConfigError) as fault:
        load(file, secrets=False)
    assert said in str(fault.value)
    assert "mainstay.yaml:" in str(fault.value)


def test_one_storage_goes_without_saying(tmp_path: Path) -> None:
    file = tmp_path / "mainstay.yaml"
    file.write_text(
        "name: test\nstorage: {vault: {directory: vault}}\ndata:\n  a: {directory: here}\n"
        "  b: {sqlite: {path: x.db, backup: {at: 0 1 * * *}}}\n  c: {redis: {secret: redis_url}}\n"
    )
    data = load(file, secrets=False).data
    assert {name: each.backup.storages for name, each in data.items()} == dict.fromkeys("abc", ("vault",))
    assert data["a"].target() == os.fspath(tmp_path / "here")
    assert data["b"].backup.at == "0 1 * * *"
