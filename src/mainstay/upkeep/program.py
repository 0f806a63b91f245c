"""Programs of the system, asked as they come: what they said, and how they ended."""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from shutil import which

from mainstay.core.errors import MainstayError
from mainstay.core.units import format_duration
from mainstay.ports.environment import inherited


@dataclass(frozen=True, slots=True)
class Said:
    """How a program ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """Its last words: what most often says why it failed."""
        lines = [line.strip() for line in (self.err or self.out).splitlines() if line.strip()]
        return lines[-1] if lines else f"exit code {self.code}"


def there(program: str) -> bool:
    """Whether a program can be found."""
    return which(program) is not None


async def ask(*argv: str, within: float, env: Mapping[str, str] | None = None, finish: bool = False) -> Said:
    """Run a program without a shell, in English; after `within` seconds it is ended.

    With `finish` it is never ended, whatever becomes of us: half an installation is worse than a late one. Raises
    `MainstayError` when it cannot be run, or took too long.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, start_new_session=True,
            env={**inherited(), "LC_ALL": "C.UTF-8", "LANGUAGE": "", **(env or {})},
        )  # fmt: skip
    except OSError as fault:
        raise MainstayError(f"cannot run {argv[0]}: {fault.strerror or fault}") from None
    telling = asyncio.ensure_future(process.communicate())
    try:
        async with asyncio.timeout(within):
            out, err = await asyncio.shield(telling)
    except TimeoutError:
        still = ", and goes on" if finish else ", and was ended"
        raise MainstayError(f"{argv[0]} took longer than {format_duration(within)}{still}") from None
    finally:
        if not telling.done() and not finish:
            await _end(process, telling)
    code = process.returncode if process.returncode is not None else -1
    return Said(code, out.decode(errors="replace"), err.decode(errors="replace"))


async def _end(process: Process, telling: "asyncio.Future[tuple[bytes, bytes]]") -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await asyncio.shield(telling)
