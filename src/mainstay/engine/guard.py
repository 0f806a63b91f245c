"""What stands between an answer and a red light: the monitor's own troubles are never the service's fault."""

import asyncio
import errno
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mainstay.core.check import Answer, ResolveError, Verdict
from mainstay.core.units import format_duration
from mainstay.ports.clock import Clock
from mainstay.ports.resolver import is_loopback

OWN_TROUBLE = {
    errno.ENETUNREACH: "no route leads there from this machine",
    errno.ENETDOWN: "the network of this machine is down",
    errno.EADDRNOTAVAIL: "this machine has no address or port left to connect from",
    errno.EMFILE: "mainstay has no file descriptor left",
    errno.ENFILE: "this machine has no file descriptor left",
    errno.ENOBUFS: "this machine has no network buffers left",
    errno.ENOMEM: "this machine has no memory left",
    errno.EPERM: "this machine does not permit it",
    errno.EACCES: "this machine does not permit it",
}
"""Errors of the operating system that say something about us and nothing about the service."""

_THEIRS = {
    errno.ECONNREFUSED: "connection refused by {where}",
    errno.ECONNRESET: "{where} reset the connection",
    errno.EPIPE: "{where} closed the connection",
    errno.EHOSTUNREACH: "{where} cannot be reached: no such machine answers in its network",
    errno.EHOSTDOWN: "{where} cannot be reached: the machine is down",
    errno.ETIMEDOUT: "{where} does not answer",
    errno.ENOENT: "there is no {where}",
}
_UNREACHED = {errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT}

UNREACHED = "unreached"
"""The fact `cause` of a fault that may as well be a lost network of our own: nothing at all came back."""
SILENT = (UNREACHED, "name", "own")
"""Causes after which nobody can say whether the host was reached."""

BEAT = 0.1
STALL = 0.5
QUORUM = 4


def answer_to(fault: OSError | ResolveError, where: str) -> Answer:
    """Judge a fault of name resolution or of the network on the way to `where`."""
    if isinstance(fault, ResolveError):
        if fault.definite:
            return Answer.fail(str(fault), cause="name")
        return Answer.unknown(str(fault), cause="name")
    # OpenSSL's numbers are not the system's.
    number = 0 if isinstance(fault, ssl.SSLError) else fault.errno or 0
    if number in OWN_TROUBLE:
        return Answer.unknown(f"could not ask {where}: {OWN_TROUBLE[number]}", cause="own")
    if number in _THEIRS:
        cause = UNREACHED if number in _UNREACHED else "refused"
        return Answer.fail(_THEIRS[number].format(where=where), cause=cause)
    if isinstance(fault, ConnectionError):
        return Answer.fail(f"{where} broke the connection off", cause="refused")
    return Answer.fail(f"{where}: {fault.strerror or fault}", cause="error")


def timed_out(seconds: float, doing: str = "", *, reached: bool = False) -> Answer:
    """Say that there was no answer in time; `doing` says what was waited for, `reached` whether anything came back."""
    detail = f"timed out after {format_duration(seconds)}{doing and ' ' + doing}"
    return Answer.fail(detail, cause="slow" if reached else UNREACHED)


def known_already(previous: Verdict | None, found: Verdict) -> bool:
    """Say whether a verdict needs no second look: nothing was or is wrong, or it is not worse than what was known."""
    if found is Verdict.OK:
        return previous in (None, Verdict.OK)
    return agree(previous, found)


def agree(first: Verdict | None, second: Verdict) -> bool:
    """Say whether `second` is borne out by `first`: the same, or the milder of the two faults."""
    return first is second or (first is Verdict.FAIL and second is Verdict.WARN)


@dataclass(slots=True)
class Span:
    """A stretch of time that was listened to."""

    lost: float = 0.0


class Pulse:
    """Notices when this process stood still: a blocked loop, SIGSTOP, a paused virtual machine, a suspended laptop.

    While somebody listens the loop's pulse is felt every `BEAT` seconds. A gap longer than that by `STALL` seconds
    on either clock counts as lost time. (A suspended machine's monotonic clock stands still, its wall clock does not.)
    """

    def __init__(self, clock: Clock, beat: float = BEAT, stall: float = STALL) -> None:
        self._clock = clock
        self._beat_every = beat
        self._stall = stall
        self._listeners = 0
        self._lost = 0.0
        self._last = (0.0, 0.0)
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def listen(self) -> Iterator[Span]:
        """Listen while the block runs; afterwards `lost` says how long the process stood still in it."""
        if self._listeners:
            self._feel()
        else:
            self._last = (self._clock.monotonic(), self._clock.now())
        self._listeners += 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._beat_every, self._beat)
        span = Span()
        before = self._lost
        try:
            yield span
        finally:
            self._feel()
            self._listeners -= 1
            span.lost = self._lost - before

    def _beat(self) -> None:
        self._timer = None
        if self._listeners:
            self._feel()
            self._timer = asyncio.get_running_loop().call_later(self._beat_every, self._beat)

    def _feel(self) -> None:
        steady, wall = self._clock.monotonic(), self._clock.now()
        gap = max(steady - self._last[0], wall - self._last[1])
        if gap > self._beat_every + self._stall:
            self._lost += gap
        self._last = (steady, wall)


class Horizon:
    """Tells a dead host from a lost network of our own.

    When nothing comes back from `QUORUM` hosts in a row the network itself is suspect; then those hosts are asked
    that answered last. If they do not answer either, nobody can say anything about any service.
    """

    def __init__(self) -> None:
        self._unreached: set[str] = set()
        self._reached: dict[str, None] = {}

    def note(self, host: str | None, answer: Answer) -> None:
        """Take in what one probe showed. This machine itself is no evidence."""
        if host is None or is_loopback(host):
            return
        cause = answer.facts.get("cause")
        if cause == UNREACHED:
            self._unreached.add(host)
        elif cause not in SILENT:
            self._unreached.clear()
            self._reached.pop(host, None)
            self._reached[host] = None

    @property
    def suspect(self) -> bool:
        """True when at least `QUORUM` hosts in a row did not answer and none has since."""
        return len(self._unreached) >= QUORUM

    def witnesses(self) -> list[str]:
        """Give the hosts that answered, the last one first, without those that do not any more."""
        return [host for host in reversed(self._reached) if host not in self._unreached]
