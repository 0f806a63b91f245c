"""Proxies with the configurations that are exported for them give the policy's verdict on each of its vectors."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Protocol

import pytest

from mainstay.edge.gateway.export import KINDS, Site
from mainstay.edge.gateway.settings import GatewaySettings
from mainstay.edge.http.settings import EdgeSettings
from tests.edge.gateway.conftest import WALL, Held, Read
from tests.edge.gateway.fronts import Front, hang_up
from tests.edge.gateway.minting import Mint
from tests.edge.gateway.test_decide import Holder, endpoint
from tests.edge.gateway.test_vectors import gate
from tests.edge.gateway.vectors import Vector, load
from tests.servers.recorder import Recorder

POLICY, VECTORS = load()
MOST_TIMES = 200 if os.environ.get("MAINSTAY_CHECKS") else 12

OTHERWISE: dict[str, dict[str, tuple[int, str]]] = {
    "nginx": {"two credentials": (400, "nginx refuses a repeated Authorization by itself, unasked")},
    "caddy": {},
    "envoy": {
        "connection names the credential": (
            401, "Envoy takes away what Connection names before anybody sees it; only the client itself is harmed",
        ),
    },
    "haproxy": {},
}  # fmt: skip
"""Vectors that a proxy answers otherwise, and why it cannot be helped."""


def with_origin(policy: dict[str, Any], *urls: str) -> dict[str, Any]:
    """Give each route an origin."""
    routes = [{**route, "origin": list(urls)} for route in policy["routes"]]
    return {**policy, "routes": routes, "decide": {}}


async def sent(port: int, vector: Vector, headers: list[tuple[bytes, bytes]]) -> tuple[int, dict[str, str]]:
    """Send a vector as it is written; gives the status and the headers of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"{vector.method} {vector.path} HTTP/1.1", f"Host: {vector.host}"]
    if not any(name == b"connection" for name, _ in headers):
        lines.append("Connection: close")
    if vector.method == "POST":
        lines.append("Content-Length: 0")
    text = "\r\n".join(lines).encode() + b"".join(b"\r\n%b: %b" % pair for pair in headers) + b"\r\n\r\n"
    writer.write(text)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    await hang_up(writer)
    first, *rest = head.decode("latin-1").strip().split("\r\n")
    pairs = (line.partition(":") for line in rest)
    return int(first.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}


class Carries(Protocol):
    """A running proxy."""

    kind: str
    port: int


class Stand:
    """A proxy with a gateway to ask and an origin."""

    def __init__(self, front: Carries, holder: Holder, origin: Recorder) -> None:
        self.kind = front.kind
        self.port = front.port
        self.front = front
        self.holder = holder
        self.origin = origin

    async def judge(self, vector: Vector, headers: list[tuple[bytes, bytes]]) -> str:
        """Give what was not as it must be."""
        self.origin.clear()
        for _ in range(vector.times):
            status, back = await sent(self.port, vector, headers)
        expected, _ = OTHERWISE[self.kind].get(vector.name, (vector.answer, ""))
        if status != expected:
            return f"{vector.name}: {status} and not {expected}"
        if status == 429 and not back.get("retry-after"):
            return f"{vector.name}: no Retry-After"
        for name, value in vector.back.items() if status == vector.answer else ():
            if (back.get(name) or None) != value:
                return f"{vector.name}: {name} is {back.get(name)} and not {value}"
        reached = self.origin.requests
        if status != 200:
            return f"{vector.name}: the origin was asked" if reached and vector.times == 1 else ""
        return self.seen(vector) if vector.times == 1 else ""

    def seen(self, vector: Vector) -> str:
        """Give what the origin saw that it must not see, or the other way round."""
        (reached,) = self.origin.requests
        if reached.method != vector.method or reached.path.lstrip("/") != vector.path.lstrip("/"):
            return f"{vector.name}: the origin was asked {reached.method} {reached.path}"
        for name, value in vector.origin.items():
            given = reached.headers.get(name) or None
            if name == "connection":
                if "x-user-id" in (given or ""):
                    return f"{vector.name}: {name} is {given}"
                continue  # between the proxy and the origin
            wanted = "127.0.0.1" if name == "x-forwarded-for" else value
            if not (given if wanted == "*" else given == wanted):
                return f"{vector.name}: {name} is {given}"
        return "" if reached.headers.get("x-request-id") == "r1" else f"{vector.name}: no request id"


@asynccontextmanager
async def standing(
    kind: str, start: Callable[..., Front], settings: GatewaySettings, origin: Recorder, **edge: Any
) -> AsyncIterator[Stand]:
    holder = Holder()
    async with endpoint(holder) as server:
        asked = EdgeSettings(decide=f"127.0.0.1:{server.address[1]}", **edge)
        front = await asyncio.to_thread(start, kind, lambda at: Site(asked, settings, False, at, "/hooks/"))
        yield Stand(front, holder, origin)


async def every_vector(stand: Stand, settings: GatewaySettings, mint: Mint, held: Held) -> None:
    """Each of them gets the verdict that it must get, with counts of its own."""
    count, complaints = 0, []
    fresh = partial(gate, settings, held[0])
    for vector in VECTORS:
        if vector.times > MOST_TIMES:
            continue
        stand.holder.policy = fresh()
        complaints.append(await stand.judge(vector, vector.sent(mint, WALL, held[1])))
        count += 1
    assert "\n".join(filter(None, complaints)) == ""
    assert count >= 150


@pytest.mark.parametrize("kind", KINDS)
async def test_every_vector(
    kind: str, start: Callable[..., Front], read: Read, mint: Mint, held: Held, recorder: Recorder
) -> None:
    settings = read(with_origin(POLICY, recorder.url))
    async with standing(kind, start, settings, recorder) as stand:
        await every_vector(stand, settings, mint, held)
    status, _ = await sent(stand.port, VECTORS[1], [])
    assert status == 503  # the gateway has gone
