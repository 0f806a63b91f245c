"""A gateway on a clock of ours, among real servers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mainstay.edge.gateway.gateway import Around, Gateway
from mainstay.edge.gateway.keyring import Connect
from mainstay.edge.gateway.policy import Admit, Ask, Decision, Deny, Verdict
from mainstay.edge.gateway.settings import GatewaySettings
from mainstay.ports.clock import FakeClock
from tests.edge.gateway.conftest import WALL
from tests.servers.recorder import Recorder

PEER = "192.0.2.1"


class House:
    """A gateway, the clock that it lives by, and whom it asks."""

    def __init__(self, gateway: Gateway, clock: FakeClock) -> None:
        self.gateway = gateway
        self.clock = clock

    def decide(self, *headers: tuple[str, str], path: str = "/", peer: str = PEER, **more: Any) -> Decision:
        sent = [(name.encode(), value.encode()) for name, value in headers]
        ask = Ask(b"GET", b"api.example.com", path.encode(), sent, peer, **more)
        return self.gateway.decide(ask, self.clock.monotonic(), self.clock.now())

    async def verdict(self, *headers: tuple[str, str], **more: Any) -> Verdict:
        found = self.decide(*headers, **more)
        return found if isinstance(found, Admit | Deny) else await found

    async def bearer(self, token: str, **more: Any) -> Verdict:
        return await self.verdict(("authorization", f"Bearer {token}"), **more)

    async def status(self, token: str, **more: Any) -> int:
        return status(await self.bearer(token, **more))

    async def many(self, token: str, count: int) -> set[int]:
        """Ask at the same time; gives the statuses."""
        return set(await asyncio.gather(*(self.status(token) for _ in range(count))))


def status(found: Verdict) -> int:
    return 200 if isinstance(found, Admit) else found.status


@asynccontextmanager
async def house(
    settings: GatewaySettings, directory: Path, connect: Connect | None = None, processes: int = 1
) -> AsyncIterator[House]:
    clock = FakeClock(WALL)
    gateway = Gateway(settings, Around(clock, directory, processes, connect))
    await gateway.start()
    try:
        yield House(gateway, clock)
    finally:
        await gateway.close()


def publish(server: Recorder, *keys: dict[str, Any]) -> None:
    """Have a server answer with a key set."""
    server.answer(200, json.dumps({"keys": keys}).encode())
