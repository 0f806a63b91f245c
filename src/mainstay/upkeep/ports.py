"""What upkeep needs from outside."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mainstay.core.secret import Secret
from mainstay.ports.clock import Clock
from mainstay.store.base import Store


@dataclass(frozen=True)
class UpkeepPorts:
    """The adapters of the jobs of this room."""

    store: Store
    clock: Clock
    timezone: str = "UTC"
    """Time zone of maintenance windows, unless a job has its own."""
    protected: Mapping[Path, str] = field(default_factory=dict)
    """Directories that nothing here may touch, and what each is in words: mainstay's own, and the storages'."""
    databases: Mapping[str, Secret] = field(default_factory=dict)
    """The addresses of PostgreSQL servers that are configured, by name."""
    redis: Mapping[str, Secret] = field(default_factory=dict)
    """The addresses of Redis servers that are checked, by service."""
    root: Path = Path("/")
    """Where the system's own files lie."""
