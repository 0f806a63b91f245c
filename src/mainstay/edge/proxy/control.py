"""A socket at which this machine's people and programs ask how origins are, and have them switched.

One line of JSON asks, one line answers: `{"do": "state"}`, `{"do": "swap", "route": ..., "origins": [...]}`. Each edge
process has its own, below the state directory; whoever may open it may do anything, so it is its owner's alone.
"""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mainstay.core.errors import MainstayError
from mainstay.edge.gateway.contact import Contact
from mainstay.ports.clock import Clock

PATTERN = "gateway-*.sock"
LONGEST = 64 * 1024
Contacts = Callable[[], Sequence[Contact]]
"""Gives those whom the gateway itself needs."""


def nobody() -> Sequence[Contact]:
    """Give none."""
    return ()


def no_swap(route: str) -> MainstayError:
    """Give the fault of a switch where Envoy carries the requests."""
    return MainstayError(
        "Envoy carries the requests, and to the origins of the file",
        hint=f"change `origin` of {route} there and reload: systemctl reload mainstay",
    )


class Controls(Protocol):
    """What is asked about here."""

    async def swap(self, route: str, origins: Sequence[str], *, within: float) -> None:
        """Send all further requests of a route to other origins. Raises `MainstayError`."""
        ...

    async def look(self) -> Sequence[Mapping[str, Any]]:
        """Give what is known of every route's origins; never fails."""
        ...


@asynccontextmanager
async def controlled(
    controls: Controls, directory: Path, clock: Clock, contacts: Contacts = nobody
) -> AsyncIterator[Path]:
    """Answer at a socket in `directory`, which exists. Raises `MainstayError`."""
    desk = _Desk(controls, clock, contacts)
    path = directory / f"gateway-{os.getpid()}.sock"
    calls: set[asyncio.Task[None]] = set()

    def called(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(_serve(desk, reader, writer))
        calls.add(task)
        task.add_done_callback(calls.discard)

    server = await asyncio.start_unix_server(called, sock=_bound(path), limit=LONGEST)
    try:
        yield path
    finally:
        server.close()
        for task in list(calls):
            task.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        path.unlink(missing_ok=True)


def _bound(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)
        listening.bind(str(path))
    except OSError as fault:
        listening.close()
        why = fault.strerror or str(fault)  # a path of more than a hundred letters has no number of its own
        raise MainstayError(
            f"{path}: the gateway's control socket cannot be made: {why}",
            hint="choose a shorter state_dir that can be written to",
        ) from None
    finally:
        os.umask(before)
    return listening


@dataclass(frozen=True, slots=True)
class _Desk:
    """What is asked about."""

    controls: Controls
    clock: Clock
    contacts: Contacts

    async def state(self) -> dict[str, Any]:
        """Give all that is known now."""
        return {
            "process": os.getpid(),
            "at": self.clock.now(),
            "routes": await self.controls.look(),
            "needs": [contact.state() for contact in self.contacts()],
        }


async def _serve(desk: _Desk, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while line := await reader.readline():
            writer.write(json.dumps(await _answer(desk, line)).encode() + b"\n")
            await writer.drain()
    except (ConnectionError, ValueError):
        pass  # gone, or a line that is too long
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def _answer(desk: _Desk, line: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(line)
        if asked["do"] == "swap":
            await desk.controls.swap(
                str(asked["route"]), [str(url) for url in asked["origins"]], within=float(asked["within"])
            )
        elif asked["do"] != "state":
            raise MainstayError(f"{asked['do']!r} is nothing that can be done", hint="`state` or `swap`")
    except MainstayError as fault:
        return {"fault": fault.what, "hint": fault.hint, "where": fault.where}
    except (KeyError, TypeError, ValueError) as error:
        return {"fault": f"not a question: {error!r}", "hint": "one line of JSON", "where": None}
    return await desk.state()


def ask(directory: Path, question: dict[str, Any], patience: float) -> list[dict[str, Any]]:
    """Ask every edge process of this machine; give their answers. Raises `MainstayError` when there is none."""
    answers = []
    for path in sorted(directory.glob(PATTERN)):
        try:
            answers.append(_asked(path, question, patience))
        except (ConnectionRefusedError, FileNotFoundError):
            continue  # of a process that was killed
        except (OSError, ValueError) as fault:
            raise MainstayError(f"{path} does not answer: {fault}", hint="look at the edge's log") from None
    if not answers:
        hint = "start it: mainstay up; you have to be its user, or root"
        raise MainstayError("no gateway runs on this machine", hint=hint, where=str(directory))
    return answers


def states(directory: Path, patience: float) -> tuple[list[dict[str, Any]], int]:
    """Give how every edge process of this machine is that answers within `patience` seconds, and how many did not."""
    answers, silent = [], 0
    for path in sorted(directory.glob(PATTERN)):
        try:
            answers.append(_asked(path, {"do": "state"}, patience))
        except (ConnectionRefusedError, FileNotFoundError):
            continue  # of a process that was killed
        except (OSError, ValueError):
            silent += 1
    return answers, silent


def _asked(path: Path, question: dict[str, Any], patience: float) -> dict[str, Any]:
    """Ask one process. Raises `OSError` and `ValueError`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(patience)
        caller.connect(str(path))
        caller.sendall(json.dumps(question).encode() + b"\n")
        with caller.makefile() as heard:
            answer: dict[str, Any] = json.loads(heard.readline())
            return answer
