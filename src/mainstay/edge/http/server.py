"""Listens, keeps the deadlines of all connections, and ends in order."""

import asyncio
import logging
import socket
import ssl
from contextlib import suppress
from email.utils import formatdate
from typing import Final, Protocol

from mainstay.edge.http.burst import Burst
from mainstay.edge.http.connection import Connection
from mainstay.edge.http.exchange import Handler
from mainstay.edge.http.head import Blocks, Refused
from mainstay.edge.http.limits import Limits
from mainstay.edge.http.problem import HEADERS, problem, refuse
from mainstay.edge.http.trust import Trust
from mainstay.edge.http.turn import ENDED, Turn, first_line
from mainstay.ports.clock import Clock

logger = logging.getLogger(__name__)

TICK: Final = 1.0
"""Seconds at most between two looks at the deadlines; also how old a Date may be."""
BACKLOG: Final = 4096
ERRORS: Final = {
    408: "too_slow", 413: "too_large", 414: "target_too_long", 417: "expectation", 431: "head_too_long",
    501: "unknown_method", 503: "too_many_connections", 505: "unknown_version",
}  # fmt: skip
"""The words for what is refused before anybody is asked; anything else is `malformed`."""


class Observer(Protocol):
    """Hears what became of requests: metrics and the access log."""

    def ended(self, turn: Turn, seconds: float, cut: bool) -> None:
        """A request has its answer; or it will not get a whole one (`cut`)."""
        ...

    def refused(self, address: str, refusal: Refused) -> None:
        """A client was sent away before any handler saw its request."""
        ...

    def connections(self, count: int) -> None:
        """So many connections are open now."""
        ...


class Silent:
    """Hears nothing."""

    def ended(self, turn: Turn, seconds: float, cut: bool) -> None:
        pass

    def refused(self, address: str, refusal: Refused) -> None:
        pass

    def connections(self, count: int) -> None:
        pass


class Server:
    """Carries requests to one handler, which may be replaced at any time."""

    def __init__(
        self,
        handler: Handler,
        clock: Clock,
        limits: Limits | None = None,
        trust: Trust | None = None,
        observer: Observer | None = None,
        *,
        alike: bool = True,
    ) -> None:
        """With `alike`, header lines that come again are remembered instead of read once more."""
        self.handler = handler
        self.clock = clock
        self.limits = limits or Limits()
        self.trust = trust or Trust(())
        self.draining = False
        self.served = 0
        """Requests so far."""
        self.sent_away = 0
        """Clients that were refused before any handler saw their request."""
        self.burst = Burst()
        """What is to be sent at the end of this round of the loop."""
        self.blocks = Blocks() if alike else None
        self._observer = observer or Silent()
        self._connections: set[Connection] = set()
        self._leads: dict[int, bytes] = {}
        self._date = b""
        self._listening: asyncio.Server | None = None
        self._socket: socket.socket | None = None
        self._ticking: asyncio.Task[None] | None = None
        self._empty = asyncio.Event()

    # --- life

    async def listen(self, on: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Take connections from a bound socket, which belongs to the server now. Again: with another TLS context."""
        loop = asyncio.get_running_loop()
        before, self._socket = (self._listening, self._socket), on
        self._listening = await loop.create_server(
            lambda: Connection(self),
            sock=on.dup(),
            ssl=tls,
            backlog=BACKLOG,
            ssl_handshake_timeout=self.limits.head_timeout if tls else None,
        )
        if before[0] is not None:
            before[0].close()
        if before[1] is not None and before[1] is not on:
            before[1].close()
        if self._ticking is None:
            self._stamp()
            self._ticking = asyncio.create_task(self._tick())

    async def secure(self, tls: ssl.SSLContext | None) -> None:
        """Go on with other certificates: connections that stand keep theirs."""
        if self._socket is not None and not self.draining:
            await self.listen(self._socket, tls)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        if self._socket is None:
            raise RuntimeError("it does not listen")
        host, port = self._socket.getsockname()[:2]
        return host, port

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    @property
    def buffered(self) -> int:
        """Bytes that wait in memory to be taken by a handler."""
        return sum(connection.waiting for connection in self._connections)

    def under_way(self) -> set[Turn]:
        """Give the requests whose answers are not whole."""
        turns = (connection.turn for connection in self._connections)
        return {turn for turn in turns if turn is not None and turn.state is not ENDED}

    @property
    def taken(self) -> int:
        """Bytes that the connections which stand have sent."""
        return sum(connection.taken for connection in self._connections)

    async def drain(self, patience: float) -> bool:
        """Take no more connections, finish what is under way, and end; False when somebody had to be cut off."""
        self.draining = True
        self.deafen()
        for connection in tuple(self._connections):
            connection.drain()
        if self._connections:
            self._empty.clear()
            waiting = [
                asyncio.create_task(self._empty.wait()),
                asyncio.create_task(_nap(self.clock, patience)),
            ]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()
        clean = not self._connections
        await self.close()
        return clean

    async def close(self) -> None:
        """End at once."""
        self.deafen()
        for connection in tuple(self._connections):
            connection.abort()
        if self._ticking is not None:
            self._ticking.cancel()
            with suppress(asyncio.CancelledError):
                await self._ticking
            self._ticking = None
        while self._connections:
            self._empty.clear()
            await self._empty.wait()

    def deafen(self) -> None:
        """Take no more connections."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def _tick(self) -> None:
        limits = self.limits
        pause = min(TICK, limits.head_timeout / 4, limits.body_timeout / 4, limits.idle_timeout / 4)
        while True:
            await self.clock.sleep(max(0.01, pause))
            self._stamp()
            now = self.clock.monotonic()
            for connection in [each for each in self._connections if 0.0 < each.deadline <= now]:
                try:
                    connection.overdue()
                except Exception:
                    logger.exception("a connection could not be ended")

    # --- called by connections

    def welcome(self, connection: Connection) -> bool:
        """Count a connection; False when there are too many."""
        self._connections.add(connection)
        self._observer.connections(len(self._connections))
        return len(self._connections) <= self.limits.connections

    def farewell(self, connection: Connection) -> None:
        """A connection is closed."""
        self._connections.discard(connection)
        self._observer.connections(len(self._connections))
        if not self._connections:
            self._empty.set()

    def lead(self, status: int) -> bytes:
        """Give the first two lines of an answer: the status and the date."""
        lead = self._leads.get(status)
        if lead is None:
            lead = self._leads[status] = first_line(status) + self._date
        return lead

    def refusal(self, refusal: Refused) -> bytes:
        """Give the whole answer to somebody who is sent away."""
        body = problem(refusal.status, ERRORS.get(refusal.status, "malformed"), refusal.why)
        lines = b"".join(b"%b: %b\r\n" % header for header in HEADERS)
        retry = b"Retry-After: 1\r\n" if refusal.status == 503 else b""
        return b"%b%bContent-Length: %d\r\n%bConnection: close\r\n\r\n%b" % (
            self.lead(refusal.status),
            lines,
            len(body),
            retry,
            body,
        )

    def ended(self, turn: Turn, cut: bool = False) -> float:
        """A request has its answer, or will not get one; gives the time on the monotonic clock."""
        self.served += 1
        now = self.clock.monotonic()
        self._observer.ended(turn, now - turn.began, cut)
        return now

    def broken(self, turn: Turn) -> None:
        """Answer in the place of a handler that cannot."""
        turn.keep = False
        refuse(turn, 500, "internal", "this is a fault of the server, which has noted it")

    def refused(self, connection: Connection, refusal: Refused) -> None:
        """Somebody was sent away."""
        self.sent_away += 1
        self._observer.refused(connection.address, refusal)

    def _stamp(self) -> None:
        date = b"Date: %b\r\n" % formatdate(self.clock.now(), usegmt=True).encode()
        if date != self._date:
            self._date = date
            self._leads.clear()


async def _nap(clock: Clock, seconds: float) -> None:
    await clock.sleep(seconds)
