"""PostgreSQL's programs as children that never outlive us."""

import asyncio
import os
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

# Stands between us and the program: when our end of the lifeline closes, because we wanted it or because we were
# killed, it ends the program and deletes what it wrote. Nothing else does so after SIGKILL on every system.
GUARD = """
exec 3<&0
"$@" <&3 3<&- & program=$!
(cat "/dev/fd/$MAINSTAY_LIFELINE" >/dev/null 2>&1; kill -$MAINSTAY_END $program) >/dev/null 2>&1 3<&- &
exec 3<&-
wait $program
code=$?
[ -z "$MAINSTAY_REMOVE" ] || rm -rf "$MAINSTAY_REMOVE"
exit $code
"""

KEPT_LINES = 60


class Child:
    """A running program. What it writes to standard error is read all the time, and its end kept."""

    def __init__(self, process: Process, on_line: Callable[[str], None] | None) -> None:
        self.process = process
        self._stderr = cast(asyncio.StreamReader, process.stderr)
        self._on_line = on_line
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._reader = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for line in self._stderr:
            text = line.decode(errors="replace").rstrip()
            self._lines.append(text)
            if self._on_line is not None:
                self._on_line(text)

    async def finish(self) -> int:
        """Wait for its end and its last words; give the exit code."""
        await self._reader
        return await self.process.wait()

    async def until(self, ready: asyncio.Event, seconds: float) -> bool:
        """Wait until the program is `ready`, it has ended or the time is over; say whether it is ready."""
        waits = [asyncio.create_task(ready.wait()), asyncio.create_task(self.process.wait())]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return ready.is_set()

    @property
    def said(self) -> str:
        """The last lines of its standard error."""
        return "\n".join(self._lines)


@asynccontextmanager
async def child(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    stdin: int = DEVNULL,
    stdout: int = DEVNULL,
    cwd: Path | None = None,
    identity: Mapping[str, Any] | None = None,
    end: str = "TERM",
    remove: Path | None = None,
    on_line: Callable[[str], None] | None = None,
) -> AsyncIterator[Child]:
    """Run a program; when the block ends, or this process dies, so does the program.

    `end` is the signal that it then gets, `remove` a directory to be deleted afterwards, `identity` the arguments
    (`user`, `group`) to run it as somebody else.
    """
    lifeline, ours = os.pipe()
    if identity and "user" in identity:
        os.fchown(lifeline, identity["user"], -1)  # the guard opens it once more by its name
    extra = {"MAINSTAY_LIFELINE": str(lifeline), "MAINSTAY_END": end, "MAINSTAY_REMOVE": str(remove or "")}
    try:
        process = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", GUARD, "mainstay-guard", *argv,
            stdin=stdin, stdout=stdout, stderr=PIPE, cwd=cwd, start_new_session=True, pass_fds=(lifeline,),
            env={**env, **extra}, limit=1 << 20, **(identity or {}),
        )  # fmt: skip
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(lifeline)
    running = Child(process, on_line)
    try:
        yield running
    finally:
        os.close(ours)
        await asyncio.shield(running.finish())
