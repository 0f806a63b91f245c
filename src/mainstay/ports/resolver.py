"""Names of hosts, resolved so that a name server that hangs delays nobody but those who ask for that very name."""

import asyncio
import functools
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from mainstay.core.check import ResolveError
from mainstay.ports.clock import Clock
from mainstay.ports.threads import Threads

Lookup = Callable[[str], list[str]]
"""Blocks until it has the addresses of a host; raises `ResolveError`."""

CAP = 2.5
KEEP = 30.0
THREADS = 48
SLOW_THREADS = 16

_DEFINITE = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


def system_lookup(host: str) -> list[str]:
    """Ask as the machine is set up to: its hosts file, its name servers, in its order (getaddrinfo(3))."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror as fault:
        if fault.errno in _DEFINITE:
            raise ResolveError(f"there is no host named {host}", definite=True) from None
        reason = fault.strerror or "no reason given"
        raise ResolveError(f"the name server gave no answer for {host}: {reason}", definite=False) from None
    except UnicodeError:
        raise ResolveError(f"{host} is not a name that a host can have", definite=True) from None
    except OSError as fault:  # no descriptor left, no memory
        raise ResolveError(
            f"{host} could not be looked up: {fault.strerror or fault}", definite=False
        ) from None
    return list(dict.fromkeys(str(address[4][0]) for address in found))


@functools.lru_cache(maxsize=4096)
def literal(host: str) -> str | None:
    """Give the address that `host` already is, without brackets, or None for a name."""
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    return bare


@functools.lru_cache(maxsize=4096)
def is_loopback(host: str) -> bool:
    """Say whether the host is this machine by its very name (RFC 6761, section 6.3) or address."""
    name = host.rstrip(".").lower()
    address = literal(host)
    if address is not None:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    return name == "localhost" or name.endswith(".localhost")


@dataclass(slots=True)
class _Asking:
    """A lookup under way; `started` once a thread has taken it up."""

    started: bool = False
    answer: "asyncio.Future[list[str]]" = field(init=False)


class Resolver:
    """Looks names up on threads of its own.

    Those who ask for one name at the same time share one lookup. After `cap` seconds the asker is told that there is
    no answer (`ResolveError(definite=False)`) while the lookup may go on. A name that hung once is looked up on a
    few threads apart until it answers again, so that names that hang never take the threads that others need.
    Addresses are kept for `keep` seconds; faults are not kept.
    """

    def __init__(
        self, clock: Clock, lookup: Lookup = system_lookup, *, cap: float = CAP, keep: float = KEEP
    ) -> None:
        self._clock = clock
        self._lookup = lookup
        self._cap = cap
        self._keep = keep
        self._threads = Threads(THREADS, "resolver")
        self._slow_threads = Threads(SLOW_THREADS, "resolver-slow")
        self._asking: dict[str, _Asking] = {}
        self._known: dict[str, tuple[list[str], float]] = {}
        self._hung: set[str] = set()

    async def resolve(self, host: str, *, fresh: bool = False) -> list[str]:
        """Give the addresses of `host` in the order to try them; `fresh` does not take kept ones."""
        address = literal(host)
        if address is not None:
            return [address]
        if is_loopback(host):
            return ["127.0.0.1", "::1"]
        addresses, until = self._known.get(host, ([], 0.0))
        if addresses and not fresh and self._clock.monotonic() < until:
            return addresses
        asking = self._asking.get(host) or self._ask(host)
        return await self._wait(host, asking)

    async def _wait(self, host: str, asking: _Asking) -> list[str]:
        try:
            async with asyncio.timeout(self._cap):
                return await asyncio.shield(asking.answer)
        except TimeoutError:
            if asking.started:
                self._hung.add(host)
            raise ResolveError(
                f"the name server did not answer for {host} within {self._cap:g}s", definite=False
            ) from None

    def _ask(self, host: str) -> _Asking:
        def work() -> list[str]:
            asking.started = True
            return self._lookup(host)

        asking = self._asking[host] = _Asking()
        asking.answer = (self._slow_threads if host in self._hung else self._threads).call(work)
        began = self._clock.monotonic()
        asking.answer.add_done_callback(lambda answer: self._answered(host, answer, began))
        return asking

    def _answered(self, host: str, answer: "asyncio.Future[list[str]]", began: float) -> None:
        self._asking.pop(host, None)
        now = self._clock.monotonic()
        if now - began < self._cap:
            self._hung.discard(host)
        if not answer.cancelled() and answer.exception() is None:
            self._known[host] = (answer.result(), now + self._keep)
