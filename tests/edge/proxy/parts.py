"""A whole gateway in the test's own event loop, with a policy that lets everything through."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from mainstay.edge.gateway.policy import Admit, Ask, Decision
from mainstay.edge.gateway.seats import noted
from mainstay.edge.gateway.settings import RouteSettings
from mainstay.edge.http.exchange import Header
from mainstay.edge.http.head import Refused
from mainstay.edge.http.limits import HeadLimits, Limits
from mainstay.edge.http.server import Server
from mainstay.edge.http.turn import Turn
from mainstay.edge.proxy.gateway import Gateway
from mainstay.edge.proxy.plane import Plane
from mainstay.ports.clock import Clock, SystemClock

LOOPBACK = "127.0.0.1"
HOST = b"Host: api.example.com\r\n"


@dataclass
class Open:
    """Admits what fits a route; tells the origin and the client what it is given."""

    routes: list[RouteSettings]
    to_origin: list[Header] = field(default_factory=list)
    to_client: list[Header] = field(default_factory=list)
    asks: list[Ask] = field(default_factory=list)
    sign: Callable[[bytes, bytes], Header] | None = None

    def decide(self, ask: Ask, now: float, wall: float) -> Decision:
        self.asks.append(ask)
        fits = [route for route in self.routes if ask.path.startswith(route.path.encode())]
        route = max(fits, key=lambda route: len(route.path))
        own = (b"x-request-id", ask.request_id)
        onward, back = [*self.to_origin, own], [*self.to_client, own]
        return Admit(route, onward, back, "alice", "paid", noted=noted("alice", "paid"))

    def signature(self, method: bytes, target: bytes, admitted: Admit, wall: float) -> Header | None:
        return self.sign(method, target) if self.sign else None


class Notes:
    """What the access log would say, and what is counted."""

    def __init__(self) -> None:
        self.seen: list[dict[str, str]] = []
        self.counted: list[tuple[str, str]] = []

    def ended(self, turn: Turn, seconds: float, cut: bool) -> None:
        self.seen.append(json.loads("{" + turn.notes.removeprefix(",") + "}"))

    def refused(self, address: str, refusal: Refused) -> None:
        pass

    def connections(self, count: int) -> None:
        pass

    def count(self, route: str, why: str) -> None:
        self.counted.append((route, why))


class Running:
    """A gateway that listens."""

    def __init__(self, server: Server, plane: Plane, policy: Any, notes: Notes) -> None:
        self.server = server
        self.plane = plane
        self.policy = policy
        self.notes = notes.seen
        self.counted = notes.counted
        self.port = server.address[1]

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(LOOPBACK, self.port)

    async def say(self, raw: bytes) -> bytes:
        """Send bytes and give everything that is answered until the gateway ends the connection."""
        reader, writer = await self.connect()
        try:
            writer.write(raw)
            async with asyncio.timeout(20):
                return await read_all(reader)
        finally:
            writer.transport.abort()

    async def get(
        self, path: bytes = b"/", *headers: bytes, method: bytes = b"GET", body: bytes = b""
    ) -> bytes:
        """Ask for a path; `headers` are lines without their ends."""
        lines = [
            method + b" " + path + b" HTTP/1.1",
            b"Host: api.example.com",
            b"Connection: close",
            *headers,
        ]
        if body:
            lines.append(b"Content-Length: %d" % len(body))
        return await self.say(b"\r\n".join(lines) + b"\r\n\r\n" + body)


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """Everything until the end, whether it ends well or with a reset."""
    seen = b""
    try:
        while data := await reader.read(65536):
            seen += data
    except ConnectionResetError:
        pass
    return seen


async def read_answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """One answer of known length, or in chunks, from a connection that goes on."""
    head = await reader.readuntil(b"\r\n\r\n")
    lowered = head.lower()
    if b"transfer-encoding: chunked" in lowered:
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readuntil(b"\r\n")
        return head, body
    length = int(lowered.split(b"content-length: ")[1].split(b"\r\n")[0])
    return head, await reader.readexactly(length)


def route(origin: str | list[str], **options: Any) -> RouteSettings:
    return RouteSettings.model_validate({"origin": origin, **options})


@asynccontextmanager
async def running(
    *routes: RouteSettings,
    policy: Any = None,
    clock: Clock | None = None,
    limits: Limits | None = None,
) -> AsyncIterator[Running]:
    """A gateway for these routes."""
    clock = clock or SystemClock()
    policy = policy or Open(list(routes))
    plane = Plane(routes, clock)
    notes = Notes()
    handler = Gateway(policy, plane, clock, notes.count)
    limits = limits or Limits(head=HeadLimits(body=1 << 30))
    server = Server(handler, clock, limits, observer=notes)
    listening = socket.create_server((LOOPBACK, 0))
    await server.listen(listening)
    plane.start()
    try:
        yield Running(server, plane, policy, notes)
    finally:
        await server.close()
        await plane.stop()
