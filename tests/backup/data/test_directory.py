"""A directory: taken, unpacked, compared entry by entry; nothing of it is followed, lost or said to be otherwise."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import tarfile
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import zstandard

from mainstay.backup.data.archive import SMALL, Archiver
from mainstay.backup.data.base import DataError
from mainstay.backup.data.directory import LISTING, TREE, DirectoryData
from mainstay.backup.data.tree import Entry, differences, excluder, read_tree
from mainstay.backup.data.unpack import unpack
from mainstay.backup.fetch import Damaged
from mainstay.core.errors import MainstayError
from mainstay.core.job import JobFailed
from mainstay.ports.objects.directory import Directory
from mainstay.store.backups import BackupState
from tests.backup.data.room import Room, equal, flip

ODD = "\udcff\udcfe name"
ROOT = os.geteuid() == 0


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with one of each kind of thing."""
    root = tmp_path / "filestore"
    (root / "a" / "deep" / "er").mkdir(parents=True)
    (root / "empty").mkdir(mode=0o711)
    (root / "a" / "letter.txt").write_text("Dear reader,\n")
    (root / "a" / "big.bin").write_bytes(os.urandom(SMALL + 12345))
    (root / "a" / "nothing").touch()
    (root / "a" / "deep" / "er" / ("x" * 200)).write_text("a long name")
    with (root / "holes").open("wb") as file:
        file.truncate(4 << 20)
        file.seek(2 << 20)
        file.write(b"island")
    (root / "run.sh").write_text("#!/bin/sh\n")
    if ROOT:
        os.chown(root / "run.sh", 1234, 4321)
    (root / "run.sh").chmod(0o4755)
    os.link(root / "a" / "letter.txt", root / "twin.txt")
    (root / "to-letter").symlink_to("a/letter.txt")
    (root / "to-nowhere").symlink_to("/nowhere/at all")
    (root / ODD).write_text("not UTF-8")
    (root / "new\nline").write_text("two lines")
    os.utime(root / "a" / "letter.txt", ns=(0, 1_700_000_000_123_456_789))
    os.utime(root / "a" / "nothing", ns=(0, -1_500_000_000))
    os.utime(root / "a", ns=(0, 1_600_000_000_000_000_001))
    return root


def entries(root: Path) -> list[Entry]:
    return list(read_tree(root, lambda done: None))


async def test_a_directory_is_taken_and_proven(room: Room, tree: Path) -> None:
    room.set(DirectoryData, path=tree)
    outcome = await room.backup()
    assert outcome.data["proven"] is True
    assert "8 files in 5 directories, 3 links" in outcome.summary
    backup = await room.house.get(outcome.data["backup"])
    assert (backup.state, backup.rows) == (BackupState.PROVEN, 16)
    assert {path.name for path in room.object(backup, "x").parent.iterdir()} == {
        TREE,
        LISTING,
        "manifest.json",
    }
    assert (await room.proof(backup)).summary == (
        "restored and compared: 8 files in 5 directories, 3 links equal"
    )
    assert [name for name in room.house.files() if "scratch" in name] == []


async def test_every_entry_comes_back_as_it_was(room: Room, tree: Path, tmp_path: Path) -> None:
    room.set(DirectoryData, path=tree)
    backup = await room.proven()
    done = await room.restore(backup, tmp_path / "restored")
    assert equal(done.judgement)
    assert entries(tmp_path / "restored") == entries(tree)
    assert (tmp_path / "restored" / "twin.txt").samefile(tmp_path / "restored" / "a" / "letter.txt")
    holes = (tmp_path / "restored" / "holes").stat()
    assert holes.st_blocks * 512 < holes.st_size / 4


async def test_any_tar_can_unpack_it(room: Room, tree: Path, tmp_path: Path) -> None:
    room.set(DirectoryData, path=tree)
    backup = await room.proven()
    there = tmp_path / "by-hand"
    there.mkdir()
    packed = room.object(backup, TREE).read_bytes()
    raw = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
    subprocess.run(["tar", "-xpf", "-", "-C", str(there)], input=raw, check=True)
    assert differences(entries(tree), entries(there), owners=ROOT) == ([], 0)


@pytest.mark.parametrize("name", [TREE, LISTING])
async def test_a_flipped_bit_is_found(room: Room, tree: Path, name: str) -> None:
    room.set(DirectoryData, path=tree)
    backup = await room.proven()
    flip(room.object(backup, name))
    proof = await room.house.prove(backup)
    assert proof.verdict is BackupState.FAILED
    assert "was changed" in proof.summary


async def test_a_file_that_is_another_in_the_copy_is_named(tree: Path, tmp_path: Path) -> None:
    subprocess.run(["cp", "-a", str(tree), str(tmp_path / "copy")], check=True)
    copy = tmp_path / "copy"
    info = (copy / "a" / "big.bin").stat()
    flip(copy / "a" / "big.bin")
    os.utime(copy / "a" / "big.bin", ns=(info.st_atime_ns, info.st_mtime_ns))
    (copy / "run.sh").chmod(0o755)
    (copy / "to-nowhere").unlink()
    (copy / "more").mkdir()
    os.utime(copy, ns=(0, tree.stat().st_mtime_ns))
    told, count = differences(entries(tree), entries(copy), owners=True)
    assert [each.what for each in told] == ["sha256 of a/big.bin", "more", "mode of run.sh", "to-nowhere"]
    assert count == 4


async def test_what_is_excluded_is_left_out(room: Room, tree: Path, tmp_path: Path) -> None:
    (tree / "sessions").mkdir()
    (tree / "sessions" / "one").touch()
    room.set(DirectoryData, path=tree, exclude=["*.bin", "sessions", "/a/deep/er"])
    backup = await room.proven()
    await room.restore(backup, tmp_path / "restored")
    left = {entry.path for entry in entries(tree)} - {entry.path for entry in entries(tmp_path / "restored")}
    assert {path[:15] for path in left} == {
        "a/big.bin",
        "sessions",
        "sessions/one",
        "a/deep/er",
        "a/deep/er/xxxxx",
    }


def test_patterns() -> None:
    out = excluder(["*.tmp", "cache/*.bin", "node_modules/"])
    assert [out(path) for path in ("x.tmp", "a/x.tmp", "cache/x.bin", "a/cache/x.bin", "a/node_modules")] == [
        True, True, True, False, True,
    ]  # fmt: skip
    top = excluder(["/tmp"])
    assert (top("tmp"), top("filestore/tmp")) == (True, False), (
        "what begins with a slash is for the whole path"
    )


async def test_an_empty_directory_may_be_a_disk_that_is_not_mounted(room: Room, tmp_path: Path) -> None:
    (tmp_path / "mnt").mkdir()
    room.set(DirectoryData, path=tmp_path / "mnt")
    with pytest.raises(DataError, match="is empty"):
        await room.backup()
    assert await room.house.all() == []
    room.set(DirectoryData, path=tmp_path / "mnt", may_be_empty=True)
    await room.proven()


async def test_a_directory_that_is_not_there(room: Room, tmp_path: Path) -> None:
    room.set(DirectoryData, path=tmp_path / "nowhere")
    with pytest.raises(DataError, match="nowhere: No such file"):
        await room.backup()


class Meddler(io.BytesIO):
    """Takes a stream, and does something once so many bytes have come."""

    def __init__(self, at: int, what: Callable[[], None]) -> None:
        super().__init__()
        self._at = at
        self._what: Callable[[], None] | None = what

    def write(self, data: object) -> int:
        written = super().write(data)  # type: ignore[arg-type]
        if self._what is not None and self.tell() >= self._at:
            what, self._what = self._what, None
            what()
        return written


def test_a_file_that_changes_while_it_is_read_is_named(tree: Path, tmp_path: Path) -> None:
    def grow() -> None:
        with (tree / "a" / "big.bin").open("ab") as file:
            file.write(b"more")

    def shrink() -> None:
        os.truncate(tree / "a" / "big.bin", SMALL + 1)

    for what in (grow, shrink):
        archiver = Archiver(tree, lambda path: False, tmp_path / "listing")
        stream = Meddler(1 << 19, what)
        archiver.write(stream)
        assert archiver.changed == ["a/big.bin"]
        stream.seek(0)
        unpack(stream, tmp_path / f"copy-{what.__name__}")
        listed = [Entry.parse(line) for line in (tmp_path / "listing").read_bytes().splitlines()]
        assert differences(listed, entries(tmp_path / f"copy-{what.__name__}"), owners=ROOT) == ([], 0)


async def test_a_file_that_never_holds_still_makes_it_partial(room: Room, tree: Path) -> None:
    writing, stop = threading.Event(), threading.Event()
    (tree / "a" / "big.bin").write_bytes(os.urandom(8 << 20))  # takes some ticks to be read

    def write() -> None:
        with (tree / "a" / "big.bin").open("r+b") as file:
            while not stop.is_set():
                file.seek(0)
                file.write(os.urandom(16))
                file.flush()
                writing.set()

    thread = threading.Thread(target=write)
    thread.start()
    writing.wait()
    try:
        room.set(DirectoryData, path=tree)
        outcome = await room.backup()
    finally:
        stop.set()
        thread.join()
    assert (outcome.data["verdict"], outcome.data["proven"]) == ("partial", False)
    assert "changed while it was read" in (await room.proof(await room.newest())).summary


def test_a_directory_that_vanishes_while_it_is_read_is_no_backup(tree: Path, tmp_path: Path) -> None:
    def vanish() -> None:
        tree.rename(tmp_path / "elsewhere")

    with pytest.raises(DataError, match="vanished while it was read"):
        Archiver(tree, lambda path: False, tmp_path / "listing").write(Meddler(1 << 19, vanish))


def test_files_that_vanish_are_counted_and_left_out(tree: Path, tmp_path: Path) -> None:
    def delete() -> None:
        (tree / "run.sh").unlink()
        (tree / "twin.txt").unlink()

    archiver = Archiver(tree, lambda path: False, tmp_path / "listing")
    archiver.write(Meddler(1 << 19, delete))
    assert archiver.vanished == 2
    assert archiver.tally.counted["files"].rows == 7


async def test_sockets_and_pipes_are_left_out_and_told(room: Room, tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    listening = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(tree)  # the path of a socket must be short
    try:
        listening.bind("socket")
    finally:
        os.chdir(here)
    room.set(DirectoryData, path=tree)
    run = room.house.run()
    assert (await room.backup(run)).data["proven"] is True
    assert "2 sockets, pipes or devices are left out" in run.said
    listening.close()


@pytest.mark.skipif(ROOT, reason="root may read everything")
async def test_a_file_that_may_not_be_read_is_named(room: Room, tree: Path) -> None:
    (tree / "run.sh").chmod(0)
    room.set(DirectoryData, path=tree)
    with pytest.raises(DataError, match=r"run\.sh: Permission denied"):
        await room.backup()


def tar_of(*members: tuple[str, bytes, str]) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, kind, to in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, to
            tar.addfile(info)
    stream.seek(0)
    return stream


@pytest.mark.parametrize(
    "members",
    [
        [("../escaped", tarfile.REGTYPE, "")],
        [("/tmp/mainstay-escaped", tarfile.REGTYPE, "")],
        [("out", tarfile.SYMTYPE, ".."), ("out/escaped", tarfile.REGTYPE, "")],
        [("a", tarfile.DIRTYPE, ""), ("a/../../escaped", tarfile.REGTYPE, "")],
        [("twin", tarfile.LNKTYPE, "../outside")],
    ],
)
def test_no_archive_writes_outside(tmp_path: Path, members: list[tuple[str, bytes, str]]) -> None:
    (tmp_path / "outside").write_text("mine")
    with pytest.raises(Damaged, match="the archive has"):
        unpack(tar_of(*members), tmp_path / "in")
    assert {path.name for path in tmp_path.iterdir()} == {"outside", "in"}
    assert (tmp_path / "outside").stat().st_nlink == 1


async def test_what_is_there_stays_under_another_name(room: Room, tree: Path) -> None:
    room.set(DirectoryData, path=tree)
    backup = await room.proven()
    (tree / "run.sh").write_text("changed since")
    with pytest.raises(MainstayError, match="is there already"):
        await room.restore(backup, tree)
    done = await room.restore(backup, tree, replace=True)
    assert (tree / "run.sh").read_text() == "#!/bin/sh\n"
    assert done.kept_as is not None
    assert (Path(done.kept_as) / "run.sh").read_text() == "changed since"


async def test_a_damaged_backup_replaces_nothing(room: Room, tree: Path, tmp_path: Path) -> None:
    room.set(DirectoryData, path=tree)
    backup = await room.proven()
    flip(room.object(backup, TREE))
    with pytest.raises(Damaged):
        await room.restore(backup, tree, replace=True)
    assert (tree / "a" / "letter.txt").exists()
    assert not list(tmp_path.glob("filestore_*"))


async def test_it_is_verified_copied_and_kept_like_a_database(room: Room, tree: Path, tmp_path: Path) -> None:
    from mainstay.backup.keeping import VerifyBackups
    from mainstay.ports.objects.directory import Directory

    second = Directory(path=tmp_path / "second")
    room.house.storage("second", second)
    room.set(DirectoryData, path=tree, rules={"to": ["vault", "second"], "keep": {"daily": 1}})
    await room.proven()
    assert {(each.storage, each.state) for each in await room.house.all()} == {
        ("vault", BackupState.PROVEN), ("second", BackupState.PROVEN),
    }  # fmt: skip
    flip(next(second.path.rglob(TREE)))
    with pytest.raises(JobFailed, match="1 backups of stuff are damaged"):
        await VerifyBackups(database="stuff").run(room.house.run())


async def test_a_storage_is_told_how_much_comes(
    room: Room, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 takes ten thousand parts of an object: one of unknown size could not become larger than 80 GB."""
    told: dict[str, int] = {}
    write = Directory.write

    async def asked(self: Directory, name: str, chunks: AsyncIterator[bytes], expect: int) -> None:
        told[name.rpartition("/")[2]] = expect
        await write(self, name, chunks, expect)

    monkeypatch.setattr(Directory, "write", asked)
    room.set(DirectoryData, path=tree, exclude=["holes"])
    backup = await room.proven()
    size = room.manifest(backup).pieces[TREE].raw_bytes
    assert size // 6 < told[TREE] < size
