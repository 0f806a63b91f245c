"""pg_receivewal, as a child: from its start to its end, and what its end means."""

import asyncio
import re
from pathlib import Path

from mainstay.backup.physical.source import KEEPALIVE, Source
from mainstay.ports.postgres.child import child

BROKEN = re.compile(
    "has already been removed|is not in this server's history|system identifier does not match"
)
"""What it says when the log cannot be followed any more from where we stand."""
SET_BACK = re.compile("is ahead of the WAL flush position")
"""And when the server itself does not have what we received of it."""


def argv(source: Source, spool: Path, name: str) -> list[str]:
    """Give the command. It has no slot of its own: ours follows what is in the storage, not what is on this disk."""
    flush = ["--synchronous"] if source.settings.mode == "synchronous" else []
    return [
        source.tools.program("pg_receivewal"), "-D", str(spool), "--no-loop", "--no-password", "--status-interval=1",
        *flush, "-d", source.near.with_(**KEEPALIVE, dbname="", application_name=name).public(),
    ]  # fmt: skip


class Receiver:
    """Runs it once. `stop` ends it, as a stalled one must be."""

    def __init__(self) -> None:
        self._enough = asyncio.Event()

    async def run(self, source: Source, spool: Path, name: str) -> str:
        """Receive until it ends or is stopped; give what it said."""
        self._enough.clear()
        await asyncio.to_thread(spool.mkdir, 0o700, True, True)
        # What it has written stands when it is killed, and one that hangs listens to nothing else.
        async with child(argv(source, spool, name), env=source.env, cwd=spool, end="KILL") as running:
            waits = [asyncio.create_task(running.finish()), asyncio.create_task(self._enough.wait())]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            stopped = not waits[0].done()
        await waits[0]
        waits[1].cancel()
        if stopped:
            return "it did not receive any more and was ended"
        said = " ".join(running.said.split()).replace("pg_receivewal: error: ", "")
        return said[-400:] or f"pg_receivewal ended with {running.process.returncode}"

    def stop(self) -> None:
        """End it; what it has written is on disk or comes again."""
        self._enough.set()
