"""How a proof was reached, and how long each part of it took."""

from dataclasses import dataclass

from mainstay.backup.compare import Judgement
from mainstay.backup.ports import BackupPorts


@dataclass(frozen=True, slots=True)
class Proven:
    """A judgement with how it was reached: with which programs, how long each part took in seconds."""

    judgement: Judgement
    server: str
    seconds: dict[str, float]


class Stopwatch:
    """Takes the time of each part."""

    def __init__(self, ports: BackupPorts) -> None:
        self._clock = ports.clock
        self._last = self._clock.monotonic()
        self.laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """The part `name` ends now."""
        now = self._clock.monotonic()
        self.laps[name] = round(now - self._last, 3)
        self._last = now
