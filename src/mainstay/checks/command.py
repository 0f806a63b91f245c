"""Does a program say that all is well?"""

import asyncio
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import Field

from mainstay.core.check import Answer, Check, Place, Verdict
from mainstay.core.secret import Secret, redact
from mainstay.core.units import format_duration
from mainstay.ports.environment import inherited
from mainstay.ports.threads import Threads

MOST = 64 * 1024
AT_A_TIME = 32

_threads = Threads(AT_A_TIME, "command")
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
    """Environment variables besides the inherited ones, among which mainstay's own are not."""

    def target(self) -> str:
        return Path(self.command[0]).name

    async def probe(self, place: Place) -> Answer:
        out, err = _Drain(), _Drain()
        try:
            process = self._start(out, err)
        except OSError as fault:
            return Answer.unknown(f"cannot run {self.command[0]}: {fault.strerror or fault}", cause="own")
        else:
            try:
                async with asyncio.timeout(self.timeout):
                    code = await _threads.call(process.wait)
            except TimeoutError:
                detail = f"{self.target()} did not end within {format_duration(self.timeout)} and was killed"
                return Answer.fail(detail, cause="slow")
            finally:
                _end_group(process)
        finally:
            out.close()
            err.close()
        return self._judge(code, out.text, err.text)

    def _start(self, out: "_Drain", err: "_Drain") -> "subprocess.Popen[bytes]":
        env = {
            name: value.reveal() if isinstance(value, Secret) else value for name, value in self.env.items()
        }
        try:
            return subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=out.sink,
                stderr=err.sink,
                cwd=self.directory,
                env=inherited() | env,
                start_new_session=True,
            )
        finally:
            out.started()
            err.started()

    def _judge(self, code: int, out: str, err: str) -> Answer:
        said = redact(_first_line(out) or _first_line(err))
        if self.codes == "nagios":
            verdict = _NAGIOS.get(code, Verdict.UNKNOWN)
            said = said.partition("|")[0].strip()
        else:
            verdict = Verdict.OK if code == 0 else Verdict.FAIL
        how = f"killed by {_signal_name(-code)}" if code < 0 else f"exit code {code}"
        return Answer(verdict, said or how, {"exit_code": code} | ({} if code == 0 else {"cause": "answer"}))


class _Drain:
    """A pipe that is emptied while the program runs, and whose beginning is kept.

    It is ours to close: what a program leaves behind may hold the other end open for ever.
    """

    def __init__(self) -> None:
        self._source, self.sink = os.pipe()
        os.set_blocking(self._source, False)
        self._loop = asyncio.get_running_loop()
        self._kept = b""
        self._loop.add_reader(self._source, self._read)

    def started(self) -> None:
        """Let go of the end that the program has now."""
        os.close(self.sink)

    def close(self) -> None:
        """Read what is left, once, and close."""
        self._read()
        self._loop.remove_reader(self._source)
        os.close(self._source)

    @property
    def text(self) -> str:
        return self._kept.decode(errors="replace")

    def _read(self) -> None:
        with suppress(BlockingIOError):
            piece = os.read(self._source, MOST)
            self._kept += piece[: MOST - len(self._kept)]
            if not piece:
                self._loop.remove_reader(self._source)


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    """Kill the program and whatever it left in its group; the thread that waits for it reaps it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
