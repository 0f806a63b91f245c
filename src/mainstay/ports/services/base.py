"""What can be done with whatever runs a service."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from mainstay.core.errors import MainstayError


class Standing(StrEnum):
    """Whether a service runs, as its manager says. UNKNOWN means that the manager could not be asked."""

    RUNNING = "running"
    STOPPED = "stopped"
    MISSING = "missing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ServiceState:
    """How a service stands. `since` is in seconds since 1970; `held` means that somebody stopped it on purpose."""

    state: Standing
    detail: str
    since: float | None = None
    pid: int | None = None
    held: bool = False


class ServiceError(MainstayError):
    """What runs the service could not do what was asked."""


class ServiceControl(Protocol):
    """One service, and what runs it. All methods but `state` raise `ServiceError`."""

    async def state(self) -> ServiceState:
        """Look how it stands; never raises."""
        ...

    async def start(self) -> None:
        """Start it if it does not run."""
        ...

    async def stop(self) -> None:
        """Stop it on purpose: it stays stopped until `start`."""
        ...

    async def restart(self) -> None:
        """Stop it, by force if need be, and start it."""
        ...

    async def ensure_running(self) -> bool:
        """Start it if mainstay itself runs it, it does not run and nobody stopped it on purpose; true if started."""
        ...
