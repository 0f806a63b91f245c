"""Does a port answer?"""

from typing import Annotated

from pydantic import AfterValidator, Field

from mainstay.checks.dial import Trail, dial
from mainstay.checks.faults import bounded, split_address
from mainstay.checks.talk import Talk
from mainstay.core.check import Answer, Check, Place
from mainstay.core.units import format_duration


def _address(text: str) -> str:
    split_address(text)
    return text


Address = Annotated[str, AfterValidator(_address), Field(examples=["example.com:5432"])]
"""`host:port`; an IPv6 address in brackets."""


class TcpCheck(Check, type="tcp", shorthand="address"):
    """Connects to a port; with `send` and `expect` it also talks. Facts: the seconds of each phase."""

    address: Address
    """Where to connect: `host:port`."""
    send: str | None = None
    """Text to send once connected; write `"...\\r\\n"` where the protocol wants it."""
    expect: str | None = None
    """Text that must come back within `timeout`."""

    def host(self) -> str | None:
        return split_address(self.address)[0]

    def target(self) -> str:
        return self.address

    async def probe(self, place: Place) -> Answer:
        trail = Trail(self.address)
        return await bounded(self._ask(place, trail), self.timeout, trail)

    async def _ask(self, place: Place, trail: Trail) -> Answer:
        began = place.monotonic()
        host, port = split_address(self.address)
        transport, talk = await dial(place, host, port, Talk, trail)
        try:
            if self.send is not None:
                transport.write(self.send.encode())
            if self.expect is not None:
                await trail.time(place, "first_byte", talk.until(self.expect.encode()))
        except ConnectionResetError:
            heard = talk.heard()[:80].decode(errors="backslashreplace")
            detail = f"expected {self.expect!r}, got {heard!r} and the end of the connection"
            return Answer.fail(detail, cause="answer", **trail.phases)
        finally:
            transport.abort()
        return Answer.ok(f"answers in {format_duration(place.monotonic() - began)}", **trail.phases)
