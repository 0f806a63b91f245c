"""Programs of the system, asked as they come: what they said, and how they ended."""

import asyncio
import os
import signal
import subprocess
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from shutil import which
from typing import IO

from mainstay.core.errors import MainstayError
from mainstay.core.units import format_duration
from mainstay.ports.environment import inherited
from mainstay.ports.threads import Threads

_waiters = Threads(4, "program")


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


async def ask(*argv: str, within: float, env: Mapping[str, str] | None = None) -> Said:
    """Run a program without a shell, in English; after `within` seconds, or with our own end, it is ended.

    Raises `MainstayError` when it cannot be run, or took too long.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, start_new_session=True, env=_environment(env)
        )
    except OSError as fault:
        raise _cannot(argv, fault) from None
    telling = asyncio.ensure_future(process.communicate())
    try:
        async with asyncio.timeout(within):
            out, err = await asyncio.shield(telling)
    except TimeoutError:
        raise MainstayError(f"{argv[0]} took longer than {format_duration(within)}, and was ended") from None
    finally:
        if not telling.done():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.shield(telling)
    code = process.returncode if process.returncode is not None else -1
    return Said(code, out.decode(errors="replace"), err.decode(errors="replace"))


async def let_finish(*argv: str, within: float, env: Mapping[str, str] | None = None) -> Said:
    """Run a program that must come to its end whatever becomes of us: half an installation is worse than a late one.

    It writes to files, as a pipe would break with us; and nothing of asyncio holds it, which would kill what it holds.
    Raises `MainstayError` when it cannot be run, or after `within` seconds, while it goes on.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = _start(argv, out, err, env)
        try:
            async with asyncio.timeout(within):
                code = await _waiters.call(process.wait)
        except TimeoutError:
            took = format_duration(within)
            raise MainstayError(f"{argv[0]} took longer than {took}, and goes on") from None
        return Said(code, _read(out), _read(err))


def _start(
    argv: tuple[str, ...], out: IO[bytes], err: IO[bytes], env: Mapping[str, str] | None
) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            argv, stdin=DEVNULL, stdout=out, stderr=err, start_new_session=True, env=_environment(env)
        )
    except OSError as fault:
        raise _cannot(argv, fault) from None


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _environment(env: Mapping[str, str] | None) -> dict[str, str]:
    return {**inherited(), "LC_ALL": "C.UTF-8", "LANGUAGE": "", **(env or {})}


def _cannot(argv: tuple[str, ...], fault: OSError) -> MainstayError:
    return MainstayError(f"cannot run {argv[0]}: {fault.strerror or fault}")
