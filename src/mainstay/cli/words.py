"""How moments and spans are said on a terminal."""

from typing import TYPE_CHECKING

from mainstay.core.amounts import format_duration

if TYPE_CHECKING:
    from datetime import tzinfo

_SIZES = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def span(seconds: float | None) -> str:
    """Say a span shortly: `12s`, `3m 20s`, `6h 10m`, `3d 4h`."""
    return "" if seconds is None else format_duration(max(0.0, seconds if seconds < 1 else round(seconds)))


def ago(at: float | None, now: float) -> str:
    """Say how long ago something was, or in what time it will be, with one unit."""
    if at is None:
        return ""
    seconds = now - at
    if abs(seconds) < 1:
        return "now"
    size, unit = next((size, unit) for size, unit in _SIZES if abs(seconds) >= size)
    words = f"{int(abs(seconds) // size)}{unit}"
    return f"{words} ago" if seconds > 0 else f"in {words}"


def moment(at: float | None, zone: "tzinfo", now: float | None = None) -> str:
    """Say when something was, in a time zone; the year only when it is another one."""
    if at is None:
        return ""
    from datetime import datetime

    when = datetime.fromtimestamp(at, zone)
    same_year = now is not None and datetime.fromtimestamp(now, zone).year == when.year
    return when.strftime("%d %b %H:%M" if same_year else "%d %b %Y %H:%M")


def clock_time(at: float, zone: "tzinfo") -> str:
    """Say the time of day to the second."""
    from datetime import datetime

    return datetime.fromtimestamp(at, zone).strftime("%H:%M:%S")


def zone_of(name: str) -> "tzinfo":
    """Give a time zone by its name, UTC when this machine does not know it."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def latency(seconds: float | None) -> str:
    """Say a latency: `4.2ms`, `230ms`, `1.8s`."""
    if seconds is None:
        return ""
    return f"{seconds * 1000:.1f}ms" if seconds < 0.01 else format_duration(seconds)


def count(number: int, noun: str) -> str:
    """Say how many: `1 table`, `12 tables`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
