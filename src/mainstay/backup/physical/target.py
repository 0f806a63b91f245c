"""Which moment is to be restored, as people say it: a time, a position, a restore point's name, the latest."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from mainstay.backup.physical.layout import format_lsn, parse_lsn
from mainstay.core.errors import ConfigError
from mainstay.core.units import parse_duration

LSN = re.compile(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}")
AGO = re.compile(r"(.+) ago")
NAME = re.compile(r"[A-Za-z_][\w.-]{0,62}")
CLOCK = re.compile(r"(?:(yesterday|today)(?: at)? ?)?(\d{1,2}:\d{2}(?::\d{2})?)?")


class Kind(StrEnum):
    LATEST = "latest"
    TIME = "time"
    LSN = "lsn"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Target:
    """A moment. `at` is in seconds since 1970 for a time, `lsn` in bytes for a position."""

    kind: Kind
    at: float = 0.0
    lsn: int = 0
    name: str = ""

    def settings(self) -> dict[str, str]:
        """Give PostgreSQL's settings for it. What was committed at that very moment is there."""
        if self.kind is Kind.TIME:
            moment = datetime.fromtimestamp(self.at, UTC).isoformat(sep=" ", timespec="microseconds")
            return {"recovery_target_time": moment}
        if self.kind is Kind.LSN:
            return {"recovery_target_lsn": format_lsn(self.lsn)}
        if self.kind is Kind.NAME:
            return {"recovery_target_name": self.name}
        return {}

    def __str__(self) -> str:
        if self.kind is Kind.TIME:
            return datetime.fromtimestamp(self.at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        if self.kind is Kind.LSN:
            return format_lsn(self.lsn)
        return self.name or "the latest"


LATEST = Target(Kind.LATEST)


def parse_target(text: str, now: float, timezone: str) -> Target:
    """Read what somebody wrote after `--to`. Raises `ConfigError`."""
    text = text.strip()
    if text == "latest":
        return LATEST
    if LSN.fullmatch(text):
        return Target(Kind.LSN, lsn=parse_lsn(text))
    at = _moment(text, datetime.fromtimestamp(now, ZoneInfo(timezone)))
    if at is not None:
        if at > now:
            raise ConfigError(
                f"{text} is in the future", hint=f"times are those of {timezone} unless they say so"
            )
        return Target(Kind.TIME, at=at)
    if NAME.fullmatch(text):
        return Target(Kind.NAME, name=text)
    raise ConfigError(
        f"{text!r} is not a moment",
        hint="write it like '2026-09-21 14:30', '14:30', 'yesterday 14:30', '20m ago', 'latest', a position like "
        "0/16B3748 or a restore point's name",
    )


def _moment(text: str, now: datetime) -> float | None:
    if found := AGO.fullmatch(text):
        try:
            return now.timestamp() - parse_duration(found[1])
        except ValueError:
            return None
    if text and (found := CLOCK.fullmatch(text)):
        day = now - timedelta(days=1) if found[1] == "yesterday" else now
        if found[2] is None:
            return day.timestamp()
        hour, minute, *second = (int(part) for part in found[2].split(":"))
        if hour > 23 or minute > 59 or (second and second[0] > 59):
            return None
        return day.replace(
            hour=hour, minute=minute, second=second[0] if second else 0, microsecond=0
        ).timestamp()
    try:
        made = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (made if made.tzinfo else made.replace(tzinfo=now.tzinfo)).timestamp()
