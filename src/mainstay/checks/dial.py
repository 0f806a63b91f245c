"""A fresh connection for a probe: names resolved by the place, addresses raced, each phase timed."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from mainstay.core.check import Place
from mainstay.engine.guard import OWN_TROUBLE

P = TypeVar("P", bound=asyncio.Protocol)
Phases = dict[str, float]
"""Seconds that each phase took: `dns`, `connect`, `tls`, `first_byte`, in the order in which they happened."""

HEAD_START = 0.25
"""Seconds that an address has for itself before the next one is tried beside it (RFC 8305, section 5)."""


async def dial(
    place: Place,
    host: str,
    port: int,
    protocol: Callable[[], P],
    phases: Phases,
    *,
    tls: ssl.SSLContext | None = None,
    server_name: str | None = None,
) -> tuple[asyncio.Transport, P]:
    """Connect to `host`; raises `ResolveError`, `OSError` and `ssl.SSLError`. Time-outs are the caller's."""
    addresses = await _timed(place, phases, "dns", place.resolve(host, port))
    transport, made = await _timed(place, phases, "connect", _connect(addresses, port, protocol))
    if tls is None:
        return transport, made
    try:
        secured = await _timed(place, phases, "tls", _secure(transport, made, tls, server_name or host))
    except BaseException:
        transport.abort()
        raise
    return secured, made


T = TypeVar("T")


async def _timed(place: Place, phases: Phases, name: str, work: Awaitable[T]) -> T:
    # The entry is made before the work, so that the last one of an unfinished dial is where it hangs.
    phases[name] = began = place.monotonic()
    try:
        return await work
    finally:
        phases[name] = round(place.monotonic() - began, 6)


async def _connect(addresses: list[str], port: int, protocol: Callable[[], P]) -> tuple[asyncio.Transport, P]:
    loop = asyncio.get_running_loop()
    if len(addresses) == 1:
        return await loop.create_connection(protocol, addresses[0], port)
    attempts: list[asyncio.Task[tuple[asyncio.Transport, P]]] = []
    waiting = list(addresses)
    try:
        while True:
            if waiting:
                attempts.append(asyncio.create_task(loop.create_connection(protocol, waiting.pop(0), port)))
            running = [attempt for attempt in attempts if not attempt.done()]
            if running:
                pause = HEAD_START if waiting else None
                await asyncio.wait(running, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            for attempt in attempts:
                if attempt.done() and attempt.exception() is None:
                    attempts.remove(attempt)
                    return attempt.result()
            if not waiting and all(attempt.done() for attempt in attempts):
                raise _most_telling([attempt.exception() for attempt in attempts])
    finally:
        for attempt in attempts:
            await _drop(attempt)


async def _drop(attempt: "asyncio.Task[tuple[asyncio.Transport, P]]") -> None:
    attempt.cancel()
    with suppress(asyncio.CancelledError, OSError):
        transport, _ = await attempt
        transport.abort()


def _most_telling(faults: list[BaseException | None]) -> BaseException:
    """Prefer what says something about the service to what says something about us."""
    real = [fault for fault in faults if fault is not None]
    theirs = [fault for fault in real if not (isinstance(fault, OSError) and fault.errno in OWN_TROUBLE)]
    return (theirs or real)[0]


async def _secure(
    transport: asyncio.Transport, protocol: asyncio.Protocol, context: ssl.SSLContext, name: str
) -> asyncio.Transport:
    loop = asyncio.get_running_loop()
    secured = await loop.start_tls(transport, protocol, context, server_hostname=name)
    if secured is None:
        raise ConnectionResetError("closed during the TLS handshake")
    return secured
