"""The log in a storage: put together from pieces, never from something else, encrypted or not."""

from __future__ import annotations

import os
from pathlib import Path

import pyrage
import pytest

from mainstay.backup.fetch import Damaged
from mainstay.backup.physical.archive import Archive
from mainstay.backup.physical.layout import Segment
from mainstay.backup.physical.record import bases_of, save
from mainstay.backup.physical.shipper import Shipper
from mainstay.core.secret import Secret
from mainstay.ports.objects.directory import Directory
from mainstay.ports.objects.seal import Encryption
from tests.backup.physical.test_retain import base

SIZE = 1 << 20
FIRST = Segment(1, 7, SIZE)


async def test_pieces_make_a_segment_and_a_whole_one_is_preferred(tmp_path: Path) -> None:
    archive = Archive(Directory(path=tmp_path), "_physical/shop/7")
    data = os.urandom(1000)
    await archive.put_part(FIRST.name, 0, data[:400])
    await archive.put_part(FIRST.name, 300, data[300:600])  # begun anew after a restart
    await archive.put_part(FIRST.name, 700, data[700:])  # what lies between was never shipped
    made = await archive.segment(await archive.contents(), FIRST)
    assert made == data[:600] + bytes(SIZE - 600)
    await archive.put_whole(FIRST.name, data)
    await archive.put_whole(FIRST.name, data)
    assert await archive.segment(await archive.contents(), FIRST) == data
    await archive.put_whole(FIRST.name, os.urandom(1000))
    with pytest.raises(Damaged, match="two servers wrote under one name"):
        await archive.segment(await archive.contents(), FIRST)


async def test_only_what_is_new_of_a_segment_is_shipped(tmp_path: Path) -> None:
    archive = Archive(Directory(path=tmp_path / "vault"), "_physical/shop/7")
    spool = tmp_path / "spool"
    spool.mkdir()
    shipper = Shipper(archive, spool)
    file = spool / f"{FIRST.name}.partial"
    written = b""
    for piece in (b"one", b"two\0\0\0", b"three"):
        written += piece
        file.write_bytes(written + bytes(SIZE - len(written)))
        assert await shipper.ship()
        assert not await shipper.ship()
    parts = (await archive.contents()).parts[FIRST.name]
    assert [(part.start, part.end) for part in parts] == [(0, 3), (3, 6), (6, 14)]
    assert await archive.segment(await archive.contents(), FIRST) == file.read_bytes()
    file.rename(spool / FIRST.name)
    await shipper.ship()
    contents = await archive.contents()
    assert (list(contents.whole), contents.parts, shipper.floor) == ([FIRST.name], {}, FIRST.end)


async def test_an_encrypted_storage_shows_what_it_has_and_not_what_is_in_it(tmp_path: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    sealed = Encryption(recipients=[str(identity.to_public())])
    blind = Directory(path=tmp_path, encrypt=sealed)
    archive = Archive(blind, "_physical/shop/7")
    await archive.put_whole(FIRST.name, b"secret")
    await archive.put_history(2, b"1\t0/700000\tno recovery target specified\n")
    await save(blind, base(1))
    contents = await archive.contents()
    assert list(contents.whole) == [FIRST.name]
    assert [fork.timeline for fork in await archive.forks(contents, 2)] == [1]
    assert len((await bases_of(blind, "shop"))[0]) == 1
    assert all(b"secret" not in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    seeing = blind.model_copy(
        update={"encrypt": sealed.model_copy(update={"identity": Secret("key", str(identity))})}
    )
    assert await Archive(seeing, archive.home).segment(contents, FIRST) == b"secret"
