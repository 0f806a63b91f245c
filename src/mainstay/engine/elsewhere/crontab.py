"""A crontab that Debian's cron and cronie understand alike."""

from collections.abc import Sequence
from datetime import UTC, datetime

from mainstay.engine.elsewhere.plan import NOTES, Entry, Machine, Written

HEAD = """\
# The schedules of {name}, for: crontab -u {user} FILE
# Each line looks whether its job is due by its own time zone and catch-up rule, and does nothing when it is not.
SHELL=/bin/sh
CREDENTIALS_DIRECTORY={secrets}
"""
EVERY_MINUTE = "* * * * *"


def crontab(name: str, entries: Sequence[Entry], machine: Machine) -> Written:
    """Write a crontab."""
    lines = [HEAD.format(name=name, user=machine.user, secrets=machine.secrets)]
    notes = list(NOTES)
    for entry in entries:
        command = machine.command(entry.name).replace("%", "\\%")
        lines.append(f"# {entry.name}: {entry.words}")
        lines.append(f"{_fields(entry, machine)} {command}")
        if not entry.punctual:
            lines.append(f"@reboot {command}")
        if entry.schedule.every is not None and entry.schedule.every < 60:
            notes.append(f"{entry.name} is due more often than every minute, which cron cannot do")
    return Written({"crontab": "\n".join([*lines, ""])}, notes)


def _fields(entry: Entry, machine: Machine) -> str:
    schedule = entry.schedule
    if schedule.every is not None:
        same = schedule.every % 3600 == 0 and _whole_hours(machine.timezone)
        return _interval(schedule.every, (schedule.next_after(0.0, entry.name) or 0.0) if same else None)
    at = schedule.at or EVERY_MINUTE
    if schedule.timezone == machine.timezone and "#" not in at and "L" not in at.upper().split():
        return at
    return f"{_minutes(at)} * * * *" if _whole_hours(schedule.timezone, machine.timezone) else EVERY_MINUTE


def _interval(every: float, first: float | None) -> str:
    """Fire in the minute after `first`, a due time, when that is the same minute of every hour; else often."""
    if first is not None:
        return f"{(int(first // 60) + 1) % 60} * * * *"
    return EVERY_MINUTE if every < 300 else "*/5 * * * *"


def _minutes(at: str) -> str:
    return at.split(maxsplit=1)[0]


def _whole_hours(*zones: str) -> bool:
    """Whether clocks in these zones show the same minute at any time of the year."""
    from zoneinfo import ZoneInfo

    moments = [datetime(2026, month, 15, tzinfo=UTC) for month in range(1, 13)]
    return all(moment.astimezone(ZoneInfo(zone)).minute == 0 for zone in zones for moment in moments)
