"""A backup in an encrypted storage: what is readable there, what is possible without an identity, what flips."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pyrage
import pytest

from mainstay.backup.catalog import adopt
from mainstay.backup.label import Label, labelled
from mainstay.backup.manifest import Manifest
from mainstay.core.job import JobFailed
from mainstay.core.secret import Secret
from mainstay.ports.objects import Storage
from mainstay.ports.objects.directory import Directory
from mainstay.ports.objects.seal import Encryption, NoKey
from mainstay.store import backups
from mainstay.store.backups import Backup, BackupState
from mainstay.store.open import open_store
from tests.backup.house import House
from tests.servers.process import program

OBJECTS = ("dump.pgc.zst.age", "globals.sql.zst.age", "manifest.json.age")


@pytest.fixture
def identity() -> str:
    return str(pyrage.x25519.Identity.generate())


def sealed(house: House, identity: str, name: str = "vault", *, known: bool = True) -> Storage:
    """An encrypted storage of the house; `known` is whether the identity is on this machine."""
    recipient = str(pyrage.x25519.Identity.from_str(identity).to_public())
    secret = Secret("backup_identity", identity) if known else None
    made = Directory(path=house.directory / name, encrypt=Encryption(recipients=[recipient], identity=secret))
    house.storage(name, made)
    return made


def forget_identity(house: House, name: str = "vault") -> None:
    storage = house.ports.storage(name)
    assert storage.encrypt is not None
    without = storage.encrypt.model_copy(update={"identity": None})
    house.storage(name, storage.model_copy(update={"encrypt": without}))


async def test_it_is_proven_and_nobody_else_reads_anything(house: House, identity: str) -> None:
    vault = sealed(house, identity)
    outcome = await house.backup()
    assert outcome.data["proven"] is True
    backup = await house.get(outcome.data["backup"])
    folder = house.vault.path / backup.path
    assert sorted(file.name for file in folder.iterdir()) == sorted([*OBJECTS, "label.json"])
    for name in OBJECTS:
        assert (folder / name).read_bytes().startswith(b"age-encryption.org/v1\n")
    text = (folder / "label.json").read_text()
    for telling in ("customer", "sale", "postgres", "localhost", "127.0.0.1", identity):
        assert telling not in text.replace('"database": "shop"', "")
    label = await labelled(vault, backup.path)
    assert label == Label.unseal(text)
    assert label is not None
    assert label.objects == backup.kept
    assert house.files() == sorted(f"vault/{backup.path}/{name}" for name in (*OBJECTS, "label.json"))


async def test_age_zstd_and_a_key_are_enough_to_read_it(house: House, identity: str, tmp_path: Path) -> None:
    sealed(house, identity, known=False)
    backup = await house.take()
    key = tmp_path / "key.txt"
    key.write_text(f"# the company's safe\n{identity}\n")
    program("zstd", "zstd")
    folder = house.vault.path / backup.path
    for name in ("dump.pgc.zst", "globals.sql.zst"):
        command = f'"$1" -d -i "$2" "$3/{name}.age" | zstd -dc'
        argv = ["sh", "-c", command, "sh", program("age", "age"), str(key), str(folder)]
        opened = subprocess.run(argv, check=True, capture_output=True).stdout
        assert opened.startswith(b"PGDMP" if name.startswith("dump") else b"--")
    text = subprocess.run(
        ["age", "-d", "-i", str(key), str(folder / OBJECTS[2])], check=True, capture_output=True, text=True
    ).stdout
    assert Manifest.unseal(text) == house.manifest(backup)


async def test_without_an_identity_it_is_taken_and_unproven(house: House, identity: str) -> None:
    sealed(house, identity, known=False)
    outcome = await house.backup()
    assert "unproven because directory" in outcome.summary
    assert "this machine has no identity" in outcome.summary
    assert (outcome.data["proven"], outcome.data["verdict"]) == (False, "taken")
    with pytest.raises(JobFailed, match="has no identity") as told:
        await house.prove_job()
    assert "prove it on a machine that may read it" in str(told.value)
    sealed(house, identity)
    assert (await house.prove_job()).data["proven"] is True


async def test_a_run_that_is_repeated_without_an_identity_takes_it_anew(house: House, identity: str) -> None:
    sealed(house, identity, known=False)
    run = house.run()
    await house.take(run=run)
    run.kept.clear()  # as if its end had not been written
    again = await house.take(run=run)
    assert len(house.files()) == len(OBJECTS) + 1
    sealed(house, identity)
    assert (await house.prove(again)).verdict is BackupState.PROVEN


async def flipped(house: House, backup: Backup, name: str, at: int, bit: int) -> Backup:
    """Prove a backup while one bit of an object of it is another; give it as the proof left it."""
    file = house.vault.path / backup.path / name
    before = file.read_bytes()
    file.write_bytes(before[:at] + bytes([before[at] ^ (1 << bit)]) + before[at + 1 :])
    proof = await house.prove(backup)
    file.write_bytes(before)
    assert proof.verdict is BackupState.FAILED, (name, at, bit, proof.summary)
    assert "changed" in proof.summary or "damaged" in proof.summary
    return backup


@pytest.mark.parametrize("name", OBJECTS)
async def test_one_bit_that_flips_anywhere_is_a_damaged_backup(
    house: House, identity: str, name: str
) -> None:
    sealed(house, identity)
    backup = await house.take()
    size = (house.vault.path / backup.path / name).stat().st_size
    dice = random.Random(name)
    # The header, where a flipped bit looks like a key that does not fit, the first bytes of the content, the last one.
    for at in (0, 30, 60, 120, 200, 320, size - 1, *(dice.randrange(size) for _ in range(8))):
        await flipped(house, backup, name, at, dice.randrange(8))


async def test_a_wrong_identity_is_no_verdict(house: House, identity: str) -> None:
    sealed(house, identity)
    backup = await house.take()
    vault = house.ports.storage("vault")
    assert vault.encrypt is not None
    other = Secret("other", str(pyrage.x25519.Identity.generate()))
    wrong = vault.encrypt.model_copy(update={"identity": other})
    house.storage("vault", vault.model_copy(update={"encrypt": wrong}))
    with pytest.raises(NoKey, match="none of the identities here opens it"):
        await house.prove_job()
    assert (await house.get(backup.id)).state is BackupState.TAKEN


async def test_after_a_change_of_keys_the_old_ones_are_proven_still(house: House, identity: str) -> None:
    sealed(house, identity)
    backup = await house.take()
    new = str(pyrage.x25519.Identity.generate())
    vault = sealed(house, new)
    assert vault.encrypt is not None
    both = vault.encrypt.model_copy(update={"identity": [Secret("new", new), Secret("old", identity)]})
    house.storage("vault", vault.model_copy(update={"encrypt": both}))
    house.clock.step(86400)
    newer = await house.take()
    for each in (backup, newer):
        assert (await house.prove(each)).verdict is BackupState.PROVEN


async def test_it_is_copied_as_it_is_to_a_storage_for_the_same_people(house: House, identity: str) -> None:
    sealed(house, identity, known=False)
    sealed(house, identity, "second", known=False)
    house.database("shop", house.ports.database("shop").dsn.reveal(), to=["vault", "second"])
    await house.take()
    first, second = sorted(await house.all(), key=lambda each: each.storage, reverse=True)
    for name in OBJECTS[:2]:
        files = [house.directory / each.storage / each.path / name for each in (first, second)]
        assert files[0].read_bytes() == files[1].read_bytes()
    sealed(house, identity)
    sealed(house, identity, "second")
    assert (await house.prove(second)).verdict is BackupState.PROVEN


async def test_it_is_decrypted_and_encrypted_on_the_way_to_others(house: House, identity: str) -> None:
    house.storage("plain", Directory(path=house.directory / "plain"))
    sealed(house, str(pyrage.x25519.Identity.generate()), "third")
    vault = sealed(house, identity)
    url = house.ports.database("shop").dsn.reveal()
    house.database("shop", url, to=["vault", "plain", "third"])
    assert (await house.backup()).data["proven"] is True
    states = {each.storage: each.state for each in await house.all()}
    # Nobody has tried to open the third one: it is a backup of its own.
    assert states == {"vault": BackupState.PROVEN, "plain": BackupState.PROVEN, "third": BackupState.TAKEN}
    third = next(each for each in await house.all() if each.storage == "third")
    assert (await house.prove(third)).verdict is BackupState.PROVEN
    house.clock.step(86400)
    forget_identity(house)
    assert vault.encrypt is not None
    with pytest.raises(JobFailed, match="backed up in vault, but not in plain: it is encrypted"):
        await house.backup()


async def test_a_journal_that_was_lost_is_made_again(house: House, identity: str, tmp_path: Path) -> None:
    sealed(house, identity)
    backup = await house.take()
    fresh = await open_store(f"sqlite:///{tmp_path}/second.db", house.clock)
    object.__setattr__(house.ports, "store", fresh)
    try:
        forget_identity(house)
        assert await adopt(house.ports, "shop", "vault") == []  # nobody can read what it is
        sealed(house, identity)
        (found,) = await adopt(house.ports, "shop", "vault")
        assert (found.id, found.kept, found.manifest) == (backup.id, backup.kept, backup.manifest)
        assert await fresh.read(backups.all_) == [found]
    finally:
        await fresh.close()
