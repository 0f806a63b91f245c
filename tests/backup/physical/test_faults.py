"""Faults of the stream: each is told, and when it is over nothing is missing."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mainstay.backup.physical import stream as streams
from mainstay.backup.physical.archive import Archive
from mainstay.backup.physical.layout import Segment, log_home, parse_lsn
from mainstay.backup.physical.stream import Stream
from mainstay.ports.objects.directory import Directory
from tests.backup.physical.house import PhysicalHouse
from tests.helpers import aeventually
from tests.servers.faults import FaultProxy

SIZE = 16 << 20


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """People are told sooner than they would be; what is told is the same."""
    monkeypatch.setattr(streams, "LOUD_AFTER", 0.5)
    monkeypatch.setattr(streams, "STALLED_AFTER", 0.5)
    monkeypatch.setattr(streams, "LOOK_EVERY", 0.1)
    monkeypatch.setattr(streams, "LONGEST_PAUSE", 0.5)


def write_log(house: PhysicalHouse) -> int:
    """Fill one segment and begin the next; give the position."""
    house.server.execute("CREATE TABLE IF NOT EXISTS ledger (id bigint, filler text)")
    house.server.execute("SELECT pg_switch_wal()")
    with house.server.connect() as connection:
        connection.execute("SET synchronous_commit = on")
        connection.execute("INSERT INTO ledger SELECT n, repeat('x', 100) FROM generate_series(1, 100) n")
        row = connection.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
    assert row is not None
    return parse_lsn(row[0])


@asynccontextmanager
async def nothing_missing(house: PhysicalHouse) -> AsyncIterator[Stream]:
    """Log is written before, during and after the block; in the end all of it is in the storage."""
    async with house.streaming() as stream:
        start = write_log(house)
        await house.shipped(stream, start)
        yield stream
        await aeventually(lambda: not house.board.live, 30)
        end = write_log(house)
        await house.shipped(stream, end)
        await aeventually(lambda: not house.board.live, 30)
    assert stream.state.system
    contents = await Archive(house.vault, log_home("shop", stream.state.system)).contents()
    numbers = range(start // SIZE, end // SIZE)
    assert {Segment(1, number, SIZE).name for number in numbers} <= contents.whole.keys()
    assert Segment(1, end // SIZE, SIZE).name in contents.parts


def receiver_of(spool: Path) -> int | None:
    """Give the process that writes into a spool."""
    for process in Path("/proc").iterdir():
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"/pg_receivewal") and str(spool).encode() in b" ".join(words):
            return int(process.name)
    return None


async def receiver(house: PhysicalHouse) -> int:
    await aeventually(lambda: receiver_of(house.spool) is not None)
    pid = receiver_of(house.spool)
    assert pid is not None
    return pid


async def test_a_receiver_that_is_killed_goes_on(kept: PhysicalHouse) -> None:
    async with nothing_missing(kept):
        pid = await receiver(kept)
        os.kill(pid, signal.SIGKILL)
        await aeventually(lambda: kept.board.ever("wal"))
        write_log(kept)
        await aeventually(lambda: receiver_of(kept.spool) not in (None, pid))
    assert kept.board.ever("wal_gap") == []


async def test_a_receiver_that_hangs_is_started_anew(kept: PhysicalHouse) -> None:
    async with nothing_missing(kept):
        pid = await receiver(kept)
        os.kill(pid, signal.SIGSTOP)
        write_log(kept)
        await aeventually(lambda: kept.board.loud("wal"), 20)
        await aeventually(lambda: receiver_of(kept.spool) not in (None, pid), 20)


async def test_a_network_that_is_cut_is_told(
    kept: PhysicalHouse, fault_proxy: Callable[[int], FaultProxy]
) -> None:
    proxy = fault_proxy(kept.server.port)
    kept.change(dsn=f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres")
    async with nothing_missing(kept):
        proxy.refuse()
        await aeventually(lambda: "wal:shop" in kept.board.live)
        write_log(kept)
        proxy.heal()


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 96 MB: five segments and a little."""
    place = tmp_path / "tiny"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=96m", "none", str(place)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("only root may make a small file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(place: Path) -> Path:
    """Leave no room in a file system."""
    file = place / "filler"
    with file.open("wb", buffering=0) as out:
        try:
            while out.write(b"x" * 65536) == 65536:
                pass
        except OSError:
            pass
    return file


async def test_a_storage_that_is_full_is_told(kept: PhysicalHouse, tiny: Path) -> None:
    kept.storage(Directory(path=tiny / "vault"))
    async with nothing_missing(kept):
        filler = fill(tiny)
        write_log(kept)
        await aeventually(lambda: "wal_storage:shop" in kept.board.live, 20)
        assert "0 B free" in kept.board.live["wal_storage:shop"][1]
        filler.unlink()


async def test_a_disk_of_ours_that_is_full_is_told(kept: PhysicalHouse, tiny: Path) -> None:
    kept.spool = tiny / "spool"
    async with nothing_missing(kept):
        filler = fill(tiny)
        for _ in range(4):
            write_log(kept)
        await aeventually(lambda: any("No space left" in said for said in kept.board.ever("wal")), 20)
        filler.unlink()


async def test_a_storage_that_is_down_at_the_start_keeps_nobody_from_receiving(kept: PhysicalHouse) -> None:
    vault, away = kept.base / "vault", kept.base / "away"
    async with nothing_missing(kept):
        pass
    vault.rename(away)
    vault.touch()
    async with kept.streaming() as stream:
        end = write_log(kept)
        await aeventually(lambda: "wal_storage:shop" in kept.board.live, 20)
        vault.unlink()
        away.rename(vault)
        await kept.shipped(stream, end)
        await aeventually(lambda: not kept.board.live, 20)
    assert kept.board.ever("wal_gap") == []
