"""Fixtures for asking real checks: a place, an authority, servers that say exactly what a test wants."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from mainstay.core.check import Answer, Check
from mainstay.ports.clock import SystemClock
from mainstay.ports.place import LocalPlace
from mainstay.ports.resolver import Resolver
from tests.servers.authority import Authority
from tests.servers.process import LOOPBACK

Say = Callable[..., Awaitable[int]]


@pytest.fixture
def place() -> LocalPlace:
    """This machine, with its own clock and names."""
    clock = SystemClock()
    return LocalPlace(clock, Resolver(clock))


@pytest.fixture
def ask(place: LocalPlace) -> Callable[[Check], Awaitable[Answer]]:
    """`await ask(check)` is one answer."""
    return lambda check: check.probe(place)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that nobody trusts but us."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
async def say() -> AsyncIterator[Say]:
    """`port = await say(b"...")` starts a server that says this to everyone, and then hangs up.

    With `hang=True` it keeps the connection open instead; with `after=b"..."` it waits for that first; with
    `tls=(certificate, key)` it says so over TLS.
    """
    servers: list[asyncio.Server] = []
    writers: list[asyncio.StreamWriter] = []

    async def start(
        said: bytes, *, hang: bool = False, after: bytes = b"", tls: tuple[Path, Path] | None = None
    ) -> int:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            try:
                if after:
                    await reader.readuntil(after)
                writer.write(said)
                await writer.drain()
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            if not hang:
                writer.close()

        context = None
        if tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*tls)
        server = await asyncio.start_server(serve, LOOPBACK, 0, ssl=context)
        servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    yield start
    for server in servers:
        server.close()
    for writer in writers:
        writer.transport.abort()
    await asyncio.sleep(0)
