"""Origins that requests were switched to stay in force when a process begins anew.

A file says so, until the configuration names other origins for the route than it did at the switch.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

logger = logging.getLogger(__name__)

Entry = dict[str, list[str]]


class Kept:
    """The file; without a path nothing is kept."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def origins(self, route: str, configured: Sequence[str]) -> list[str]:
        """Give where the requests of a route go, whose configuration says `configured`."""
        entry = self._read().get(route)
        if entry is not None and entry.get("configured") == list(configured) and entry.get("origins"):
            return entry["origins"]
        return list(configured)

    def keep(self, route: str, configured: Sequence[str], origins: Sequence[str]) -> None:
        """Write down that a route was switched. Raises `OSError`."""
        if self._path is None:
            return
        entries = self._read()
        entries[route] = {"configured": list(configured), "origins": list(origins)}
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(entries, indent=1) + "\n")
        fresh.replace(self._path)

    def _read(self) -> dict[str, Entry]:
        if self._path is None or not self._path.exists():
            return {}
        try:
            found = json.loads(self._path.read_text())
        except (OSError, ValueError) as fault:
            logger.error("%s cannot be read, the configuration's origins are used: %s", self._path, fault)
            return {}
        return found if isinstance(found, dict) else {}
