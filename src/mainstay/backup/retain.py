"""Which backups may go: a pure answer to how many days, weeks, months and years are kept."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from zoneinfo import ZoneInfo

from mainstay.backup.settings import Keep
from mainstay.core.units import format_duration
from mainstay.store.backups import BackupState

HOUR = 3600.0
DAY = 24 * HOUR
LEAP = 40 * DAY
"""A newest backup that is older than this, or a pause as long before it, may as well be a clock that was set wrong."""
RECENT = 2 * DAY
"""Nothing younger goes, so that several backups of one day are there for as long as somebody may want them."""
EVIDENCE = 7 * DAY
"""How long a backup that failed its proof is kept to be looked at."""

RANK = {BackupState.PROVEN: 0, BackupState.PARTIAL: 1, BackupState.TAKEN: 2}
PERIODS: dict[str, Callable[[date], tuple[int, ...]]] = {
    "daily": lambda day: (day.year, day.month, day.day),
    "weekly": lambda day: tuple(day.isocalendar()[:2]),
    "monthly": lambda day: (day.year, day.month),
    "yearly": lambda day: (day.year,),
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A backup that is there. `taken_at` is in seconds since 1970."""

    id: str
    taken_at: float
    state: BackupState


@dataclass(frozen=True, slots=True)
class Plan:
    """What is kept and why, what goes; `refused` says why nothing goes."""

    keep: dict[str, tuple[str, ...]] = field(default_factory=dict)
    delete: tuple[str, ...] = ()
    refused: str | None = None


def plan(candidates: Iterable[Candidate], keep: Keep, now: float, timezone: str = "UTC") -> Plan:
    """Say which of one storage's backups of one database may be deleted.

    The best backup of a period stands for it: proven before partially proven before not yet proven, then the newest.
    Nothing goes while nothing is proven or the clock looks wrong. The newest proven one never goes.
    """
    found = sorted(candidates, key=lambda each: (each.taken_at, each.id), reverse=True)
    refused = _refused(found, now)
    if refused is not None:
        return Plan({each.id: ("nothing is deleted",) for each in found}, (), refused)
    reasons: dict[str, list[str]] = {}
    for each, why in _always(found, now):
        reasons.setdefault(each.id, []).append(why)
    zone = ZoneInfo(timezone)
    usable = [each for each in found if each.state in RANK]
    for name, period in PERIODS.items():
        for each in _periods(usable, period, zone)[: getattr(keep, name)]:
            reasons.setdefault(each.id, []).append(name)
    gone = tuple(each.id for each in reversed(found) if each.id not in reasons)
    return Plan({each.id: tuple(reasons[each.id]) for each in found if each.id in reasons}, gone)


def _refused(found: list[Candidate], now: float) -> str | None:
    if not any(each.state in (BackupState.PROVEN, BackupState.PARTIAL) for each in found):
        return "no backup is proven"
    newest = found[0].taken_at
    if now < newest - HOUR:
        return f"the clock looks wrong: the newest backup is {format_duration(newest - now)} in the future"
    if now - newest > LEAP:
        return f"the clock looks wrong, or backups have stopped: the newest is {format_duration(now - newest)} old"
    if len(found) > 1 and newest - found[1].taken_at > LEAP:
        pause = format_duration(newest - found[1].taken_at)
        return f"the clock looks wrong, or backups were paused: the newest came {pause} after the one before"
    return None


def _always(found: list[Candidate], now: float) -> Iterable[tuple[Candidate, str]]:
    proven = next((each for each in found if each.state is BackupState.PROVEN), None)
    partial = next((each for each in found if each.state is BackupState.PARTIAL), None)
    last = proven or partial
    if proven is not None:
        yield proven, "last proven"
    if partial is not None and (proven is None or partial.taken_at > proven.taken_at):
        yield partial, "last partially proven"
    for each in found:
        if now - each.taken_at < RECENT:
            yield each, "less than two days old"
        if last is not None and each.taken_at > last.taken_at and each.state is BackupState.TAKEN:
            yield each, "newer than the last proven"
        if each.state is BackupState.FAILED and now - each.taken_at < EVIDENCE:
            yield each, "evidence of a failed proof"


def _periods(
    usable: list[Candidate], period: Callable[[date], tuple[int, ...]], zone: ZoneInfo
) -> list[Candidate]:
    """Give the best backup of each period, the newest period first."""
    best: dict[tuple[int, ...], Candidate] = {}
    for each in usable:
        key = period(datetime.fromtimestamp(each.taken_at, zone).date())
        if key not in best or RANK[each.state] < RANK[best[key].state]:
            best[key] = each
    return list(best.values())
