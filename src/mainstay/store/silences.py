"""Silences: times in which nobody is told of a service's troubles. Checks go on."""

from dataclasses import asdict, dataclass

from mainstay.core.ids import new_id
from mainstay.store.base import Tx

ALL = "*"
"""A silence of this service is one of every service."""


@dataclass(frozen=True, slots=True)
class Silence:
    """From `from_at` until `until_at` (seconds since 1970) no message about `service` comes into being."""

    id: str
    service: str
    why: str
    who: str
    from_at: float
    until_at: float

    def covers(self, service: str) -> bool:
        """Say whether it is about this service."""
        return self.service in (ALL, service)


def add(tx: Tx, service: str, *, from_at: float, until_at: float, why: str, who: str, now: float) -> Silence:
    """Silence a service, or every one with `*`."""
    silence = Silence(new_id(now), service, why, who, from_at, until_at)
    tx.run("silences.add", **asdict(silence))
    tx.signal("incidents")
    return silence


def end(tx: Tx, silence: str, now: float) -> bool:
    """End a silence now; false when it has ended or never was."""
    ended = tx.run("silences.end", id=silence, now=now) > 0
    tx.signal("incidents")
    return ended


def active(tx: Tx, now: float) -> list[Silence]:
    """Give the silences that hold now."""
    return [Silence(**row) for row in tx.all("silences.active", now=now)]


def upcoming(tx: Tx, after: float) -> list[Silence]:
    """Give the silences that end after a moment, by their beginning."""
    return [Silence(**row) for row in tx.all("silences.all", after=after)]
