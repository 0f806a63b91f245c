"""pg_dump, compressed and streamed: nothing of it touches this machine's disk."""

import asyncio
import fcntl
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from mainstay.backup.session import LockBusy
from mainstay.core.errors import MainstayError
from mainstay.ports.objects.base import CHUNK
from mainstay.ports.postgres.child import Child, child

MAGIC = b"PGDMP"
LEVEL = 1
"""Of zstd. With `WINDOW` it packs dumps as small as level 3 or smaller, in half of its time."""
WINDOW = 23
"""As a power of two, in bytes: repetitions are looked for that far back. Less than what any `zstd -d` accepts."""
STEP = 9
"""As a power of two, in bytes: every so often such a repetition is looked for. Its own choice, 7, costs three times as
much for a hundredth of the size."""
PIPE_BYTES = 1 << 20
F_SETPIPE_SZ = 1031


class DumpError(MainstayError):
    """pg_dump did not finish. Nothing was stored."""


def gently(argv: list[str], nice: int) -> list[str]:
    """Give the words that run a program as somebody who steps back for others, on the processor and on the disk."""
    if not nice:
        return argv
    disk = ["ionice", "-c", "2", "-n", "7"] if shutil.which("ionice") else []
    return ["nice", "-n", str(nice), *disk, *argv]


@dataclass
class Meter:
    """What went through so far: bytes before and after compression."""

    raw_bytes: int = 0
    bytes: int = 0
    on_bytes: Callable[[int], None] = field(default=lambda done: None)


class Packer:
    """Reads a pipe and compresses it, on a thread; one zstd frame with its checksum on."""

    def __init__(self, source: int, meter: Meter, threads: int) -> None:
        import zstandard

        self._source = source
        self._meter = meter
        self._head = b""
        # The checksum is the point: without it most flipped bits are unpacked into wrong data in silence.
        parameters = zstandard.ZstdCompressionParameters.from_level(
            LEVEL,
            window_log=WINDOW,
            enable_ldm=True,
            ldm_hash_rate_log=STEP,
            write_checksum=True,
            threads=threads if threads > 1 else 0,
        )
        self._zstd: Any = zstandard.ZstdCompressor(compression_params=parameters).compressobj()

    def next(self) -> tuple[bytes, bool]:
        """Give about CHUNK bytes, and whether these are the last ones."""
        parts: list[bytes] = []
        size = 0
        while size < CHUNK:
            raw = os.read(self._source, CHUNK)
            if not raw:
                parts.append(self._zstd.flush())
                return self._count(b"".join(parts)), True
            self._meter.raw_bytes += len(raw)
            self._head = (self._head + raw[: len(MAGIC)])[: len(MAGIC)]
            parts.append(self._zstd.compress(raw))
            size += len(parts[-1])
        return self._count(b"".join(parts)), False

    def _count(self, packed: bytes) -> bytes:
        self._meter.bytes += len(packed)
        return packed

    @property
    def head(self) -> bytes:
        """The first bytes that came."""
        return self._head


async def packed(
    argv: list[str],
    env: Mapping[str, str],
    meter: Meter,
    *,
    confirm: Callable[[], Awaitable[None]] | None = None,
    magic: bytes = b"",
    program: str = "pg_dump",
) -> AsyncIterator[bytes]:
    """Run a program and give what it writes, compressed. Close the iterator (`aclosing`) when leaving it early.

    The last chunk is given only after the program has ended well and `confirm` did not raise, so whoever stores the
    stream never stores a part of it. Raises `DumpError`, and `LockBusy` when pg_dump had to wait for a lock.
    """
    source, sink = os.pipe()
    with suppress(OSError):
        fcntl.fcntl(sink, F_SETPIPE_SZ, PIPE_BYTES)
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, "mainstay-dump") as pool:
        packer = Packer(source, meter, min(2, os.cpu_count() or 1))
        closing: asyncio.Future[None] | None = None
        try:
            async with child(argv, env=env, stdout=sink) as running:
                os.close(sink)
                sink = -1
                try:
                    pending = loop.run_in_executor(pool, packer.next)
                    last = False
                    while not last:
                        chunk, last = await pending
                        meter.on_bytes(meter.raw_bytes)
                        if last:
                            await ended_well(running, packer.head, magic, program)
                            if confirm is not None:
                                await confirm()
                        else:
                            pending = loop.run_in_executor(pool, packer.next)
                        yield chunk
                finally:
                    # After what the thread reads just now, and before the program's end is waited for: whoever still
                    # writes into the pipe then, the program's own children too, must not be left hanging in it.
                    closing = loop.run_in_executor(pool, os.close, source)
        finally:
            if sink >= 0:
                os.close(sink)
            await asyncio.shield(loop.run_in_executor(pool, os.close, source) if closing is None else closing)


async def ended_well(running: Child, head: bytes, magic: bytes, program: str = "pg_dump") -> None:
    """Wait for the end of a program. Raises `DumpError` when it did not end well, `LockBusy`."""
    code = await running.finish()
    if code:
        said = " ".join(running.said.split())
        if "LOCK TABLE" in said:
            raise LockBusy(f"pg_dump waited for a lock: {said[-300:]}", hint="try again later")
        raise DumpError(
            f"{program} ended with {code}: {said[-500:] or 'it said nothing'}", hint=_hint(said, program)
        )
    if magic and head != magic:
        raise DumpError(f"{program} ended well but wrote no archive")


def _hint(said: str, program: str) -> str:
    if "permission denied" in said:
        return "give the user of the dsn the role pg_read_all_data"
    if "server version mismatch" in said:
        return "install a pg_dump that is as new as the server"
    if "SHOW CREATE PROCEDURE" in said or "SHOW CREATE FUNCTION" in said:
        return "GRANT SELECT ON mysql.proc TO the account; of MySQL 8: GRANT SHOW_ROUTINE ON *.*"
    return f"run {program} by hand with the same address to see more"
