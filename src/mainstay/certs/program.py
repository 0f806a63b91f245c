"""Programs that this room runs: bounded in time, gone when we are, and heard out."""

import asyncio
from asyncio.subprocess import PIPE
from collections.abc import Mapping, Sequence
from typing import cast

from mainstay.core.errors import MainstayError
from mainstay.core.secret import redact
from mainstay.core.units import format_duration
from mainstay.ports.environment import inherited
from mainstay.ports.postgres.child import child

MISSING = (126, 127)
MOST = 64 * 1024


async def hear(
    argv: Sequence[str], *, within: float, env: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run a program; give its exit code and what it said. Raises `MainstayError` when it hangs or is missing."""
    try:
        async with (
            asyncio.timeout(within),
            child(argv, env={**inherited(), "LC_ALL": "C.UTF-8", **(env or {})}, stdout=PIPE) as running,
        ):
            said = await _end_of(cast(asyncio.StreamReader, running.process.stdout))
            code = await running.finish()
    except TimeoutError:
        raise MainstayError(f"{argv[0]} took longer than {format_duration(within)} and was ended") from None
    except (OSError, ValueError) as fault:
        raise MainstayError(f"{argv[0]} cannot be run: {getattr(fault, 'strerror', None) or fault}") from None
    text = redact("\n".join(part for part in (said.decode(errors="replace"), running.said) if part.strip()))
    if code in MISSING:
        raise MainstayError(
            f"{argv[0]} cannot be run: {_last(text)}", hint="is it installed, and its path right?"
        )
    return code, text


async def _end_of(stream: asyncio.StreamReader) -> bytes:
    """Read all that is said, so that nobody waits for us, and keep the end of it."""
    kept = b""
    while piece := await stream.read(MOST):
        kept = (kept + piece)[-MOST:]
    return kept


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


async def must(argv: Sequence[str], *, within: float) -> None:
    """Run a program that must succeed. Raises `MainstayError` with its last words."""
    code, text = await hear(argv, within=within)
    if code != 0:
        raise MainstayError(f"{argv[0]} ended with exit code {code}: {_last(text)}")
