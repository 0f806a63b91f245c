"""What upkeep needs from outside."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

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
