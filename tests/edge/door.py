"""A server with a handler that notes what reached it, and a client that speaks raw bytes."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import h11

from mainstay.edge.http.exchange import Exchange, Handler
from mainstay.edge.http.limits import HeadLimits, Limits
from mainstay.edge.http.server import Observer, Server
from mainstay.edge.http.trust import Trust
from mainstay.ports.clock import Clock, SystemClock

SMALL = Limits(head=HeadLimits(head=4096, headers=20, uri=1024, body=10_000))


class Ledger:
    """Answers 200 once a request is whole, and notes it as `METHOD TARGET` with its body."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.lost = 0
        self.begun: list[Exchange] = []

    def accept(self, exchange: Exchange) -> None:
        self.begun.append(exchange)
        exchange.receive(Reading(self, exchange))


class Reading:
    """Collects one body."""

    def __init__(self, ledger: Ledger, exchange: Exchange) -> None:
        self.ledger = ledger
        self.exchange = exchange
        self.body = bytearray()

    def data(self, piece: bytes) -> None:
        self.body += piece

    def end(self) -> None:
        head = self.exchange.head
        self.ledger.seen.append(b" ".join(filter(None, (head.method, head.target, bytes(self.body)))))
        self.exchange.respond(200, [(b"content-type", b"text/plain")], b"fine")

    def lost(self) -> None:
        self.ledger.lost += 1


class Answering:
    """Calls a function with each request."""

    def __init__(self, answer: Callable[[Exchange], object]) -> None:
        self.answer = answer

    def accept(self, exchange: Exchange) -> None:
        self.answer(exchange)


@asynccontextmanager
async def serving(
    handler: Handler,
    limits: Limits = SMALL,
    clock: Clock | None = None,
    trust: Trust | None = None,
    observer: Observer | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Server]:
    """A server on a free port."""
    server = Server(handler, clock or SystemClock(), limits, trust, observer)
    await server.listen(socket.create_server(("127.0.0.1", 0)), tls)
    try:
        yield server
    finally:
        await server.close()


class Client:
    """One connection. Answers are read by h11, which knows nothing of ours."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.rest = b""

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self, method: bytes = b"GET") -> tuple[int, dict[bytes, bytes], bytes]:
        """Read one answer: status, headers, body. Raises `EOFError` when the server closed instead."""
        wire = h11.Connection(h11.CLIENT)
        wire.send(h11.Request(method=method, target="/", headers=[("Host", "a"), ("Connection", "close")]))
        wire.send(h11.EndOfMessage())
        if self.rest:
            wire.receive_data(self.rest)
            self.rest = b""
        status, headers, body = 0, {}, bytearray()
        while True:
            event = wire.next_event()
            if event is h11.NEED_DATA:
                piece = await asyncio.wait_for(self.reader.read(65536), 10)
                if not piece and not status:
                    raise EOFError
                wire.receive_data(piece)
            elif isinstance(event, h11.Response):
                status, headers = event.status_code, dict(event.headers)
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                self.rest = wire.trailing_data[0]
                return status, headers, bytes(body)

    async def ended(self) -> bytes:
        """Read until the server closes; a reset counts as that."""
        try:
            return self.rest + await asyncio.wait_for(self.reader.read(), 10)
        except ConnectionResetError:
            return self.rest

    def close(self) -> None:
        self.writer.close()


@asynccontextmanager
async def calling(server: Server, tls: ssl.SSLContext | None = None) -> AsyncIterator[Client]:
    """A client's connection to it."""
    host, port = server.address
    name = "localhost" if tls else None
    reader, writer = await asyncio.open_connection(host, port, ssl=tls, server_hostname=name, limit=2**20)
    client = Client(reader, writer)
    try:
        yield client
    finally:
        writer.close()
