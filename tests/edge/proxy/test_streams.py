"""WebSockets, long bodies both ways, slow readers and slow writers."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import aiohttp
import pytest
from aiohttp import web

from mainstay.ports.clock import FakeClock
from tests.edge.origins import Call, answer, raw_origin, says
from tests.edge.proxy.parts import HOST, Running, read_all, route, running
from tests.helpers import aeventually

MANY = int(os.environ.get("MAINSTAY_UPLOAD_MB", "48")) * 1024 * 1024
UPGRADE = (
    b"GET /chat HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: x\r\n\r\n"
)


async def chat(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(protocols=["talk"])
    await socket.prepare(request)
    async for message in socket:
        if message.type is aiohttp.WSMsgType.TEXT:
            await socket.send_str(f"{request.headers['X-Forwarded-For']} said {message.data}")
        elif message.type is aiohttp.WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


@asynccontextmanager
async def chat_server() -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/chat", chat)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def reading(writer: asyncio.StreamWriter) -> asyncio.Transport:
    """The transport, which reads as well."""
    return cast(asyncio.Transport, writer.transport)


def free(gateway: Running) -> bool:
    """Whether nothing is under way any more."""
    return all(origin.active == 0 for group in gateway.plane.groups.values() for origin in group.origins)


async def test_a_websocket_speaks_through_us() -> None:
    async with chat_server() as url, running(route(url)) as gateway, aiohttp.ClientSession() as session:
        async with session.ws_connect(f"http://127.0.0.1:{gateway.port}/chat", protocols=["talk"]) as socket:
            assert socket.protocol == "talk"
            await socket.send_str("hello")
            assert await socket.receive_str() == "127.0.0.1 said hello"
            for size in (0, 1, 125, 126, 65_536, 3_000_000):
                await socket.send_bytes(b"x" * size)
                assert await socket.receive_bytes() == b"x" * size
            assert gateway.plane.state()[0]["websockets"] == 1
        assert socket.close_code == 1000
        await aeventually(lambda: gateway.plane.state()[0]["websockets"] == 0 and free(gateway))
        assert "why" not in gateway.notes[0]


async def test_a_websocket_that_the_origin_refuses_is_an_answer_like_others() -> None:
    async with (
        raw_origin(says(answer(b"no", status=b"403 Forbidden"))) as origin,
        running(route(origin.url)) as gateway,
    ):
        reader, writer = await gateway.connect()
        writer.write(UPGRADE + b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await reader.readuntil(b"no")).startswith(b"HTTP/1.1 403 ")
        # What followed is a request of its own, with a decision of its own.
        await reader.readuntil(b"no")
        assert [ask.path for ask in gateway.policy.asks] == [b"/chat", b"/smuggled"]
        writer.close()


@pytest.mark.parametrize(
    "said",
    [
        SWITCHED.replace(b"websocket", b"h2c"),
        SWITCHED.replace(b"Upgrade: websocket\r\n", b""),
        SWITCHED.replace(b"Upgrade: websocket\r\n", b"Upgrade: websocket\r\nUpgrade: h2c\r\n"),
    ],
    ids=["another protocol", "none", "two"],
)
async def test_an_origin_cannot_switch_to_what_nobody_asked_for(said: bytes) -> None:
    async with raw_origin(says(said)) as origin, running(route(origin.url)) as gateway:
        reader, writer = await gateway.connect()
        writer.write(UPGRADE)
        assert b" 502 " in await reader.readuntil(b"\r\n")
        writer.close()


async def test_bytes_that_come_with_the_switch_are_not_lost() -> None:
    async def behave(call: Call) -> None:
        await call.head()
        await call.send(SWITCHED + b"first")
        assert await call.exactly(4) == b"ping"
        await call.send(b"pong")

    async with raw_origin(behave) as origin, running(route(origin.url)) as gateway:
        reader, writer = await gateway.connect()
        writer.write(UPGRADE + b"ping")
        said = await read_all(reader)
        assert said.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        assert said.endswith(b"\r\n\r\nfirstpong")
        writer.close()
        seen = origin.seen.lower()
        assert seen.count(b"\r\nconnection: upgrade\r\n") == seen.count(b"\r\nupgrade: websocket\r\n") == 1


async def test_a_websocket_that_is_silent_for_too_long_is_cut() -> None:
    clock = FakeClock()

    async def behave(call: Call) -> None:
        await call.head()
        await call.send(SWITCHED)
        while await call.read():
            pass

    async with (
        raw_origin(behave) as origin,
        running(route(origin.url, carry={"tunnel_idle": "60s"}), clock=clock) as gateway,
    ):
        reader, writer = await gateway.connect()
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        await clock.advance(50)
        writer.write(b"ping")  # either side's word counts
        await aeventually(lambda: origin.seen.endswith(b"ping"))
        await clock.advance(50)
        assert gateway.plane.state()[0]["websockets"] == 1
        await clock.advance(15)
        assert await read_all(reader) == b""
        writer.close()
        assert gateway.counted[0][1] == "tunnel_silent"


async def test_there_are_no_more_websockets_than_a_route_may_have() -> None:
    async def behave(call: Call) -> None:
        await call.head()
        await call.send(SWITCHED)
        await call.read()

    async with raw_origin(behave) as origin, running(route(origin.url, carry={"tunnels": 1})) as gateway:
        reader, writer = await gateway.connect()
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        second, other = await gateway.connect()
        other.write(UPGRADE)
        assert b" 503 " in await second.readuntil(b"\r\n")
        writer.close()
        await aeventually(lambda: gateway.plane.state()[0]["websockets"] == 0)
        other.write(UPGRADE)
        assert b" 101 " in (await second.readuntil(b"HTTP/1.1 101 "))[-14:]
        other.close()


def memory() -> int:
    """Bytes of this process that are in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is asked of Linux")
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
async def test_a_large_upload_flows_through_in_little_memory(chunked: bool) -> None:
    """The origin reads slower than the client writes, all the time."""
    taken = 0

    async def sink(call: Call) -> None:
        nonlocal taken
        await call.reader.readuntil(b"\r\n\r\n")
        while taken < MANY:
            taken += len(await call.reader.read(1 << 16))
            await asyncio.sleep(0)
        await call.send(answer(b"got it"))

    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % MANY
    piece = b"x" * (1 << 18)
    block = b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece
    async with raw_origin(sink) as origin, running(route(origin.url)) as gateway:
        before = most = memory()
        reader, writer = await gateway.connect()
        writer.write(b"POST / HTTP/1.1\r\n" + HOST + framing + b"\r\n\r\n")
        for _ in range(MANY // len(piece)):
            writer.write(block)
            await writer.drain()
            most = max(most, memory())
        if chunked:
            writer.write(b"0\r\n\r\n")
        assert (await reader.readuntil(b"got it")).startswith(b"HTTP/1.1 200 ")
        writer.close()
        assert most - before < 24 * 1024 * 1024


async def test_a_client_that_reads_slowly_holds_the_origin_back() -> None:
    sent = 0

    async def behave(call: Call) -> None:
        nonlocal sent
        await call.request()
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MANY)
        while sent < MANY:
            await call.send(b"x" * 65536)
            sent += 65536

    async with raw_origin(behave) as origin, running(route(origin.url)) as gateway:
        reader, writer = await gateway.connect()
        reading(writer).pause_reading()
        writer.write(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        (group,) = gateway.plane.groups.values()

        def held_back() -> bool:
            return any(not upstream.transport.is_reading() for upstream in group.origins[0]._open)

        await aeventually(held_back)
        for _ in range(200):  # nothing moves any more, however long it lasts
            await asyncio.sleep(0)
        assert sent < MANY / 2
        reading(writer).resume_reading()
        got = len((await reader.readuntil(b"\r\n\r\n"))[:0])
        while got < MANY:
            got += len(await reader.read(1 << 20))
        assert got == sent == MANY
        writer.close()
        await aeventually(lambda: free(gateway))


async def test_an_origin_that_takes_nothing_of_a_body_is_given_up() -> None:
    clock = FakeClock()

    async def behave(call: Call) -> None:
        await call.head()
        reading(call.writer).pause_reading()
        await asyncio.Event().wait()

    async with raw_origin(behave) as origin, running(route(origin.url), clock=clock) as gateway:
        reader, writer = await gateway.connect()
        writer.write(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999\r\n\r\n" + b"x" * 20_000_000)
        (group,) = gateway.plane.groups.values()

        def stuck() -> bool:
            return any(upstream.patience == 60.0 for upstream in group.origins[0]._open)

        await aeventually(stuck)
        await clock.advance(62)
        assert b" 504 " in await reader.readuntil(b"\r\n")
        writer.transport.abort()
