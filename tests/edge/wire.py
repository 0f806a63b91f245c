"""A connection without a kernel: what is fed is taken at once, what is answered is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from mainstay.edge.http.connection import Connection
from mainstay.edge.http.server import Server
from mainstay.ports.clock import FakeClock
from tests.edge.door import SMALL, Ledger


class Wire(asyncio.Transport):
    """The transport's side. Its buffer is always empty, as with a client that reads at once."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.1", 1) if name == "peername" else default

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.sent += data

    def write_eof(self) -> None:
        self.closed = True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def quiet(ledger: Ledger) -> None:
    """Let everything happen that is to happen soon."""
    loop = asyncio.get_running_loop()
    still = 0
    while still < 3:
        before = len(ledger.seen)
        done = loop.create_future()
        loop.call_soon(done.set_result, None)
        await done
        still = still + 1 if before == len(ledger.seen) else 0


async def feed(pieces: Iterable[bytes]) -> tuple[Ledger, Wire]:
    """Give a fresh connection these bytes, one piece after the other, until it closes."""
    ledger, wire = Ledger(), Wire()
    connection = Connection(Server(ledger, FakeClock(), SMALL))
    connection.connection_made(wire)
    for piece in pieces:
        if wire.closed:
            break
        connection.data_received(piece)
        await quiet(ledger)
    connection.connection_lost(None)
    return ledger, wire
