"""The stream of pg_dump: complete and well ended, or not at all."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import pytest
import zstandard

from mainstay.backup.dump import DumpError, Meter, packed
from mainstay.backup.session import LockBusy
from mainstay.ports.objects import NotThere
from mainstay.ports.objects.directory import Directory
from mainstay.ports.postgres.dsn import PostgresError
from tests.helpers import aeventually


def script(text: str, meter: Meter | None = None, **options: Any) -> AsyncIterator[bytes]:
    return packed(["/bin/sh", "-c", text], dict(os.environ), meter or Meter(), **options)


async def put(tmp_path: Path, stream: AsyncIterator[bytes]) -> Directory:
    vault = Directory(path=tmp_path / "vault")
    async with aclosing(cast(Any, stream)) as chunks:
        await vault.put("dump", chunks)
    return vault


async def test_everything_comes_through_once(tmp_path: Path) -> None:
    seen: list[int] = []
    meter = Meter(on_bytes=seen.append)
    vault = await put(
        tmp_path, script("printf PGDMP; head -c 30000000 /dev/zero; printf end", meter, magic=b"PGDMP")
    )
    data = (vault.path / "dump").read_bytes()
    raw = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    assert raw == b"PGDMP" + bytes(30_000_000) + b"end"
    assert (meter.raw_bytes, meter.bytes) == (len(raw), len(data))
    assert seen == sorted(seen)
    assert zstandard.get_frame_parameters(data).has_checksum


FAILURES = {
    "nothing and a code": ("exit 3", DumpError, "pg_dump ended with 3: it said nothing"),
    "half and a code": (
        "printf PGDMP; head -c 5000000 /dev/urandom; echo 'disk is gone' >&2; exit 1",
        DumpError,
        "gone",
    ),
    "killed": ("printf PGDMP; kill -9 $$", DumpError, "pg_dump ended with"),
    "permission": ("echo 'permission denied for table x' >&2; exit 1", DumpError, "pg_read_all_data"),
    "version": (
        "echo 'aborting because of server version mismatch' >&2; exit 1",
        DumpError,
        "as new as the server",
    ),
    "lock": ("echo 'Query was: LOCK TABLE public.x' >&2; exit 1", LockBusy, "waited for a lock"),
    "no archive": ("echo hello", DumpError, "wrote no archive"),
    "an empty one": ("exit 0", DumpError, "wrote no archive"),
    "not there": ("exec /no/such/pg_dump", DumpError, "not found"),
}


@pytest.mark.parametrize(("text", "kind", "message"), FAILURES.values(), ids=FAILURES)
async def test_a_dump_that_fails_is_never_visible(
    tmp_path: Path, text: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        await put(tmp_path, script(text, magic=b"PGDMP"))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_a_snapshot_that_was_lost_makes_it_worthless(tmp_path: Path) -> None:
    async def lost() -> None:
        raise PostgresError("the snapshot is gone")

    with pytest.raises(PostgresError, match="the snapshot is gone"):
        await put(tmp_path, script("printf PGDMP", magic=b"PGDMP", confirm=lost))
    with pytest.raises(NotThere):
        await Directory(path=tmp_path / "vault").read("dump")


async def test_leaving_early_ends_the_program(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    stream = script(f"echo $$ > {mark}; while :; do head -c 3000000 /dev/urandom; done")
    async with aclosing(cast(Any, stream)) as chunks:
        async for chunk in chunks:
            assert chunk
            break
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


async def test_leaving_early_leaves_nobody_hanging_in_the_pipe(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    stream = script(f"head -c 100000000 /dev/urandom & echo $! > {mark}; wait")
    async with aclosing(cast(Any, stream)) as chunks:
        async for chunk in chunks:
            assert chunk
            break
    pid = int(mark.read_text())
    await aeventually(lambda: not alive(pid))


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie: an orphan of a killed parent may wait to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
