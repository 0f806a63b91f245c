"""Many clients at a steady pace in one event loop, cheap enough to leave the machine to what is tested."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Collection, Hashable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self, cast

from tests.helpers import aeventually
from tests.servers.process import LOOPBACK

TICK = 0.002
AGAIN = 0.05
"""Seconds between two attempts to connect."""


@dataclass(frozen=True)
class Request:
    """What is sent, and what the sender calls it."""

    name: Hashable
    data: bytes


class Line(asyncio.Protocol):
    """One connection with at most one request under way."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd
        self.transport: asyncio.Transport | None = None
        self.request: Request | None = None
        self.heard = b""
        self.answered = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's has another base
        self.crowd.lines.add(self)
        self.crowd.idle.append(self)

    def send(self, request: Request) -> None:
        assert self.transport
        self.request = request
        self.transport.write(request.data)

    def data_received(self, data: bytes) -> None:
        self.heard += data
        head, mark, body = self.heard.partition(b"\r\n\r\n")
        if not mark:
            return
        length = length_of(head)
        if len(body) < length:
            return
        assert len(body) == length, "more than one answer to one request"
        request, self.request, self.heard = self.request, None, b""
        assert request, "an answer to nothing"
        assert self.transport
        self.answered += 1
        if b"connection: close" in head.lower() or self.answered == self.crowd.fresh:
            self.transport.close()
        else:
            self.crowd.idle.append(self)
        self.crowd.took(request, int(head[9:12]), head, body)

    def connection_lost(self, exc: Exception | None) -> None:
        request, self.request = self.request, None
        self.transport = None
        self.crowd.lines.discard(self)
        if self in self.crowd.idle:
            self.crowd.idle.remove(self)
        if request is not None:
            self.crowd.broken += 1
            self.crowd.lost(request)
        self.crowd.connect()


class Crowd:
    """Sends `rate` requests a second over so many connections; `answered` is told each one's status, head and body.

    A request whose answer did not come is given to `lost`. What is due while all connections wait is sent when one is
    free: the pace falls behind, and `sent` tells the truth. With `fresh` a connection ends after so many requests,
    so that a sender meets all processes that share the port.
    """

    def __init__(
        self,
        port: int,
        make: Callable[[], Request],
        answered: Callable[[Request, int, bytes, bytes], None] = lambda request, status, head, body: None,
        *,
        rate: float,
        connections: int = 32,
        fresh: int = 0,
    ) -> None:
        self.port = port
        self.statuses: Counter[int] = Counter()
        self.broken = 0
        """Answers that never came."""
        self.sent = 0
        self.ending = False
        self.lines: set[Line] = set()
        self.idle: deque[Line] = deque()
        self.again: deque[Request] = deque()
        self._make = make
        self._answered = answered
        self._rate = rate
        self._connections = connections
        self.fresh = fresh
        self._tasks: set[asyncio.Task[None]] = set()
        self._due = 0.0
        self._at = time.monotonic()
        self._pacing: asyncio.TimerHandle | None = None

    def go(self) -> None:
        """Go on after a pause."""
        self._at = time.monotonic()
        self._tick()

    def pause(self) -> None:
        """Send nothing new."""
        if self._pacing is not None:
            self._pacing.cancel()
            self._pacing = None

    @property
    def under_way(self) -> int:
        """Requests that have no answer yet."""
        return self.sent - self.broken - sum(self.statuses.values())

    async def settle(self) -> None:
        """Send nothing new and wait for what is under way."""
        self.pause()
        await aeventually(lambda: not self.under_way, 30)

    async def __aenter__(self) -> Self:
        for _ in range(self._connections):
            self.connect()
        self.go()
        return self

    async def __aexit__(self, *ending: object) -> None:
        self.pause()
        self.ending = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await gone({line: line.transport for line in self.lines}, self.lines)

    def connect(self) -> None:
        """Open one more connection, as soon as somebody listens."""
        if self.ending:
            return
        task = asyncio.ensure_future(self._connect())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: Line(self), LOOPBACK, self.port)
        except OSError:
            loop.call_later(AGAIN, self.connect)

    def _tick(self) -> None:
        now = time.monotonic()
        # What could not be sent is not caught up with in one burst.
        self._due = min(self._due + (now - self._at) * self._rate, float(self._connections))
        self._at = now
        while self._due >= 1.0 and self.idle:
            self._due -= 1.0
            self.sent += 1
            self.idle.popleft().send(self.again.popleft() if self.again else self._make())
        self._pacing = asyncio.get_running_loop().call_later(TICK, self._tick)

    def took(self, request: Request, status: int, head: bytes, body: bytes) -> None:
        self.statuses[status] += 1
        self._answered(request, status, head, body)

    def lost(self, request: Request) -> None:
        """Have it sent again, as real senders do."""
        self.again.append(request)


async def gone(transports: Mapping[object, asyncio.Transport | None], alive: Collection[object]) -> None:
    """Cut connections and wait until all have heard of it."""
    for transport in transports.values():
        if transport is not None:
            transport.abort()
    await aeventually(lambda: not alive)


Judge = Callable[[bytes, bytes], bytes]
"""Makes an answer of a request's head and body; nothing closes the connection without a word."""
FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Target(asyncio.Protocol):
    """One connection to a server."""

    def __init__(self, judge: Judge, alive: set[Target]) -> None:
        self.judge = judge
        self.alive = alive
        self.heard = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's has another base
        self.alive.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.alive.discard(self)

    def data_received(self, data: bytes) -> None:
        self.heard += data
        while True:
            head, mark, rest = self.heard.partition(b"\r\n\r\n")
            length = length_of(head)
            if not mark or len(rest) < length:
                return
            self.heard = rest[length:]
            answer = self.judge(head, rest[:length])
            if not answer:
                self.transport.abort()
                return
            self.transport.write(answer)


def length_of(head: bytes) -> int:
    """The length that a head gives its body."""
    lower = head.lower()
    at = lower.find(b"content-length:")
    return int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


@asynccontextmanager
async def listening(judge: Judge = lambda head, body: FINE) -> AsyncIterator[int]:
    """A server that answers as `judge` says, on the port that is given."""
    alive: set[Target] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Target(judge, alive), LOOPBACK, 0, backlog=512)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await gone({target: target.transport for target in alive}, alive)
