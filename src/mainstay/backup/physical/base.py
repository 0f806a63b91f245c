"""Taking a base backup: pg_basebackup, compressed and streamed in parts that can be fetched one by one."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import mainstay
from mainstay.backup.dump import DumpError
from mainstay.backup.manifest import Piece
from mainstay.backup.physical.layout import parse_lsn
from mainstay.backup.physical.record import FORMAT, Base
from mainstay.backup.physical.source import KEEPALIVE, Source, facts_of, settings_of
from mainstay.backup.physical.tar import Reader
from mainstay.core.crash import point
from mainstay.core.job import RunContext
from mainstay.core.units import format_size
from mainstay.ports.objects.base import CHUNK, Storage, chunked
from mainstay.ports.postgres.child import child

PART = 256 << 20
"""Bytes, before compression, of a part of a base backup."""
LEVEL = 3
MANIFEST = "backup_manifest"


@dataclass(frozen=True, slots=True)
class Range:
    """Which log a base backup needs: positions on a timeline."""

    timeline: int
    start: int
    stop: int


class Press:
    """Reads a pipe on a thread and compresses it, one zstd frame per part."""

    def __init__(self, source: int, tap: Callable[[bytes], None], part: int) -> None:
        self._source = source
        self._tap = tap
        self._part = part
        self.ended = False
        self.raw_bytes = 0
        self.total = 0

    def begin(self) -> None:
        """A new part begins."""
        import zstandard

        self.raw_bytes = 0
        threads = 2 if (os.cpu_count() or 1) > 1 else 0
        self._zstd: Any = zstandard.ZstdCompressor(
            level=LEVEL, write_checksum=True, threads=threads
        ).compressobj()

    def next(self) -> tuple[bytes, bool]:
        """Give about CHUNK bytes of the part, and whether these are its last ones."""
        parts: list[bytes] = []
        size = 0
        while size < CHUNK:
            raw = os.read(self._source, min(CHUNK, self._part - self.raw_bytes))
            self._tap(raw)
            self.raw_bytes += len(raw)
            self.total += len(raw)
            self.ended = not raw
            if self.ended or self.raw_bytes >= self._part:
                return b"".join([*parts, self._zstd.compress(raw), self._zstd.flush()]), True
            parts.append(self._zstd.compress(raw))
            size += len(parts[-1])
        return b"".join(parts), False


async def take_base(
    run: RunContext,
    source: Source,
    storage: Storage,
    path: str,
    parent: Base | None,
    branch: int,
    now: Callable[[], float],
) -> Base:
    """Take a base backup into a folder; with `parent` only what changed since that one. Raises `MainstayError`.

    `branch` is that of the server's log, to which what is read now belongs.
    Repeating it after a crash replaces what lies there.
    """
    begun = now()
    if source.facts.tablespaces:
        raise DumpError(
            f"{source.dsn} has {source.facts.tablespaces} tablespaces of its own, and such a server cannot be streamed",
            hint="move their tables to pg_default, or back it up with pgBackRest",
        )
    settings = await settings_of(source.dsn)
    argv = _argv(source)
    if parent is not None:
        argv.append(f"--incremental={await _fetched(storage, parent, source)}")
    reader = Reader(MANIFEST)
    parts, press = await _stream(run, source, storage, path, argv, reader)
    ready = await facts_of(source.dsn)
    if reader.found is None:
        raise DumpError("pg_basebackup ended well but wrote no manifest")
    extent = _range(json.loads(reader.found))
    manifest = await _put_manifest(storage, f"{path}/{MANIFEST}.zst", reader.found)
    point("base.manifest")
    run.log(f"read {format_size(press.total)}, stored {format_size(sum(p.bytes for p in parts))}")
    point("base.uploaded")
    taken = now()
    return Base(
        format=FORMAT,
        id=run.id,
        database=source.database,
        system=source.facts.system,
        name=source.dsn.name or source.database,
        path=path,
        parent=parent.id if parent else None,
        depth=parent.depth + 1 if parent else 0,
        version=source.facts.version,
        major=source.facts.major,
        superuser=source.facts.superuser,
        segment_size=source.facts.segment,
        timeline=extent.timeline,
        start=extent.start,
        stop=extent.stop,
        branch=branch,
        begun_at=begun,
        taken_at=taken,
        opened_at=source.facts.now,
        ready_at=ready.now,
        seconds=round(taken - begun, 3),
        parts=parts,
        manifest=manifest,
        settings=settings,
        program=str(source.tools),
        mainstay=mainstay.__version__,
    )


def _argv(source: Source) -> list[str]:
    return [
        source.tools.program("pg_basebackup"), "-D", "-", "--format=tar", "--wal-method=none", "--no-password",
        "--checkpoint=fast", "--manifest-checksums=SHA256", "--label=mainstay",
        "-d", source.near.with_(**KEEPALIVE, dbname="").public(),
    ]  # fmt: skip


async def _fetched(storage: Storage, parent: Base, source: Source) -> str:
    from mainstay.backup.fetch import fetched

    file = source.space.path / "parent_manifest"
    file.unlink(missing_ok=True)
    return str(await fetched(storage, parent.manifest, file))


async def _stream(
    run: RunContext, source: Source, storage: Storage, path: str, argv: list[str], reader: Reader
) -> tuple[list[Piece], Press]:
    pipe, sink = os.pipe()
    with ThreadPoolExecutor(1, "mainstay-base") as pool:
        press = Press(pipe, reader.take, PART)
        try:
            async with child(argv, env=source.env, stdout=sink) as running:
                os.close(sink)
                sink = -1
                try:
                    parts = await _parts(run, press, pool, storage, path, source.facts.bytes)
                    if code := await running.finish():
                        said = " ".join(running.said.split())
                        raise DumpError(
                            f"pg_basebackup ended with {code}: {said[-500:] or 'it said nothing'}",
                            hint=_hint(said),
                        )
                finally:
                    # After what the thread reads just now: whoever still writes must not be left hanging.
                    await asyncio.get_running_loop().run_in_executor(pool, os.close, pipe)
                    pipe = -1
        finally:
            for end in (pipe, sink):
                if end >= 0:
                    os.close(end)
    return parts, press


async def _parts(
    run: RunContext, press: Press, pool: ThreadPoolExecutor, storage: Storage, path: str, expected: int
) -> list[Piece]:
    found: list[Piece] = []
    loop = asyncio.get_running_loop()

    async def one() -> AsyncIterator[bytes]:
        last = False
        while not last:
            chunk, last = await loop.run_in_executor(pool, press.next)
            run.progress("reading", press.total, max(press.total, expected), "bytes")
            yield chunk

    while not press.ended:
        press.begin()
        name = f"{path}/{len(found):05d}.tar.zst"
        stored = await storage.put(name, one(), min(PART, expected) // 3)
        found.append(
            Piece(
                path=name,
                bytes=stored.bytes,
                sha256=stored.sha256,
                raw_bytes=press.raw_bytes,
            )
        )
        point("base.part")
    return found


async def _put_manifest(storage: Storage, path: str, data: bytes) -> Piece:
    import zstandard

    packed = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compress(data)
    stored = await storage.put(path, chunked(packed), len(packed))
    return Piece(
        path=path,
        bytes=stored.bytes,
        sha256=stored.sha256,
        raw_bytes=len(data),
    )


def _range(manifest: dict[str, Any]) -> Range:
    ranges = manifest["WAL-Ranges"]
    return Range(
        int(ranges[-1]["Timeline"]), parse_lsn(ranges[0]["Start-LSN"]), parse_lsn(ranges[-1]["End-LSN"])
    )


def _hint(said: str) -> str:
    if "replication" in said and "pg_hba" in said:
        return "let the account replicate in pg_hba.conf: host replication USER ADDRESS scram-sha-256"
    if "max_wal_senders" in said:
        return "raise max_wal_senders on the server"
    if "WAL summar" in said:
        return "the server has not summarised its log so far; the next full base backup ends this"
    return "run pg_basebackup by hand with the same address to see more"
