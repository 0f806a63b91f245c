"""Origins that do exactly what a test says, byte by byte, and remember exactly what they saw."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

LOOPBACK = "127.0.0.1"


class Call:
    """One connection that the gateway has opened to an origin."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.seen = b""
        """Every byte that came."""

    async def read(self, size: int = 65536) -> bytes:
        """What comes next; empty at the end."""
        data = await self.reader.read(size)
        self.seen += data
        return data

    async def until(self, mark: bytes) -> bytes:
        """Everything up to and including `mark`."""
        data = await self.reader.readuntil(mark)
        self.seen += data
        return data

    async def head(self) -> bytes:
        """The head of a request."""
        return await self.until(b"\r\n\r\n")

    async def request(self) -> tuple[bytes, bytes]:
        """The head and the body of a request, whose framing is what the head says first."""
        head = await self.head()
        lines = head.lower().split(b"\r\n")
        if b"transfer-encoding: chunked" in lines:
            body = b""
            while size := int(await self.until(b"\r\n"), 16):
                body += (await self.exactly(size + 2))[:-2]
            await self.until(b"\r\n")
            return head, body
        lengths = [int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:")]
        return head, await self.exactly(lengths[0]) if lengths else b""

    async def exactly(self, size: int) -> bytes:
        """So many bytes."""
        data = await self.reader.readexactly(size)
        self.seen += data
        return data

    async def send(self, data: bytes) -> None:
        """Say something."""
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """End with RST instead of FIN."""
        reset(self.writer)


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST instead of FIN."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


Behaviour = Callable[[Call], Awaitable[None]]


def answer(body: bytes = b"hello", *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """A plain answer."""
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def polite(call: Call) -> None:
    """Answers every request, and echoes bodies."""
    while True:
        _, body = await call.request()
        await call.send(answer(body or b"hello"))


def says(data: bytes) -> Behaviour:
    """Answers every request with these bytes."""

    async def behave(call: Call) -> None:
        while True:
            await call.request()
            await call.send(data)

    return behave


class RawOrigin:
    """A server that behaves as it is told; the behaviour may be changed at any time."""

    def __init__(self, behave: Behaviour = polite) -> None:
        self.behave = behave
        self.calls: list[Call] = []
        self.server: asyncio.Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def seen(self) -> bytes:
        """Every byte that came, over all connections."""
        return b"".join(call.seen for call in self.calls)

    @property
    def heads(self) -> int:
        """How many requests came."""
        return sum(call.seen.count(b" HTTP/1.1\r\n") for call in self.calls)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call = Call(reader, writer)
        self.calls.append(call)
        try:
            await self.behave(call)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass  # the gateway has closed it, or the test is over
        finally:
            writer.close()

    async def start(self, port: int = 0) -> None:
        self.server = await asyncio.start_server(self._serve, LOOPBACK, port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Take no more connections and cut those that are open."""
        if self.server is not None:
            self.server.close()
            for call in self.calls:
                call.writer.transport.abort()
            await self.server.wait_closed()
            self.server = None


@asynccontextmanager
async def raw_origin(behave: Behaviour = polite) -> AsyncIterator[RawOrigin]:
    origin = RawOrigin(behave)
    await origin.start()
    try:
        yield origin
    finally:
        await origin.stop()
