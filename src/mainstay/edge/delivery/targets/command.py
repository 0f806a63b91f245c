"""A program on this machine, started anew for each event."""

import asyncio
import json
import os
import signal
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from pydantic import Field

from mainstay.core.secret import Secret, redact
from mainstay.core.units import format_duration
from mainstay.edge.delivery.parcel import End, Outcome, Parcel
from mainstay.edge.delivery.targets.base import Deliver, Target, Tools, clip, iso
from mainstay.ports.environment import inherited

MOST = 16 * 1024
"""How much of its output is kept."""
LAST_WORDS = 0.2
"""Seconds for which its output is still read once it has ended; what it left behind may hold the pipe open."""


class CommandTarget(Target, type="command", shorthand="command"):
    """Runs a program without a shell: the body on standard input, what is known of the event in the environment.

    Exit code 0 is taken; one in `never` is a dead letter at once; any other, or none within `timeout`, is tried again.
    Variables: `MAINSTAY_EVENT_ID` (the same for every attempt), `MAINSTAY_SOURCE`, `MAINSTAY_EVENT_TYPE`,
    `MAINSTAY_SENDER_ID` (the sender's own id), `MAINSTAY_ATTEMPT`, `MAINSTAY_RECEIVED_AT`, `MAINSTAY_REPLAY_OF` and
    `MAINSTAY_HEADERS` (a JSON list of pairs). After `timeout` the program and its process group are killed.
    """

    command: list[str] = Field(min_length=1, examples=[["/usr/local/bin/deploy", "--from-webhook"]])
    """Program and arguments."""
    never: list[int] = [65]
    """Exit codes with which it says that it will never take this event; 65 is EX_DATAERR."""
    directory: Path | None = Field(default=None, strict=False)
    """Working directory; mainstay's own when left out."""
    env: dict[str, str | Secret] = {}
    """Environment variables besides the inherited ones; mainstay's own (`MAINSTAY_*`) are not inherited."""

    def place(self) -> str:
        return Path(self.command[0]).name

    @asynccontextmanager
    async def opened(self, tools: Tools, many: int) -> AsyncIterator[Deliver]:
        yield partial(deliver, self)


async def deliver(target: CommandTarget, parcel: Parcel) -> Outcome:
    """Run the program once."""
    try:
        process = await asyncio.create_subprocess_exec(
            *target.command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=STDOUT,
            cwd=target.directory,
            env=environment(target, parcel),
            start_new_session=True,
        )
    except OSError as fault:
        return _sick(f"cannot run {target.command[0]}: {fault.strerror or fault}")
    try:
        async with asyncio.timeout(target.timeout):
            said = await _talk(process, parcel.body)
    except TimeoutError:
        return _sick(f"{target.place()} did not end within {format_duration(target.timeout)} and was killed")
    finally:
        await _end(process)
    return _judge(target, process.returncode or 0, said)


def environment(target: CommandTarget, parcel: Parcel) -> Mapping[str, str]:
    """Give the program's environment."""
    own = {name: value.reveal() if isinstance(value, Secret) else value for name, value in target.env.items()}
    known = {
        "MAINSTAY_EVENT_ID": parcel.id,
        "MAINSTAY_SOURCE": parcel.source,
        "MAINSTAY_EVENT_TYPE": parcel.type or "",
        "MAINSTAY_SENDER_ID": parcel.event_id or "",
        "MAINSTAY_ATTEMPT": str(parcel.attempt),
        "MAINSTAY_RECEIVED_AT": iso(parcel.received_at),
        "MAINSTAY_REPLAY_OF": parcel.replay_of or "",
        "MAINSTAY_HEADERS": json.dumps(parcel.headers, ensure_ascii=True),
    }
    return {**inherited(), **own, **{name: value.replace("\0", "") for name, value in known.items()}}


async def _talk(process: Process, body: bytes) -> str:
    """Give it the body, let it end, give back the beginning of what it said."""
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    assert process.stdout is not None  # noqa: S101 - so is this
    kept: list[bytes] = []
    reading = asyncio.ensure_future(_read(process.stdout, kept))
    try:
        with suppress(BrokenPipeError, ConnectionResetError):  # it need not read
            process.stdin.write(body)
            await process.stdin.drain()
        process.stdin.close()
        await process.wait()
        await asyncio.wait([reading], timeout=LAST_WORDS)
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    return b"".join(kept).decode("utf-8", "replace")


async def _read(stream: asyncio.StreamReader, kept: list[bytes]) -> None:
    size = 0
    while piece := await stream.read(MOST):
        if size < MOST:
            kept.append(piece[: MOST - size])
            size += len(piece)


async def _end(process: Process) -> None:
    """Kill the program and whatever it left in its group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    transport = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()  # a grandchild that left the group may hold the pipe open for ever


def _judge(target: CommandTarget, code: int, said: str) -> Outcome:
    words = clip(redact(said))
    if code == 0:
        return Outcome(End.DONE, words or "exit code 0", 0)
    how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    detail = f"{how}: {words}" if words else how
    if code in target.never:
        return Outcome(End.NEVER, detail, code)
    return Outcome(End.LATER, detail, code, sick=True)


def _sick(detail: str) -> Outcome:
    return Outcome(End.LATER, redact(detail), sick=True)
