"""Upkeep's part of the composition."""

from pathlib import Path

from mainstay.config.model import Config
from mainstay.ports.clock import Clock
from mainstay.ports.objects.directory import Directory
from mainstay.store.base import Store
from mainstay.store.open import sqlite_path
from mainstay.upkeep.ports import UpkeepPorts


def upkeep_ports(config: Config, clock: Clock, store: Store) -> UpkeepPorts:
    """Give what the jobs of upkeep need."""
    return UpkeepPorts(store, clock, config.timezone, _protected(config))


def _protected(config: Config) -> dict[Path, str]:
    """Name what no clean-up may touch."""
    found = {config.state_dir: "mainstay's own directory", config.file: "mainstay's configuration"}
    if config.journal is None or config.journal.resolved:
        url = config.journal_url
        if url.startswith("sqlite:"):
            found[sqlite_path(url)] = "mainstay's journal"
    for name, storage in config.storage.items():
        if isinstance(storage, Directory):
            found[storage.path] = f"where the storage {name} keeps backups"
    return found
