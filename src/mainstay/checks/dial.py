"""A fresh connection for a probe: names resolved by the place, addresses raced, each phase timed."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from mainstay.core.check import Place
from mainstay.engine.guard import OWN_TROUBLE

P = TypeVar("P", bound=asyncio.Protocol)
T = TypeVar("T")
Attempt: TypeAlias = "asyncio.Task[tuple[asyncio.Transport, P]]"

HEAD_START = 0.25
"""Seconds that an address has for itself before the next one is tried beside it (RFC 8305, section 5)."""


@dataclass(slots=True)
class Trail:
    """How far a probe has come: whom it is talking to, and the seconds of each phase, the last one unfinished."""

    where: str
    """`host:port`, or a socket's path."""
    name: str = ""
    """The name expected in the certificate."""
    phases: dict[str, float] = field(default_factory=dict)
    """`dns`, `connect`, `tls`, `first_byte`, in the order in which they happen."""

    def start(self, where: str, name: str = "") -> None:
        """Begin anew with somebody."""
        self.where, self.name, self.phases = where, name, {}

    @property
    def phase(self) -> str:
        """What it was doing last."""
        return next(reversed(self.phases), "dns")

    async def time(self, place: Place, phase: str, work: Awaitable[T]) -> T:
        """Do one phase."""
        # Entered before the work is done, so that a phase that hangs is seen to be the last one.
        self.phases[phase] = 0.0
        began = place.monotonic()
        try:
            return await work
        finally:
            self.phases[phase] = round(place.monotonic() - began, 6)


async def dial(
    place: Place,
    host: str,
    port: int,
    protocol: Callable[[], P],
    trail: Trail,
    *,
    tls: ssl.SSLContext | None = None,
    server_name: str | None = None,
) -> tuple[asyncio.Transport, P]:
    """Connect to `host`; raises `ResolveError`, `OSError` and `ssl.SSLError`. Time-outs are the caller's."""
    name = server_name or host
    trail.start(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", name)
    addresses = await trail.time(place, "dns", place.resolve(host, port))
    if tls is None:
        return await trail.time(place, "connect", _connect(addresses, port, protocol))
    transport, before = await trail.time(place, "connect", _connect(addresses, port, _BeforeTls))
    made = protocol()
    try:
        return await trail.time(place, "tls", _secure(transport, before, made, tls, name)), made
    except BaseException:
        transport.abort()
        raise


async def dial_socket(
    place: Place, path: str, protocol: Callable[[], P], trail: Trail
) -> tuple[asyncio.Transport, P]:
    """Connect to a socket in the file system; raises `OSError`."""
    loop = asyncio.get_running_loop()
    trail.start(path)
    return await trail.time(place, "connect", loop.create_unix_connection(protocol, path))


async def _connect(addresses: list[str], port: int, protocol: Callable[[], P]) -> tuple[asyncio.Transport, P]:
    loop = asyncio.get_running_loop()
    if len(addresses) == 1:
        return await loop.create_connection(protocol, addresses[0], port)
    attempts: list[Attempt[P]] = []
    try:
        for address in addresses:
            attempts.append(asyncio.create_task(loop.create_connection(protocol, address, port)))
            last = len(attempts) == len(addresses)
            if (winner := await _first(attempts, None if last else HEAD_START)) is not None:
                attempts.remove(winner)
                return winner.result()
        raise _most_telling([attempt.exception() for attempt in attempts])
    finally:
        for attempt in attempts:
            await _drop(attempt)


async def _first(attempts: "list[Attempt[P]]", patience: float | None) -> "Attempt[P] | None":
    """Wait for the first attempt to succeed, for the latest one to fail, or for the head start to be over.

    Without `patience` wait until one has succeeded or all have failed.
    """
    while True:
        for attempt in attempts:
            if attempt.done() and attempt.exception() is None:
                return attempt
        running = [attempt for attempt in attempts if not attempt.done()]
        if not running or (patience is not None and attempts[-1].done()):
            return None
        done, _ = await asyncio.wait(running, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            return None


async def _drop(attempt: "Attempt[P]") -> None:
    attempt.cancel()
    with suppress(asyncio.CancelledError, OSError):
        transport, _ = await attempt
        transport.abort()


def _most_telling(faults: list[BaseException | None]) -> BaseException:
    """Prefer what says something about the service to what says something about us."""
    real = [fault for fault in faults if fault is not None]
    theirs = [fault for fault in real if not (isinstance(fault, OSError) and fault.errno in OWN_TROUBLE)]
    return (theirs or real)[0]


class _BeforeTls(asyncio.Protocol):
    """Stands on the connection until TLS does: what is said before is never taken for an answer."""

    def __init__(self) -> None:
        self.heard = False

    def data_received(self, data: bytes) -> None:
        self.heard = True


async def _secure(
    transport: asyncio.Transport,
    before: _BeforeTls,
    protocol: asyncio.Protocol,
    context: ssl.SSLContext,
    name: str,
) -> asyncio.Transport:
    if before.heard:
        raise ssl.SSLError("wrong version number: it spoke before the handshake")
    loop = asyncio.get_running_loop()
    secured = await loop.start_tls(transport, protocol, context, server_hostname=name)
    if secured is None:
        raise ConnectionResetError("closed during the TLS handshake")
    return secured
