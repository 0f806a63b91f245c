"""Programs of the user's own before and after a backup is taken: to stop what writes, and to let it go on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from mainstay.backup.settings import Hook
from mainstay.core.job import JobFailed, RunContext
from mainstay.core.secret import Secret
from mainstay.core.units import format_duration
from mainstay.ports.program import Lines, run_program


@dataclass
class Hooked:
    """How it went: what is wrong with the hook after a backup that was taken, if anything."""

    fault: str | None = None


@asynccontextmanager
async def hooked(
    run: RunContext, name: str, before: Hook | None, after: Hook | None
) -> AsyncIterator[Hooked]:
    """Run one program before the block and one after it. Raises `JobFailed` when the first one fails.

    The second one always runs, also when the first one or the block failed or was stopped, and gets told which.
    """
    done = Hooked()
    try:
        if before is not None:
            await _run(run, name, "before", before, {})
        yield done
    except BaseException:
        if after is not None:
            fault = await _after(run, name, after, "failed")
            if fault is not None:
                run.log(f"after: {fault}")
        raise
    if after is not None:
        done.fault = await _after(run, name, after, "ok")


async def _after(run: RunContext, name: str, hook: Hook, result: str) -> str | None:
    """Run it to its end, even when the job is stopped meanwhile; say what is wrong."""
    work = asyncio.ensure_future(_run(run, name, "after", hook, {"MAINSTAY_RESULT": result}))
    try:
        await asyncio.shield(work)
    except JobFailed as fault:
        return fault.what
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise
    return None


async def _run(run: RunContext, name: str, which: str, hook: Hook, more: dict[str, str]) -> None:
    own = {key: value.reveal() if isinstance(value, Secret) else value for key, value in hook.env.items()}
    known = {
        "MAINSTAY_BACKUP": name,
        "MAINSTAY_HOOK": which,
        "MAINSTAY_RUN": run.id,
        "MAINSTAY_DUE_AT": f"{datetime.fromtimestamp(run.due_at, UTC):%Y-%m-%dT%H:%M:%SZ}",
        **more,
    }
    lines = Lines(lambda line: run.log(f"{which}: {line}"))
    program = hook.command[0]
    try:
        async with asyncio.timeout(hook.timeout):
            code = await run_program(hook.command, env={**own, **known}, lines=lines)
    except TimeoutError:
        raise JobFailed(
            f"`{which}` of {name} took longer than {format_duration(hook.timeout)}: {program}"
        ) from None
    except OSError as fault:
        reason = (fault.strerror or str(fault)).lower()
        raise JobFailed(
            f"`{which}` of {name} cannot run {program}: {reason}", hint="is the path right?"
        ) from None
    if code:
        last = f": {lines.last}" if lines.last else ""
        raise JobFailed(
            f"`{which}` of {name} ended with exit code {code}{last}", hint="its output is in the log"
        )
    run.log(f"{which}: {program} ended well")
