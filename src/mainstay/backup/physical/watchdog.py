"""Judging what a server says of its receiver: does it follow, must commits wait for it, what is kept for it."""

from dataclasses import dataclass
from enum import StrEnum

RETURN_AFTER = 5.0
"""Seconds for which a receiver must follow before commits wait for it again."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What the server says: positions in bytes; None where there is no receiver, or no slot."""

    flushed: int
    """Up to where its own log is on its disk."""
    streaming: bool
    received: int | None
    """Up to where the receiver has it: on its disk when commits wait for it, else written."""
    names: str
    """`synchronous_standby_names`."""
    commit: str
    """`synchronous_commit`, as sessions begin with it."""
    slot: str | None
    """`wal_status` of our replication slot."""
    kept_from: int | None

    @property
    def retained(self) -> int:
        """Bytes of log that are kept for us."""
        return max(0, self.flushed - self.kept_from) if self.kept_from is not None else 0


class Pace:
    """How long the receiver has not followed. `late` is in seconds, 0 while it follows."""

    def __init__(self) -> None:
        self._goal: int | None = None
        self._since: float | None = None
        self.well_since: float | None = None

    def late(self, sight: Sight | None, now: float) -> float:
        """Take what was seen at a moment (None: the server did not answer) and judge."""
        if sight is None or not sight.streaming or sight.received is None:
            self._goal = None
        elif self._goal is None or sight.received >= self._goal:
            self._goal = sight.flushed
            self._since = None
            self.well_since = now if self.well_since is None else self.well_since
            return 0.0
        self._since = now if self._since is None else self._since
        self.well_since = None
        return now - self._since

    def well(self, now: float) -> float:
        """For how many seconds it has followed."""
        return 0.0 if self.well_since is None else now - self.well_since


class Wish(StrEnum):
    """What is to be done about synchronous commits."""

    NOTHING = "nothing"
    WAIT = "wait"
    GO_ON = "go on"


def synchronous(sight: Sight, ours: str, late: float, well: float, fall_back_after: float) -> Wish:
    """Say whether commits should wait for the receiver `ours` from now on, or no longer."""
    waits = waits_for(sight.names, ours)
    if waits and late >= fall_back_after:
        return Wish.GO_ON
    if not waits and not sight.names.strip() and well >= RETURN_AFTER:
        return Wish.WAIT
    return Wish.NOTHING


def waits_for(names: str, ours: str) -> bool:
    """Whether `synchronous_standby_names` was set by us."""
    return names.strip().strip('"') == ours
