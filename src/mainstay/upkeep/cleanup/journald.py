"""The journal of systemd: its archived files, which `journalctl` itself deletes."""

import os
from pathlib import Path

from mainstay.core.errors import MainstayError
from mainstay.core.plugin import Settings
from mainstay.core.units import Duration, Size
from mainstay.upkeep.program import ask

PLACES = (Path("/var/log/journal"), Path("/run/log/journal"))
WITHIN = 300.0
"""Seconds that `journalctl` may take."""


class JournaldRule(Settings):
    """How much of systemd's journal stays. Files that are being written are not touched."""

    max_size: Size | None = None
    """So many bytes of archived files stay at most."""
    max_age: Duration | None = 30 * 86400.0
    """So old they may become; `null` for no limit."""

    def words(self) -> list[str]:
        """Give the options of `journalctl`."""
        size = [f"--vacuum-size={self.max_size}"] if self.max_size is not None else []
        age = [f"--vacuum-time={round(self.max_age)}s"] if self.max_age is not None else []
        return [*size, *age]


async def vacuum(rule: JournaldRule, *, act: bool) -> int:
    """Let old entries go; give the bytes that came free, or, without `act`, those that it occupies now."""
    before = occupied()
    if not act:
        return before
    said = await ask("journalctl", "--quiet", *rule.words(), within=WITHIN)
    if said.code != 0:
        raise MainstayError(f"journalctl could not clean up: {said.last}")
    return max(0, before - occupied())


def occupied(places: tuple[Path, ...] = PLACES) -> int:
    """Add up what the journal's files occupy, in bytes."""
    total = 0
    for place in places:
        for directory, _, names in os.walk(place):
            for name in names:
                try:
                    total += os.lstat(Path(directory, name)).st_blocks * 512
                except FileNotFoundError:
                    continue
    return total
