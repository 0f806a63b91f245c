"""What servers really serve: a TLS connection to every address for every name, and a look at the certificate."""

import asyncio
import errno
import hashlib
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from mainstay.certs.settings import CertificateSettings, Served
from mainstay.core.check import ResolveError
from mainstay.ports.clock import Clock

Resolve = Callable[[str], Awaitable[list[str]]]

ANSWER_WITHIN = 8.0
"""Seconds for one connection."""
AT_ONCE = 16
PAUSE = 0.5
"""Seconds between two looks while servers still reload."""
STEADY = 3
"""So many good looks in a row count as one: a server may have processes that still serve what was there before."""
NO_WAY = (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


@dataclass(frozen=True, slots=True)
class Seen:
    """What one address served for one name.

    `fingerprint` is None when there was no answer. With `no_way` this machine has no route of that kind (IPv6, mostly)
    and can say nothing.
    """

    name: str
    address: str
    fingerprint: str | None
    fault: str = ""
    no_way: bool = False

    @property
    def place(self) -> str:
        """Say for which name and where."""
        return f"{self.name} at {self.address}"


@dataclass(frozen=True, slots=True)
class Sight:
    """What all addresses served, compared with the certificate that they should."""

    seen: tuple[Seen, ...]
    wanted: str

    @property
    def right(self) -> bool:
        """Whether it was seen, and nothing else was."""
        known = [each for each in self.seen if not each.no_way]
        return bool(known) and all(each.fingerprint == self.wanted for each in known)

    def wrong(self) -> list[Seen]:
        """Give the places that served something else, or nothing."""
        return [each for each in self.seen if not each.no_way and each.fingerprint != self.wanted]

    def summary(self) -> str:
        """Say it in a sentence."""
        blind = [each.place for each in self.seen if each.no_way]
        left_out = f"; not reachable from here: {_few(blind)}" if blind else ""
        wrong = self.wrong()
        if not wrong and len(blind) == len(self.seen):
            return "it could not be looked at anywhere" + left_out
        if not wrong:
            good = [each.place for each in self.seen if not each.no_way]
            return f"served for {_few(good)}{left_out}"
        others = [each.place for each in wrong if each.fingerprint]
        dumb = [f"{each.place} ({each.fault})" for each in wrong if not each.fingerprint]
        parts = [f"another certificate is served for {_few(others)}"] if others else []
        parts += [f"no certificate is served for {_few(dumb)}"] if dumb else []
        return " and ".join(parts) + left_out


async def look(settings: CertificateSettings, wanted: str, resolve: Resolve) -> Sight:
    """Look once at every address of every name. Raises nothing: what cannot be seen is said in the sight."""
    served = settings.served
    assert isinstance(served, Served)  # noqa: S101 - nobody looks when it is unchecked
    targets, seen = await _targets(settings, served, resolve)
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(name: str, host: str, port: int) -> Seen:
        async with gate:
            return await _ask(name, host, port)

    seen += await asyncio.gather(*(one(*target) for target in targets))
    return Sight(tuple(seen), wanted)


async def watch(settings: CertificateSettings, wanted: str, resolve: Resolve, clock: Clock) -> Sight:
    """Look until it is seen everywhere, several times in a row, or its time is over."""
    assert isinstance(settings.served, Served)  # noqa: S101
    end = clock.monotonic() + settings.served.within
    good = 0
    while True:
        sight = await look(settings, wanted, resolve)
        good = good + 1 if sight.right else 0
        if good == STEADY or (not good and clock.monotonic() >= end):
            return sight
        await clock.sleep(PAUSE)


async def _targets(
    settings: CertificateSettings, served: Served, resolve: Resolve
) -> tuple[list[tuple[str, str, int]], list[Seen]]:
    """Give (name, host, port) of every connection, and what could not be resolved."""
    targets: list[tuple[str, str, int]] = []
    lost: list[Seen] = []
    for name in served.names or _asked(settings.names):
        for place in served.addresses or [name]:
            host, port = _split(place, served.port)
            try:
                found = await resolve(host)
                targets += [(name, address, port) for address in found]
            except ResolveError as fault:
                lost.append(Seen(name, host, None, str(fault)))
    return targets, lost


def _asked(names: Sequence[str]) -> Iterable[str]:
    """Give the names to ask for; a wildcard has no address, so any name that it covers stands for it."""
    plain = [name for name in names if not name.startswith("*.")]
    return plain or [f"mainstay-looks.{name.removeprefix('*.')}" for name in names]


def _split(place: str, port: int) -> tuple[str, int]:
    if place.startswith("["):
        host, _, rest = place[1:].partition("]")
        return host, int(rest[1:]) if rest else port
    host, colon, given = place.rpartition(":")
    return (host, int(given)) if colon and ":" not in host else (place, port)


async def _ask(name: str, host: str, port: int) -> Seen:
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        async with asyncio.timeout(ANSWER_WITHIN):
            _, writer = await asyncio.open_connection(host, port, ssl=_blind(), server_hostname=name)
    except TimeoutError:
        return Seen(name, address, None, f"no answer within {ANSWER_WITHIN:g} s")
    except ssl.SSLError as fault:
        return Seen(name, address, None, f"no TLS: {(fault.reason or str(fault)).replace('_', ' ').lower()}")
    except OSError as fault:
        reason = (fault.strerror or str(fault)).lower()
        return Seen(name, address, None, reason, no_way=fault.errno in NO_WAY)
    found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return Seen(name, address, hashlib.sha256(found).hexdigest())


@cache
def _blind() -> ssl.SSLContext:
    """Trust anybody: what is served is compared with what should be, byte by byte."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _few(places: Sequence[str], most: int = 4) -> str:
    shown = ", ".join(places[:most])
    return shown if len(places) <= most else f"{shown} and {len(places) - most} more"
