"""When packages may be changed."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def _hours(text: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d", text) or text[:5] == text[6:]:
        raise ValueError(f"{text!r} is no window; write it like 02:00-05:00 or 22:00-03:00")
    return text


Hours = Annotated[str, AfterValidator(_hours), Field(examples=["02:00-05:00"])]
"""From when to when, in local time; it may go past midnight."""


def within(now: float, zone: str, hours: str | None, days: list[Day]) -> bool:
    """Whether a moment lies in a window; the night that begins on a Saturday is Saturday's."""
    moment = datetime.fromtimestamp(now, ZoneInfo(zone))
    start, end = (hours[:5], hours[6:]) if hours else ("00:00", "24:00")
    clock = moment.strftime("%H:%M")
    past_midnight = end < start
    inside = (clock >= start or clock < end) if past_midnight else start <= clock < end
    day = moment - timedelta(days=1) if past_midnight and clock < end else moment
    return inside and (not days or DAYS[day.weekday()] in days)
