"""What a server bears with."""

from dataclasses import dataclass, field
from typing import Final

DROPPED: Final = 64 * 1024
"""Bytes of an unwanted body that are read so that the connection can go on; for a longer one it is closed."""
AHEAD: Final = 64 * 1024
"""Bytes that are kept of what nobody takes yet; then the client has to wait."""
PROGRESS: Final = 8 * 1024
"""Bytes that must come, or be taken, within `body_timeout`."""
LINGERING: Final = 2.0
"""Seconds that a client which is sent away has to read why."""


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """How long what may be, in bytes, and how many headers there may be."""

    head: int = 32 * 1024
    headers: int = 100
    uri: int = 8 * 1024
    body: int = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """How long, how many and how much at most; times in seconds."""

    head: HeadLimits = field(default_factory=HeadLimits)
    head_timeout: float = 10.0
    body_timeout: float = 30.0
    idle_timeout: float = 75.0
    connections: int = 20_000
    pipeline: int = 16
