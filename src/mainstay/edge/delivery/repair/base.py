"""What every type of gap repair is: a way to ask a sender what it sent since a moment."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass

from mainstay.core.plugin import Plugin
from mainstay.core.units import Duration
from mainstay.edge.delivery.repair.wire import Wire

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Sent:
    """Something that the sender says it sent. `key` is what it is known by; `at` in seconds since 1970.

    `load` gives headers and body, as far as the sender still has them.
    """

    key: str
    at: float
    type: str
    load: Callable[[], Awaitable[tuple[Pairs, bytes]]]


@dataclass(frozen=True, slots=True)
class Kept:
    """An event that is in the inbox."""

    event_id: str | None
    event_type: str | None
    body: bytes


class Repair(Plugin, kind="repair"):
    """How the sender is asked what was missed."""

    auto: bool = False
    """Whether that is done by itself, from where it was last done. Otherwise only `mainstay inbox repair` does it."""
    every: Duration = 900.0
    """How often, when it is done by itself."""
    timeout: Duration = 30.0
    """How long the sender may take for one answer."""

    def sent(self, wire: Wire, since: float) -> AsyncIterator[Sent]:
        """Give what was sent since a moment, in any order. Raises `RepairError`."""
        raise NotImplementedError

    def keys(self, kept: Iterable[Kept]) -> set[str]:
        """Give what the events that are in the inbox are known by."""
        return {one.event_id for one in kept if one.event_id is not None}
