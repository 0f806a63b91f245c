"""Does a port answer?"""

import asyncio
from typing import Annotated

from pydantic import AfterValidator, Field

from mainstay.checks.dial import Phases, dial
from mainstay.checks.faults import bounded, split_address
from mainstay.core.check import Answer, Check, Place
from mainstay.core.units import format_duration

MOST = 64 * 1024


def _address(text: str) -> str:
    split_address(text)
    return text


Address = Annotated[str, AfterValidator(_address), Field(examples=["example.com:5432"])]
"""`host:port`; an IPv6 address in brackets."""


class _Listener(asyncio.Protocol):
    """Collects what comes until `wanted` was in it, or the connection ends."""

    def __init__(self, wanted: bytes) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.heard = b""
        self._wanted = wanted

    def data_received(self, data: bytes) -> None:
        self.heard = (self.heard + data)[:MOST]
        if self._wanted in self.heard or len(self.heard) == MOST:
            self._end()

    def connection_lost(self, fault: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


class TcpCheck(Check, type="tcp", shorthand="address"):
    """Connects to a port; with `send` and `expect` it also talks. Facts: the seconds of each phase."""

    address: Address
    """Where to connect: `host:port`."""
    send: str | None = None
    """Text to send once connected; write `\\r\\n` where the protocol wants it."""
    expect: str | None = None
    """Text that must come back within `timeout`."""

    def host(self) -> str | None:
        return split_address(self.address)[0]

    def target(self) -> str:
        return self.address

    async def probe(self, place: Place) -> Answer:
        phases: Phases = {}
        return await bounded(self._ask(place, phases), self.timeout, phases, self.address)

    async def _ask(self, place: Place, phases: Phases) -> Answer:
        began = place.monotonic()
        host, port = split_address(self.address)
        wanted = (self.expect or "").encode()
        transport, listener = await dial(place, host, port, lambda: _Listener(wanted), phases)
        try:
            if self.send is not None:
                transport.write(self.send.encode())
            if self.expect is not None:
                phases["first_byte"] = since = place.monotonic()
                await listener.ended
                phases["first_byte"] = round(place.monotonic() - since, 6)
        finally:
            transport.abort()
        if wanted not in listener.heard:
            heard = listener.heard[:80].decode(errors="backslashreplace")
            return Answer.fail(f"expected {self.expect!r}, got {heard!r}", cause="answer", **phases)
        return Answer.ok(f"answers in {format_duration(place.monotonic() - began)}", **phases)
