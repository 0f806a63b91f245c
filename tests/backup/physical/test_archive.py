"""The log in a storage: put together from pieces, never from something else, encrypted or not."""

from __future__ import annotations

import os
from pathlib import Path

import pyrage
import pytest

from mainstay.backup.fetch import Damaged
from mainstay.backup.physical.archive import Archive, Contents
from mainstay.backup.physical.cluster import Cluster, Owner
from mainstay.backup.physical.layout import Segment
from mainstay.backup.physical.plan import Route
from mainstay.backup.physical.record import bases_of, save
from mainstay.backup.physical.recover import fetch_log, finish
from mainstay.backup.physical.shipper import Shipper
from mainstay.backup.physical.target import LATEST
from mainstay.backup.physical.unpack import STATE, WORK, Progress
from mainstay.core.errors import MainstayError
from mainstay.core.secret import Secret
from mainstay.ports.objects.directory import Directory
from mainstay.ports.objects.seal import Encryption
from mainstay.ports.postgres.tools import Toolset
from mainstay.ports.scratch import Scratch
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


async def test_pieces_that_went_because_their_segment_became_whole_are_not_missed(tmp_path: Path) -> None:
    """A restore that takes its time, and a proof above all, was called damaged then."""
    archive = Archive(Directory(path=tmp_path), "_physical/shop/7")
    await archive.put_part(FIRST.name, 0, b"some")
    listed = await archive.contents()
    await archive.drop_parts(FIRST.name)
    with pytest.raises(Damaged, match="is gone"):
        await archive.segment(listed, FIRST)
    await archive.put_whole(FIRST.name, b"some and more")
    assert await archive.segment(listed, FIRST) == b"some and more"


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


async def test_what_a_server_writes_anew_under_old_names_is_shipped_anew(tmp_path: Path) -> None:
    """A server that was set back to a snapshot of its disk writes other log under the names that were shipped."""
    archive = Archive(Directory(path=tmp_path / "vault"), "_physical/shop/7")
    spool, then = tmp_path / "spool", Segment(1, 8, SIZE)
    spool.mkdir()
    shipper = Shipper(archive, spool)
    (spool / FIRST.name).write_bytes(b"a" * SIZE)
    (spool / f"{then.name}.partial").write_bytes(b"a" * 100 + bytes(SIZE - 100))
    await shipper.ship()
    await shipper.begin_anew()
    assert (list(spool.iterdir()), shipper.floor, shipper.tip) == ([], None, None)
    (spool / FIRST.name).write_bytes(b"b" * SIZE)
    (spool / f"{then.name}.partial").write_bytes(b"b" * 50 + bytes(SIZE - 50))
    await shipper.ship()
    contents = await archive.contents()
    assert len(contents.whole[FIRST.name]) == 2
    assert [part.end for part in contents.parts[then.name]] == [50, 100]
    for segment, said in ((FIRST, "2 different segments"), (then, "pieces of segment .* differ")):
        with pytest.raises(Damaged, match=said):  # nobody guesses
            await archive.segment(contents, segment)


async def test_a_restore_that_goes_on_takes_what_became_whole_meanwhile(tmp_path: Path) -> None:
    """Else a restore of the latest moment that was cut off would end, in silence, where the log ended at first."""
    archive = Archive(Directory(path=tmp_path / "vault"), "_physical/shop/7")
    log = tmp_path / "data" / WORK / "wal"
    log.mkdir(parents=True)
    whole = os.urandom(SIZE)
    await archive.put_part(FIRST.name, 0, whole[:100])
    with Scratch(tmp_path / "scratch").workspace() as space:
        tools = Toolset(Path(), "17", "none")
        cluster = Cluster(tmp_path / "data", tools, "postgres", Owner(None, lasting=False), space)
        for expected in (whole[:100] + bytes(SIZE - 100), whole):
            contents = await archive.contents()
            route = Route(LATEST, [], 1, [FIRST], archive, contents)
            await fetch_log(Silent(), route, cluster)
            assert (log / FIRST.name).read_bytes() == expected
            await archive.put_whole(FIRST.name, whole)
        cluster.close()


async def test_a_restore_can_be_cut_off_at_its_very_beginning_and_its_very_end(tmp_path: Path) -> None:
    archive = Archive(Directory(path=tmp_path / "vault"), "_physical/shop/7")
    route = Route(LATEST, [base(1)], 1, [], archive, await archive.contents())
    data = tmp_path / "data"
    (data / WORK / "wal").mkdir(parents=True)  # killed before it wrote down anything
    progress = Progress.open(data, route)
    progress.verified = progress.recovered = True
    progress.keep()
    (data / "PG_VERSION").write_text("15")
    (data / WORK / "a").touch()
    with Scratch(tmp_path / "scratch").workspace() as space, pytest.MonkeyPatch.context() as patch:
        cluster = Cluster(data, Toolset(Path(), "15", "none"), "postgres", Owner(None, lasting=False), space)
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            finish(route, cluster)
        patch.undo()
        assert Progress.open(data, route).recovered
        finish(route, cluster)
        cluster.close()
    assert not (data / WORK).exists()
    with pytest.raises(MainstayError, match="is not empty"):
        Progress.open(data, route)


def killed(self: Path, missing_ok: bool = False) -> None:
    raise KeyboardInterrupt


def test_what_a_power_cut_left_of_the_note_is_no_traceback(tmp_path: Path) -> None:
    archive = Archive(Directory(path=tmp_path / "vault"), "_physical/shop/7")
    (tmp_path / "data" / WORK).mkdir(parents=True)
    (tmp_path / "data" / WORK / STATE).touch()
    with pytest.raises(MainstayError, match="nobody knows how far"):
        Progress.open(tmp_path / "data", Route(LATEST, [base(1)], 1, [], archive, Contents()))


class Silent:
    """Hears, and says nothing."""

    def log(self, line: str) -> None: ...

    def progress(self, label: str, done: float, total: float | None = None, unit: str = "") -> None: ...


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
