"""Registers every type: ours by importing the rooms, third parties' by entry points."""

import importlib
from functools import cache

from mainstay.core.errors import ConfigError

GROUP = "mainstay.plugins"
"""The entry-point group of third parties; each entry names a module whose import registers its types."""

ROOMS = (
    "mainstay.checks",
    "mainstay.notifiers",
    "mainstay.ports.objects",
    "mainstay.engine.journal_jobs",
    "mainstay.backup.data",
    "mainstay.backup.jobs",
    "mainstay.upkeep.cleanup.job",
    "mainstay.certs.jobs",
    "mainstay.upkeep.optimise.job",
    "mainstay.upkeep.patches.job",
    "mainstay.upkeep.queued.job",
    "mainstay.upkeep.health.job",
    "mainstay.upkeep.own.command",
    "mainstay.upkeep.own.container",
    "mainstay.upkeep.own.entry_point",
    "mainstay.backup.keeping",
    "mainstay.backup.physical.jobs",
    "mainstay.backup.pgbackrest.jobs",
    "mainstay.playbooks.heal",
    "mainstay.edge.schemes",
    "mainstay.edge.delivery.targets",
    "mainstay.edge.delivery.repair",
)


@cache
def register_all() -> None:
    """Import every room with types, then every third party's. Raises `ConfigError` for a broken plug-in."""
    from importlib.metadata import entry_points

    for room in ROOMS:
        importlib.import_module(room)
    for entry in sorted(entry_points(group=GROUP)):
        try:
            entry.load()
        except Exception as fault:
            package = entry.dist.name if entry.dist else entry.value
            raise ConfigError(
                f"the plug-in {entry.name} of {package} cannot be loaded: {str(fault) or type(fault).__name__}",
                hint=f"update or uninstall {package}",
            ) from fault
