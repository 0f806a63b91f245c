"""What a function of ours writes, compressed and streamed: the counterpart of `dump.packed` for what is no program."""

import asyncio
import os
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from mainstay.backup.data.base import DataError
from mainstay.backup.dump import Meter, Packer
from mainstay.core.errors import MainstayError

BUFFER = 1 << 20


async def written(write: Callable[[BinaryIO], None], meter: Meter, nice: int = 0) -> AsyncIterator[bytes]:
    """Let a function write on a thread, and give what it wrote, compressed. Close the iterator when leaving it early.

    The last chunk is given only after the function has returned, so that nobody stores a part of it. What it raises
    comes out here; an `OSError` as `DataError`.
    """
    source, sink = os.pipe()
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, "mainstay-pack") as packing, ThreadPoolExecutor(1, "mainstay-read") as reading:
        work = loop.run_in_executor(reading, _feed, write, sink, nice)
        packer = Packer(source, meter, min(2, os.cpu_count() or 1))
        try:
            last = False
            while not last:
                chunk, last = await loop.run_in_executor(packing, packer.next)
                meter.on_bytes(meter.raw_bytes)
                if last:
                    await work
                yield chunk
        finally:
            # On the packer's thread, and so after what it reads just now; then whoever still writes is told.
            await asyncio.shield(loop.run_in_executor(packing, os.close, source))
            with suppress(MainstayError):
                await asyncio.shield(work)


def _feed(write: Callable[[BinaryIO], None], sink: int, nice: int) -> None:
    if nice:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
    try:
        with os.fdopen(sink, "wb", BUFFER) as out:
            write(out)
    except OSError as fault:
        where = f"{os.fsdecode(fault.filename)}: " if fault.filename else ""
        raise DataError(f"{where}{fault.strerror or fault}") from None


def file_written(file: Path) -> Callable[[BinaryIO], None]:
    """Give the function that writes a file that nobody changes."""

    def write(out: BinaryIO) -> None:
        with file.open("rb") as there:
            shutil.copyfileobj(there, out, BUFFER)

    return write
