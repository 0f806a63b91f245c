"""What every type of target is: options, and a way to bring one event to it."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime

from mainstay.core.plugin import Plugin
from mainstay.core.units import Duration
from mainstay.edge.delivery.parcel import Outcome, Parcel
from mainstay.ports.clock import Clock

Deliver = Callable[[Parcel], Awaitable[Outcome]]
"""Makes one attempt. Expected faults are outcomes, not exceptions."""
Resolve = Callable[[str], Awaitable[list[str]]]
"""Gives the addresses of a host; raises `ResolveError`."""

SAID = 200
"""How many characters of what a target says are kept."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What targets may use of the world."""

    clock: Clock
    resolve: Resolve


class Target(Plugin, kind="target"):
    """Something that takes events."""

    timeout: Duration = 30.0
    """How long one attempt may take as a whole."""

    def opened(self, tools: Tools, many: int) -> AbstractAsyncContextManager[Deliver]:
        """Get ready for up to `many` attempts at a time; what was opened is closed at the end of the block.

        Raises `MainstayError` when the target cannot be used as it is configured.
        """
        raise NotImplementedError

    def place(self) -> str:
        """Say in a few words where events are brought, without secrets."""
        return self.type_name


def clip(text: str) -> str:
    """Give the beginning of what a target says, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= SAID else f"{line[: SAID - 1]}…"


def iso(at: float) -> str:
    """Write a moment for machines (RFC 3339)."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
