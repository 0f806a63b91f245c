"""Encryption: what the standard `age` makes of it, keys that change, bytes that flip, and streams that break off."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pyrage
import pytest
from pydantic import ValidationError

from mainstay.core.secret import Secret
from mainstay.ports.objects.base import chunked
from mainstay.ports.objects.directory import Directory
from mainstay.ports.objects.seal import Broken, Encryption, NoKey, SealError
from tests.helpers import aeventually
from tests.servers.process import program

MIB = 1 << 20


def keygen(directory: Path, name: str) -> tuple[Path, str]:
    """What `age-keygen` makes: the file of an identity and its recipient."""
    file = directory / name
    subprocess.run([program("age-keygen", "age"), "-o", str(file)], check=True, capture_output=True)
    recipient = subprocess.run(["age-keygen", "-y", str(file)], check=True, capture_output=True, text=True)
    return file, recipient.stdout.strip()


def secret(file: Path) -> Secret:
    return Secret(file.name, file.read_text())


async def gathered(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def no_thread_left() -> None:
    await aeventually(lambda: all(thread.name != "seal" for thread in threading.enumerate()))


@pytest.mark.parametrize("size", [0, 100, 3 * MIB + 17], ids=["empty", "small", "streamed"])
async def test_each_recipient_reads_it_with_nothing_but_age(tmp_path: Path, size: int) -> None:
    (ours, one), (safe, two) = keygen(tmp_path, "ours"), keygen(tmp_path, "safe")
    data = os.urandom(size)
    vault = Directory(
        path=tmp_path / "vault", encrypt=Encryption(recipients=[one, two], identity=secret(ours))
    )
    stored = await vault.put("shop/dump", chunked(data))
    assert await gathered(vault.get("shop/dump")) == data
    file = tmp_path / "vault/shop/dump.age"
    assert file.stat().st_size == stored.kept.bytes
    for identity in (ours, safe):
        opened = subprocess.run(
            ["age", "-d", "-i", str(identity), str(file)], check=True, capture_output=True
        )
        assert opened.stdout == data


async def test_what_age_encrypted_is_read(tmp_path: Path) -> None:
    file, recipient = keygen(tmp_path, "ours")
    data = os.urandom(2 * MIB)
    sealed = subprocess.run(["age", "-r", recipient], input=data, check=True, capture_output=True).stdout
    ours = Encryption(recipients=[recipient], identity=secret(file))
    assert await gathered(ours.open(chunked(sealed))) == data


async def test_an_ssh_key_will_do(tmp_path: Path) -> None:
    key = tmp_path / "id"
    subprocess.run(
        [program("ssh-keygen", "openssh-client"), "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True
    )
    ours = Encryption(recipients=[key.with_suffix(".pub").read_text()], identity=secret(key))
    assert ours.opens()
    assert await gathered(ours.open(ours.seal(chunked(b"data")))) == b"data"


async def test_after_a_change_of_keys_old_and_new_are_read(tmp_path: Path) -> None:
    (old, was), (new, now) = keygen(tmp_path, "old"), keygen(tmp_path, "new")
    vault = Directory(path=tmp_path / "vault", encrypt=Encryption(recipients=[was], identity=secret(old)))
    await vault.put("before", chunked(b"1"))
    both = Encryption(recipients=[now], identity=[secret(new), secret(old)])
    vault = vault.model_copy(update={"encrypt": both})
    await vault.put("after", chunked(b"2"))
    assert [await vault.read(path) for path in ("before", "after")] == [b"1", b"2"]
    only = vault.model_copy(update={"encrypt": Encryption(recipients=[now], identity=secret(new))})
    assert await only.read("after") == b"2"
    with pytest.raises(NoKey, match="none of the identities here opens it"):
        await only.read("before")


async def test_encryption_is_begun_and_ended_at_any_time(tmp_path: Path) -> None:
    file, recipient = keygen(tmp_path, "ours")
    plain = Directory(path=tmp_path / "vault")
    await plain.put("a", chunked(b"plain"))
    sealed = plain.model_copy(update={"encrypt": Encryption(recipients=[recipient], identity=secret(file))})
    await sealed.put("b", chunked(b"sealed"))
    assert [(entry.path, entry.sealed) async for entry in plain.list()] == [("a", False), ("b", True)]
    assert await sealed.read("a") == b"plain"
    with pytest.raises(NoKey, match="this machine has no identity") as told:
        await plain.read("b")
    assert "identity: {secret: NAME}" in str(told.value)
    for path in ("a", "b"):
        await plain.delete(path)
    assert [entry async for entry in sealed.list()] == []


async def test_without_an_identity_it_writes_and_weighs(tmp_path: Path) -> None:
    _, recipient = keygen(tmp_path, "elsewhere")
    encryption = Encryption(recipients=[recipient])
    vault = Directory(path=tmp_path / "vault", encrypt=encryption)
    stored = await vault.put("object", chunked(b"data"))
    assert await vault.weigh("object") == stored.kept
    assert not encryption.opens()
    with pytest.raises(NoKey, match="has no identity"):
        await vault.read("object")


async def test_nothing_readable_reaches_the_disk(tmp_path: Path) -> None:
    _, recipient = keygen(tmp_path, "elsewhere")
    vault = Directory(path=tmp_path / "vault", encrypt=Encryption(recipients=[recipient]))
    await vault.put("a", chunked(b"a telling text " * 300_000))
    assert all(b"telling text" not in file.read_bytes() for file in vault.path.rglob("*") if file.is_file())


@pytest.mark.parametrize("size", [50, 3 * MIB], ids=["small", "streamed"])
async def test_a_byte_that_flips_anywhere_is_noticed(tmp_path: Path, size: int) -> None:
    file, recipient = keygen(tmp_path, "ours")
    ours = Encryption(recipients=[recipient], identity=secret(file))
    sealed = await gathered(ours.seal(chunked(os.urandom(size))))
    dice = random.Random(size)
    header = range(0, 400, 3) if size == 50 else []
    for at in {len(sealed) - 1, *(dice.randrange(len(sealed)) for _ in range(20)), *header}:
        if at < len(sealed):
            damaged = sealed[:at] + bytes([sealed[at] ^ (1 << dice.randrange(8))]) + sealed[at + 1 :]
            with pytest.raises(SealError):
                await gathered(ours.open(chunked(damaged)))


@pytest.mark.parametrize("left", [0, 10, 300, 70_000, 2 * MIB])
async def test_what_was_cut_is_noticed(tmp_path: Path, left: int) -> None:
    file, recipient = keygen(tmp_path, "ours")
    ours = Encryption(recipients=[recipient], identity=secret(file))
    sealed = await gathered(ours.seal(chunked(os.urandom(3 * MIB))))
    with pytest.raises(Broken, match="cannot be decrypted"):
        await gathered(ours.open(chunked(sealed[:left])))


async def test_no_more_is_read_than_somebody_takes(tmp_path: Path) -> None:
    _, recipient = keygen(tmp_path, "elsewhere")
    asked = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal asked
        while True:
            asked += 1
            yield bytes(MIB)

    sealed = Encryption(recipients=[recipient]).seal(endless())
    await anext(sealed)
    await aeventually(lambda: asked >= 3)
    taken = 1
    async for _ in sealed:
        taken += 1
        assert asked <= taken + 6
        if taken == 30:
            break
    await sealed.aclose()
    await no_thread_left()


async def test_a_stream_that_fails_says_why(tmp_path: Path) -> None:
    _, recipient = keygen(tmp_path, "elsewhere")

    async def failing() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield bytes(MIB)
        raise RuntimeError("pg_dump died")

    with pytest.raises(RuntimeError, match="pg_dump died"):
        await gathered(Encryption(recipients=[recipient]).seal(failing()))


async def test_a_stream_that_hangs_can_be_cancelled(tmp_path: Path) -> None:
    _, recipient = keygen(tmp_path, "elsewhere")
    hangs = asyncio.Event()

    async def hanging() -> AsyncIterator[bytes]:
        yield bytes(2 * MIB)
        hangs.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(gathered(Encryption(recipients=[recipient]).seal(hanging())))
    await hangs.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await no_thread_left()


@pytest.mark.parametrize(
    ("recipients", "message"),
    [
        ([], "at least 1 item"),
        (["age1nonsense"], "not a recipient"),
        (["ssh-ed25519 AAAA"], "not a recipient"),
        (["AGE-SECRET-KEY-1ABCDEF"], "this is a secret key"),
    ],
)
def test_what_is_no_recipient_is_refused(recipients: list[str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Encryption(recipients=recipients)


def test_a_recipient_stands_there_once() -> None:
    one = str(pyrage.x25519.Identity.generate().to_public())
    with pytest.raises(ValidationError, match="each recipient once"):
        Encryption(recipients=[one, one])


@pytest.mark.parametrize(
    "text", ["", "# only a comment", "AGE-SECRET-KEY-1NONSENSE", "-----BEGIN PRIVATE KEY-----"]
)
def test_what_is_no_identity_is_named_and_not_shown(text: str) -> None:
    recipient = str(pyrage.x25519.Identity.generate().to_public())
    with pytest.raises(SealError, match="secret backup_key is not an identity") as told:
        Encryption(recipients=[recipient], identity=Secret("backup_key", text)).opens()
    assert "NONSENSE" not in str(told.value)
