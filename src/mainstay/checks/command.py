"""Does a program say that all is well?"""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import Field

from mainstay.core.check import Answer, Check, Place, Verdict
from mainstay.core.secret import Secret, redact
from mainstay.core.units import format_duration

MOST = 64 * 1024
LAST_WORDS = 0.5
"""Seconds to wait for output that something else still holds open when the program has ended."""

_NAGIOS = {0: Verdict.OK, 1: Verdict.WARN, 2: Verdict.FAIL}


class CommandCheck(Check, type="command", shorthand="command"):
    """Runs a program without a shell; its exit code is the verdict, its first line of output the detail.

    After `timeout` the program and all that it started in its process group are killed, and the verdict is fail. A
    program that cannot be started is unknown. Facts: `exit_code`.
    """

    command: list[str] = Field(min_length=1, examples=[["/usr/lib/nagios/plugins/check_load", "-w", "5"]])
    """Program and arguments."""
    codes: Literal["plain", "nagios"] = "plain"
    """`plain`: 0 is ok, everything else fail. `nagios`: 0 ok, 1 warn, 2 fail, others unknown."""
    directory: Path | None = Field(default=None, strict=False)
    """Working directory; mainstay's own when left out."""
    env: dict[str, str | Secret] = {}
    """Environment variables besides the inherited ones."""

    def target(self) -> str:
        return Path(self.command[0]).name

    async def probe(self, place: Place) -> Answer:
        try:
            process = await self._start()
        except OSError as fault:
            reason = fault.strerror or str(fault)
            return Answer.unknown(f"cannot run {self.command[0]}: {reason}", cause="own")
        readers = [asyncio.create_task(_read(stream)) for stream in (process.stdout, process.stderr)]
        try:
            async with asyncio.timeout(self.timeout):
                code = await process.wait()
        except TimeoutError:
            detail = f"{self.target()} did not end within {format_duration(self.timeout)} and was killed"
            return Answer.fail(detail, cause="slow")
        finally:
            _end_group(process)
            await asyncio.wait(readers, timeout=LAST_WORDS)
            await _let_go(process, readers)
        return self._judge(code, *(reader.result() if not reader.cancelled() else "" for reader in readers))

    async def _start(self) -> Process:
        env = {
            name: value.reveal() if isinstance(value, Secret) else value for name, value in self.env.items()
        }
        return await asyncio.create_subprocess_exec(
            *self.command,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            cwd=self.directory,
            env=os.environ | env,
            start_new_session=True,
        )

    def _judge(self, code: int, out: str, err: str) -> Answer:
        said = redact(_first_line(out) or _first_line(err))
        if self.codes == "nagios":
            verdict = _NAGIOS.get(code, Verdict.UNKNOWN)
            said = said.partition("|")[0].strip()
        else:
            verdict = Verdict.OK if code == 0 else Verdict.FAIL
        how = f"killed by {_signal_name(-code)}" if code < 0 else f"exit code {code}"
        return Answer(verdict, said or how, {"exit_code": code} | ({} if code == 0 else {"cause": "answer"}))


def _end_group(process: Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


async def _let_go(process: Process, readers: "list[asyncio.Task[str]]") -> None:
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    await process.wait()
    # A process that left the group may hold the pipes open for ever; asyncio offers no other way to close ours.
    process._transport.close()  # type: ignore[attr-defined]


async def _read(stream: asyncio.StreamReader | None) -> str:
    kept = b""
    while stream is not None and (piece := await stream.read(MOST)):
        kept += piece[: MOST - len(kept)]
    return kept.decode(errors="replace")


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
