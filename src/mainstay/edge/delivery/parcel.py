"""What is brought to a target, and how an attempt ended."""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class Parcel:
    """One event on its way: all that a target may know of it.

    `id` is the same for every attempt, so that a target can tell that it has seen it before. Times are seconds since
    1970. `headers` are those that the sender sent, in order; `attempt` counts from one.
    """

    id: str
    source: str
    received_at: float
    headers: tuple[tuple[str, str], ...]
    body: bytes
    attempt: int = 1
    event_id: str | None = None
    type: str | None = None
    key: str | None = None
    replay_of: str | None = None
    early: bool = False
    """It is not due yet and brought only to see whether the target is well; failing costs it no attempt."""

    def header(self, name: str) -> str | None:
        """Give the first value of a header, whatever the case of its name."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def json(self) -> Any:
        """Give the body as JSON. Raises `ValueError` when it is none."""
        return json.loads(self.body)


class End(StrEnum):
    """How an attempt ended: it was taken, it is to be tried again, or it will never be taken."""

    DONE = "done"
    LATER = "later"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended.

    `detail` is for people and holds no secret. `status` is the HTTP status or exit code, if there was one. `wish` is
    the target's own wish for the pause before the next attempt, in seconds. `sick` says that the trouble is the
    target's, not this event's.
    """

    end: End
    detail: str
    status: int | None = None
    wish: float | None = None
    sick: bool = False
