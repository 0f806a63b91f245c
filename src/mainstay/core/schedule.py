"""When a job is due: cron expressions in an explicit time zone, or a fixed interval."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field

from mainstay.core.plugin import Settings
from mainstay.core.units import Duration


def _check_cron(text: str) -> str:
    try:
        next(CronSim(text, datetime(2026, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration) as fault:
        raise ValueError(
            f"{text!r} is not a cron expression ({str(fault) or 'it is never due'}); "
            "write five fields: minute hour day month weekday"
        ) from None
    return text


def _check_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone; write it like Asia/Manila or UTC") from None
    return name


Cron = Annotated[str, AfterValidator(_check_cron), Field(examples=["0 2 * * *"])]
"""Five cron fields (crontab(5)); days and months by name are fine."""

TimeZone = Annotated[str, AfterValidator(_check_zone), Field(examples=["UTC", "Asia/Manila"])]
"""A name from the IANA time-zone database."""


class Schedule(Settings):
    """When something is due: `at` (cron, in `timezone`) or `every` (seconds), one of them.

    In the hour that a clock change skips, a cron schedule runs right after the change; in the hour that repeats it
    runs once (Debian's cron behaves so, and cronsim follows it). Interval schedules are anchored to 1970 plus an
    offset derived from the job's name, so that two nodes agree on every due time without talking.
    """

    at: Cron | None = None
    every: Duration | None = None
    timezone: TimeZone = "UTC"

    def next_after(self, moment: float, name: str = "") -> float | None:
        """Give the first due time strictly after `moment` (both seconds since 1970), or None."""
        return next(self.due_after(moment, name), None)

    def due_after(self, moment: float, name: str = "") -> Iterator[float]:
        """Give all due times strictly after `moment`, endlessly."""
        if self.every is not None:
            yield from self._ticks(moment, name)
        elif self.at is not None:
            start = datetime.fromtimestamp(moment, ZoneInfo(self.timezone))
            for due in CronSim(self.at, start):
                stamp = due.timestamp()
                if stamp > moment:
                    yield stamp

    def _ticks(self, moment: float, name: str) -> Iterator[float]:
        every = self.every or 1.0
        offset = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**32 * every
        count = int((moment - offset) // every)
        while True:
            count += 1
            due = round(offset + count * every, 3)
            if due > moment:
                yield due

    def explain(self) -> str:
        """Say the schedule in words."""
        if self.every is not None:
            from mainstay.core.units import format_duration

            return f"every {format_duration(self.every)}"
        if self.at is not None:
            words: str = CronSim(self.at, datetime(2026, 1, 1, tzinfo=UTC)).explain()
            return f"{words} ({self.timezone})"
        return "only when asked"
