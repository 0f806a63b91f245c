"""Runs a program whose output is read line by line, and which never outlives us."""

import asyncio
import os
import signal
import tempfile
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from mainstay.ports.environment import inherited

LONGEST_LINE = 64 * 1024
"""Bytes of a line that are read; the rest of it is dropped."""
LAST_WORDS = 1.0
"""Seconds for which output is still read once the program has ended; what it left behind may hold the pipe open."""
GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL."""

# Stands between us and the program: when our end of the lifeline closes, because we were killed or are done, whatever
# is left of the program's group is killed. A second run beside what a dead agent left behind would be the alternative.
GUARD = """
lifeline=$MAINSTAY_LIFELINE
unset MAINSTAY_LIFELINE
exec 3<&0 4>&2 2>/dev/null
"$@" <&3 3<&- 2>&4 4>&- & program=$!
(read -r word <"/dev/fd/$lifeline"; kill -KILL 0) >/dev/null 3<&- 4>&- &
exec 3<&- 4>&- >/dev/null
wait $program
"""


class Lines:
    """Cuts a stream of bytes into lines; `last` is the last one that was not blank."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.last = ""
        self._tell = tell
        self._held = bytearray()

    def feed(self, data: bytes) -> None:
        """Take more bytes."""
        *whole, rest = data.split(b"\n")
        for part in whole:
            self._add(part)
            self._flush()
        self._add(rest)

    def close(self) -> None:
        """Tell what has no line end."""
        if self._held:
            self._flush()

    def _add(self, part: bytes) -> None:
        self._held += part[: LONGEST_LINE - len(self._held)]

    def _flush(self) -> None:
        line = self._held.decode("utf-8", "replace").rstrip("\r")
        self._held.clear()
        self._tell(line)
        if line.strip():
            self.last = line.strip()


async def run_program(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    lines: Lines,
    stdin: bytes = b"",
    cwd: Path | None = None,
) -> int:
    """Run a program without a shell; give its exit code, 128 and more for a signal. Raises `OSError`.

    When we are cancelled its process group is asked to end, and killed after `GRACE`; when we are killed, so is it.
    """
    _there(argv[0], env, cwd)
    with tempfile.TemporaryFile() as told, _pipe() as (lifeline, _), _pipe() as (output, writing):
        told.write(stdin)
        told.seek(0)
        process = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", GUARD, "mainstay-guard", *argv,
            stdin=told if stdin else DEVNULL, stdout=writing, stderr=STDOUT, cwd=cwd,
            start_new_session=True, pass_fds=(lifeline.fileno(),),
            env={**inherited(), **env, "MAINSTAY_LIFELINE": str(lifeline.fileno())},
        )  # fmt: skip
        writing.close()
        return await _attend(process, output, lines)


@contextmanager
def _pipe() -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """A pipe of our own: asyncio's would have us wait for everybody who holds it, not only for the program."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", 0) as ours, os.fdopen(writing, "wb", 0) as theirs:
        yield ours, theirs


def _there(program: str, env: Mapping[str, str], cwd: Path | None) -> None:
    """The guard would only say 127: look for the program before it does."""
    from shutil import which

    if cwd is not None and not cwd.is_dir():
        raise FileNotFoundError(2, "there is no such directory")
    path = env.get("PATH") or os.environ.get("PATH")
    found = which(program if cwd is None or "/" not in program else str(cwd / program), path=path)
    if found is None:
        raise FileNotFoundError(2, "no such program, or it may not be executed")


async def _attend(process: Process, output: BinaryIO, lines: Lines) -> int:
    stream = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(stream)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, output)
    reading = asyncio.ensure_future(_read(stream, lines))
    try:
        code = await process.wait()
        await asyncio.wait([reading], timeout=LAST_WORDS)
    except asyncio.CancelledError:
        _signal(process, signal.SIGTERM)
        await asyncio.wait([reading], timeout=GRACE)
        raise
    finally:
        _signal(process, signal.SIGKILL)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        transport.close()
        lines.close()
        await process.wait()
    return 128 - code if code < 0 else code


async def _read(stream: asyncio.StreamReader, lines: Lines) -> None:
    while data := await stream.read(LONGEST_LINE):
        lines.feed(data)


def _signal(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
