"""Units of systemd: a service and a timer for each job."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from mainstay.engine.elsewhere.plan import NOTES, Entry, Machine, Written

SERVICE = """\
[Unit]
Description=mainstay: {name}
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
User={user}
Environment=CREDENTIALS_DIRECTORY={secrets}
ExecStart={command}
TimeoutStartSec={patience:.0f}
"""
TIMER = """\
[Unit]
Description=mainstay: {name}, {words}

[Timer]
{when}
Persistent={persistent}
AccuracySec=1s

[Install]
WantedBy=timers.target
"""
WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")


def units(entries: Sequence[Entry], machine: Machine) -> Written:
    """Write a service and a timer for each job."""
    files: dict[str, str] = {}
    for entry in entries:
        unit = f"mainstay-{entry.name.replace(':', '-')}"
        files[f"{unit}.timer"] = TIMER.format(
            name=entry.name,
            words=_plain(entry.words),
            when="\n".join(_when(entry)),
            persistent="false" if entry.punctual else "true",
        )
        files[f"{unit}.service"] = SERVICE.format(
            name=entry.name,
            user=machine.user,
            secrets=machine.secrets,
            command=machine.command(entry.name).replace("%", "%%").replace("$", "$$"),
            patience=entry.patience,
        )
    return Written(files, list(NOTES))


def _plain(text: str) -> str:
    return text.replace("%", "%%")


def _when(entry: Entry) -> list[str]:
    schedule = entry.schedule
    if schedule.every is not None:
        return ["OnBootSec=1min", f"OnUnitActiveSec={max(schedule.every, 1.0):g}s", "OnActiveSec=1s"]
    return [f"OnCalendar={each}" for each in calendar(schedule.at or "* * * * *", schedule.timezone)]


def calendar(at: str, timezone: str) -> list[str]:
    """Say five cron fields as systemd has them. When both days are restricted, either will do, as in cron."""
    from cronsim import CronSim

    cron = CronSim(at, datetime(2026, 1, 1, tzinfo=UTC))
    clock = f"{_listed(cron.hours, 24)}:{_listed(cron.minutes, 60)}:00 {timezone}"
    month = _listed(cron.months, 12)
    days = {day for day in cron.days if day > 0}
    weekdays = {day for day in cron.weekdays if isinstance(day, int) and day != 7}
    strange = len(days) != len(cron.days) or any(not isinstance(day, int) for day in cron.weekdays)
    every_day, every_weekday = len(days) == 31, len(weekdays) == 7
    if strange or (every_day and every_weekday):
        return [
            f"*-{month}-* {clock}"
        ]  # the last day, the second Monday: the job knows, and most days does nothing
    by_day = f"*-{month}-{_listed(days, 31)} {clock}"
    by_weekday = f"{','.join(WEEKDAYS[day] for day in sorted(weekdays))} *-{month}-* {clock}"
    if every_weekday:
        return [by_day]
    return [by_weekday] if every_day else [by_day, by_weekday]


def _listed(numbers: Iterable[int], all_of_them: int) -> str:
    found = sorted(numbers)
    return "*" if len(found) == all_of_them else ",".join(f"{number:02}" for number in found)
