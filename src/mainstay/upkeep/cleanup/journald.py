"""The journal of systemd: its archived files, which `journalctl` itself deletes."""

import os
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

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

    directory: Path | None = Field(default=None, strict=False)
    """Where the journal lies, when that is not where systemd keeps it, as in a container that is given the host's."""

    @model_validator(mode="after")
    def _limited(self) -> Self:
        if self.max_size is None and self.max_age is None:
            raise ValueError("it says nothing about what may go; give `max_size` or `max_age`")
        return self

    def words(self) -> list[str]:
        """Give the options of `journalctl`."""
        place = [f"--directory={self.directory}"] if self.directory is not None else []
        size = [f"--vacuum-size={self.max_size}"] if self.max_size is not None else []
        age = [f"--vacuum-time={round(self.max_age)}s"] if self.max_age is not None else []
        return [*place, *size, *age]


async def vacuum(rule: JournaldRule, *, act: bool) -> int:
    """Let old entries go; give the bytes that came free, or, without `act`, those that it occupies now."""
    places = PLACES if rule.directory is None else (rule.directory,)
    before = occupied(places)
    if not act:
        return before
    said = await ask("journalctl", "--quiet", *rule.words(), within=WITHIN)
    if said.code != 0:
        raise MainstayError(f"journalctl could not clean up: {said.last}")
    return max(0, before - occupied(places))


def occupied(places: tuple[Path, ...]) -> int:
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
