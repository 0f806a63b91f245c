"""An edge that only takes webhooks in: in this process, or in one of its own that can be killed.

`python -m tests.edge.inbox.house JOURNAL_URL STATE_DIR PORT` says "ready" and serves until it is ended.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mainstay.core.secret import Secret
from mainstay.edge.http.meter import Meter
from mainstay.edge.http.server import Server
from mainstay.edge.inbox.intake import Intake
from mainstay.edge.inbox.log import DIRECTORY
from mainstay.edge.inbox.open import open_intake
from mainstay.edge.inbox.settings import IntakeSettings
from mainstay.edge.schemes.hmac import HmacScheme
from mainstay.ports.clock import Clock, SystemClock
from mainstay.store.open import open_store
from tests.edge.inbox.sender import OLD, SECRET, Sender

SECRETS = [Secret("new", SECRET), Secret("old", OLD)]
BY_ID = HmacScheme(id="X-Event-Id", type="X-Event-Type")


def sources() -> dict[str, IntakeSettings]:
    """The senders that tests have unless they say otherwise."""
    return {
        "bank": IntakeSettings(scheme=BY_ID, secrets=SECRETS),
        "shop": IntakeSettings(secrets=[Secret("shop", "another-secret")]),
    }


@dataclass
class House:
    """A running edge."""

    intake: Intake
    server: Server
    port: int
    senders: list[Sender] = field(default_factory=list)

    def sender(self) -> Sender:
        """A new sender, whose connection is closed with the house."""
        self.senders.append(Sender(self.port))
        return self.senders[-1]


def listening(port: int = 0) -> socket.socket:
    """A socket that several processes may share a port with."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", port))
    made.listen(1024)
    return made


@asynccontextmanager
async def house(
    url: str,
    state_dir: Path,
    given: Mapping[str, IntakeSettings] | None = None,
    clock: Clock | None = None,
    port: int = 0,
) -> AsyncIterator[House]:
    """A running edge in this process."""
    clock = SystemClock() if clock is None else clock
    log = state_dir / DIRECTORY
    async with open_intake(given or sources(), lambda: open_store(url, clock), log, clock, Meter()) as intake:
        server = Server(intake, SystemClock())
        with listening(port) as on:
            await server.listen(on)
            made = House(intake, server, on.getsockname()[1])
            try:
                yield made
            finally:
                for sender in made.senders:
                    sender.close()
                await server.close()


async def serve(url: str, state_dir: str, port: str) -> None:
    async with house(url, Path(state_dir), port=int(port)):
        os.write(1, b"ready\n")
        await asyncio.Event().wait()


if __name__ == "__main__":
    import ctypes

    import uvloop

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # gone with its parent, which may be a tracer
    sys.setswitchinterval(0.0002)
    uvloop.run(serve(*sys.argv[1:]))
