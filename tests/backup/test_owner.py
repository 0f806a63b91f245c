"""Whose a storage is: two installations, a disk that is not mounted, a storage that is claimed."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mainstay.backup.owner import MARK, admit, claim, installation
from mainstay.core.errors import MainstayError
from mainstay.ports.objects import StorageError
from mainstay.ports.objects.directory import Directory
from mainstay.store.open import open_store
from tests.backup.house import House


@pytest.fixture
async def neighbour(house: House, shop: str, tmp_path: Path) -> AsyncIterator[House]:
    """Another installation, with a journal of its own, whose storage is the same directory."""
    store = await open_store(f"sqlite:///{tmp_path}/neighbour.db", house.clock)
    yield House(store, house.clock, tmp_path, shop)
    await store.close()


async def test_two_installations_never_share_a_storage(house: House, neighbour: House) -> None:
    await house.take()
    before = house.files()
    with pytest.raises(
        StorageError, match=r"belongs to another installation of mainstay, on .* since 2026"
    ) as told:
        await neighbour.take()
    assert "its own directory, bucket or prefix" in str(told.value)
    assert "mainstay backup claim vault" in str(told.value)
    assert (house.files(), await neighbour.all()) == (before, [])
    await house.take()  # the owner does not notice


async def test_who_claims_it_has_it(house: House, neighbour: House) -> None:
    await house.take()
    await claim(neighbour.ports, "vault")
    await neighbour.take()
    with pytest.raises(StorageError, match="belongs to another installation"):
        await house.take()


async def test_an_empty_mount_point_is_not_taken_for_the_disk(house: House) -> None:
    await house.take()
    disk = house.vault.path.rename(house.directory / "unmounted")
    with pytest.raises(StorageError, match="lacks the mark that mainstay left there") as told:
        await house.take()
    assert "is the disk mounted?" in str(told.value)
    assert not house.vault.path.exists()  # it was not made anew
    house.vault.path.mkdir()
    with pytest.raises(StorageError, match="lacks the mark"):
        await house.take()
    assert list(house.vault.path.iterdir()) == []
    house.vault.path.rmdir()
    disk.rename(house.vault.path)
    await house.take()


async def test_a_new_disk_is_claimed(house: House) -> None:
    await house.take()
    shutil.rmtree(house.vault.path)
    await claim(house.ports, "vault")
    assert (await admit(house.ports, "vault")) is not None
    await house.take()


async def test_another_place_under_the_same_name_is_new(house: House) -> None:
    await house.take()
    house.storage("vault", Directory(path=house.directory / "elsewhere"))
    await house.take()
    assert (house.directory / "elsewhere" / MARK).is_file()


async def test_a_damaged_mark_is_told(house: House) -> None:
    await house.take()
    (house.vault.path / MARK).write_text("{")
    with pytest.raises(StorageError, match=r"owner\.json is damaged"):
        await house.take()


async def test_a_key_for_writing_only_cannot_look(house: House) -> None:
    house.storage("vault", house.vault.model_copy(update={"write_only": True}))
    await house.take()
    assert not (house.vault.path / MARK).exists()
    with pytest.raises(MainstayError, match="may only write"):
        await claim(house.ports, "vault")


async def test_a_journal_keeps_its_name(house: House) -> None:
    name = await installation(house.ports.store)
    assert await installation(house.ports.store) == name
    assert len(name) == 16
