"""The directory: file modes, durability, leftovers of the dead, full disks."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mainstay.ports.objects import StorageError
from mainstay.ports.objects.base import chunked
from mainstay.ports.objects.directory import Directory
from tests.helpers import aeventually


@pytest.fixture
def vault(tmp_path: Path) -> Directory:
    return Directory(path=tmp_path / "vault")


async def test_nobody_else_may_read_it(vault: Directory) -> None:
    await vault.put("shop/object", chunked(b"x"))
    assert oct((vault.path / "shop/object").stat().st_mode)[-3:] == "600"
    assert oct((vault.path / "shop").stat().st_mode)[-3:] == "700"
    assert oct(vault.path.stat().st_mode)[-3:] == "700"


async def test_a_deleted_object_takes_its_empty_folders_along(vault: Directory) -> None:
    await vault.put("a/b/c", chunked(b"x"))
    await vault.put("a/d", chunked(b"x"))
    await vault.delete("a/b/c")
    assert sorted(p.name for p in vault.path.rglob("*")) == ["a", "d"]


async def test_a_symbolic_link_leads_nowhere(vault: Directory, tmp_path: Path) -> None:
    vault.path.mkdir()
    (tmp_path / "outside").mkdir()
    (vault.path / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(StorageError, match="leads out of"):
        await vault.put("link/object", chunked(b"x"))
    assert list((tmp_path / "outside").iterdir()) == []


async def test_unfinished_files_of_the_living_are_kept_and_of_the_dead_are_swept(vault: Directory) -> None:
    gate = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"x"
        await gate.wait()

    writing = asyncio.create_task(vault.put("shop/object", slow()))
    await aeventually(lambda: any(part.stat().st_size for part in vault.path.rglob("*.part")))
    dead = vault.path / "shop" / ".other.0123456789ab.part"
    dead.write_bytes(b"half")
    assert await vault.sweep(0.0) == 1
    assert not dead.exists()
    gate.set()
    await writing
    assert await vault.sweep(0.0) == 0
    assert await vault.sweep(0.0, "shop") == 0
    assert await vault.sweep(0.0, "no/such/folder") == 0


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from mainstay.ports.objects.directory import Directory
from tests.helpers import aeventually

async def chunks():
    yield b"half of it"
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(Directory(path=Path(sys.argv[1])).put("shop/object", chunks()))
"""


async def test_a_killed_upload_is_invisible_and_swept(vault: Directory) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(vault.path)], check=False)
    assert killed.returncode == -9
    assert [entry async for entry in vault.list()] == []
    assert len(list(vault.path.rglob("*.part"))) == 1
    assert await vault.sweep(0.0) == 1
    assert [path for path in vault.path.rglob("*") if path.is_file()] == []


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    place = tmp_path / "tiny"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(place)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("only root may make a file system of 2 MB")
    yield place
    subprocess.run(["umount", str(place)], check=True)


async def test_a_full_disk_is_told_and_nothing_is_left(tiny: Path) -> None:
    vault = Directory(path=tiny)
    with pytest.raises(StorageError, match="No space left") as told:
        await vault.put("object", chunked(bytes(4 << 20)))
    assert "free some space" in str(told.value)
    assert list(tiny.iterdir()) == []


async def test_a_disk_that_is_too_small_is_told_before_anything_is_written(tiny: Path) -> None:
    with pytest.raises(StorageError, match=r"2\.1 MB free, about 9\.0 MB are needed"):
        await Directory(path=tiny).put("object", chunked(b"x"), expect=9_000_000)


async def test_a_file_in_the_way_is_told(vault: Directory) -> None:
    vault.path.write_text("not a directory")
    with pytest.raises(StorageError, match=r"File exists|Not a directory"):
        await vault.check()


async def test_a_read_only_place_is_told() -> None:
    with pytest.raises(StorageError, match="directory /proc/nothing"):
        await Directory(path=Path("/proc/nothing")).check()
