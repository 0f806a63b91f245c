"""One origin: its address, its connections, and how it is doing."""

import asyncio
import ssl
from dataclasses import dataclass
from math import inf
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from mainstay.core.errors import ConfigError
from mainstay.edge.gateway.settings_origin import CarrySettings
from mainstay.edge.http.accesslog import said
from mainstay.edge.http.memory import Memory
from mainstay.edge.proxy.answerhead import ROOM, Heads
from mainstay.edge.proxy.ticker import TICK, Ticker
from mainstay.edge.proxy.upstream import Upstream

LONGEST_EJECTION: Final = 60.0
FRESH: Final = 1.0
"""A request that cannot be repeated goes out on a connection that was used so many seconds ago at most."""

TAKING: Final = ("up", "trial")
"""States in which an origin gets requests."""
UNREACHED: Final = {"refused": "it takes no connection", "timeout": "no connection in time"}
REASONS: Final = UNREACHED | {
    "lost": "it closed the connection",
    "silent": "it gave no answer in time",
    "answer": "it does not speak HTTP",
    "head": "the head of its answer is too large",
}
"""What went wrong with an origin, in words for people."""


class Waiting(Protocol):
    """Who waits for a new connection."""

    def connected(self, upstream: Upstream) -> None:
        """Here it is."""
        ...

    def unreachable(self, why: str) -> None:
        """It cannot be had: `refused` or `timeout`."""
        ...


@dataclass(slots=True)
class Tally:
    """What an origin has done since it was taken up."""

    requests: int = 0
    failures: int = 0
    connects: int = 0
    ejections: int = 0
    unsolicited: int = 0


class Origin:
    """A server that requests are sent to. Its connections are used last in, first out."""

    def __init__(self, url: str, carry: CarrySettings, ticker: Ticker) -> None:
        """Raises `ConfigError` when its authorities cannot be read."""
        parts = urlsplit(url)
        self.url = url
        self.noted = said("origin", url)
        """What the access log says of it."""
        self.carry = carry
        self.ticker = ticker
        self.heads: Heads = Memory(ROOM)
        self.hostname = parts.hostname or ""
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.authority = parts.netloc.encode()
        self.tls = context_of(carry) if parts.scheme == "https" else None
        self.active = 0
        """Requests under way."""
        self.healthy: bool | None = None
        """What the health check last said; None before it was asked, or without one."""
        self.bad_answers = 0
        self.ejected_until = -inf
        self.tally = Tally()
        self.since = ticker.clock.now()
        """Since when it is well, or not; seconds since 1970."""
        self.at: float | None = None
        """When it was last heard of, or not heard of: by a request (to a tick) or a health check."""
        self.detail = ""
        """What was last wrong with it."""
        self.failed_at: float | None = None
        self.unreached = False
        """Whether that was that it could not be connected to."""
        self._well = True
        self._seen = 0
        self._streak = self._ejections = 0
        self._idle: list[Upstream] = []
        self._open: set[Upstream] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.draining = False
        ticker.call(self, self._sweep)

    # Connections.

    def take(self, *, fresh: bool) -> Upstream | None:
        """Give an unused connection, or None; a `fresh` one has been in use a moment ago."""
        idle = self._idle
        while idle:
            if fresh and self.ticker.now - idle[-1].touched > FRESH:
                return None
            upstream = idle.pop()
            if upstream.quiet:
                return upstream
            upstream.transport.abort()
        return None

    def connect(self, waiting: Waiting) -> None:
        """Make a new connection; `waiting` is told in a later turn of the loop."""
        task = asyncio.get_running_loop().create_task(self._connect(waiting))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, waiting: Waiting) -> None:
        try:
            upstream = await self.dial()
        except TimeoutError:
            waiting.unreachable("timeout")
        except (OSError, ValueError):  # an ssl.SSLError is the former, a name that cannot be one the latter
            waiting.unreachable("refused")
        else:
            waiting.connected(upstream)

    async def dial(self) -> Upstream:
        """Give a new connection; raises `TimeoutError` and `OSError`."""
        loop = asyncio.get_running_loop()
        options: dict[str, Any] = {}
        if self.tls is not None:
            options = {"ssl": self.tls, "server_hostname": self.hostname}
        async with asyncio.timeout(self.carry.connect):
            _, upstream = await loop.create_connection(
                lambda: Upstream(self), self.hostname, self.port, **options
            )
        self.tally.connects += 1
        self._open.add(upstream)
        return upstream

    def free(self, upstream: Upstream) -> None:
        """Keep a connection for the next request, unless there are enough."""
        if self.draining or len(self._idle) >= self.carry.keep:
            upstream.transport.abort()
        else:
            self._idle.append(upstream)

    def gone(self, upstream: Upstream) -> None:
        """Forget a connection that was closed."""
        self._open.discard(upstream)
        if upstream in self._idle:
            self._idle.remove(upstream)

    @property
    def connections(self) -> int:
        """Connections that are open, used or not."""
        return len(self._open)

    def retire(self) -> None:
        """Take no more requests; those under way go on."""
        self.draining = True
        for upstream in self._idle[:]:
            upstream.close()
        self._idle.clear()

    def close(self) -> None:
        """Cut everything."""
        self.retire()
        self.ticker.drop(self)
        for task in self._tasks:
            task.cancel()
        for upstream in list(self._open):
            upstream.expired()

    def _sweep(self, now: float) -> None:
        """Close what was silent for too long. A moment more than that, never less."""
        if self._seen != self.tally.requests + self.tally.failures:
            self._seen = self.tally.requests + self.tally.failures
            self.at = self.ticker.clock.now()
        keep_for = self.carry.keep_for
        for upstream in list(self._open):
            silent = now - upstream.touched - TICK
            if upstream.asker is None:
                if silent > min(keep_for, upstream.idle_limit) and upstream in self._idle:
                    self._idle.remove(upstream)
                    upstream.close()
            elif silent > upstream.patience:
                upstream.expired()

    # How it is doing.

    def usable(self, now: float) -> bool:
        """Whether nothing speaks against it."""
        return self.healthy is not False and self.ejected_until <= now

    @property
    def full(self) -> bool:
        """Whether it has as many requests as it may have."""
        return self.active >= self.carry.connections

    def succeeded(self) -> None:
        """An answer has come: it lives."""
        if self._streak:
            self._streak = self._ejections = 0
            self.ejected_until = -inf
            self._turn()

    def failed(self, why: str = "") -> None:
        """No answer has come; after some of these it is left alone for a while, longer each time."""
        self.tally.failures += 1
        self._blame(why)
        if self.ejected_until > self.ticker.now:
            return  # those which were under way say nothing new
        self._streak += 1
        if self._streak >= self.carry.eject_after:
            self.ejected_until = self.ticker.now + min(LONGEST_EJECTION, 2.0 ** min(self._ejections, 10))
            self._ejections += 1
            self.tally.ejections += 1
            self._turn()

    def examined(self, why: str, fails: int) -> None:
        """Take what a health check heard, "" when all is well: `fails` bad ones in a row take it out, a good one in."""
        self.at = self.ticker.clock.now()
        if not why:
            self.healthy, self.bad_answers = True, 0
        else:
            self.bad_answers += 1
            self._blame(why)
            if self.bad_answers >= fails or self.healthy is None:
                self.healthy = False
        self._turn()

    def looked_at(self, why: str) -> None:
        """Take whether it can be connected to now, "" when it can: that mends what could not be, and nothing else."""
        self.at = self.ticker.clock.now()
        if why:
            self._blame(why)
        elif self.unreached:
            self.succeeded()

    def _blame(self, why: str) -> None:
        self.at = self.failed_at = self.ticker.clock.now()
        self.detail = REASONS.get(why, why)
        self.unreached = self.detail in UNREACHED.values()

    def _turn(self) -> None:
        """Note since when it is as it is: from one trial to the next a failing one stays the same."""
        well = self.healthy is not False and not self._ejections
        if well is not self._well:
            self._well, self.since = well, self.ticker.clock.now()

    def state(self) -> str:
        """In a word: `up`, `down` (its health check says so), `ejected`, `trial` (it gets requests again, and none has
        been answered yet), `draining`."""
        if self.draining:
            return "draining"
        if self.healthy is False:
            return "down"
        if self.ejected_until > self.ticker.now:
            return "ejected"
        return "trial" if self._ejections else "up"


def context_of(carry: CarrySettings) -> ssl.SSLContext:
    """Give what TLS with an origin is spoken with. Raises `ConfigError` when its authorities cannot be read."""
    try:
        context = ssl.create_default_context(cafile=str(carry.ca) if carry.ca else None)
    except OSError as fault:  # which an ssl.SSLError is, too
        why = "this holds no certificate" if isinstance(fault, ssl.SSLError) else fault.strerror
        raise ConfigError(f"{carry.ca}: {why}", hint="carry.ca of a route is a PEM file") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
