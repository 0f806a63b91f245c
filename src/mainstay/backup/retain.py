"""Which backups may go: a pure answer to how many days, weeks, months and years are kept."""

from collections.abc import Callable, Container, Iterable
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
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is kept and why, what goes; `refused` says why nothing goes, `over` how many bytes above its limit stay."""

    keep: dict[str, tuple[str, ...]] = field(default_factory=dict)
    delete: tuple[str, ...] = ()
    refused: str | None = None
    over: int = 0


def plan(
    candidates: Iterable[Candidate],
    keep: Keep,
    now: float,
    timezone: str = "UTC",
    offset: float | None = None,
) -> Plan:
    """Say which of one storage's backups of one database may be deleted.

    The best backup of a period stands for it: proven before partially proven before not yet proven, then the newest.
    Nothing goes while nothing is proven or the clock looks wrong, beside the backups' own times or beside the storage's
    clock, which is `offset` seconds ahead. The newest proven one never goes.
    """
    found = sorted(candidates, key=lambda each: (each.taken_at, each.id), reverse=True)
    refused = _refused(found, now, offset)
    if refused is not None:
        return Plan({each.id: ("nothing is deleted",) for each in found}, (), refused)
    always: dict[str, list[str]] = {}
    for each, why in _always(found, now):
        always.setdefault(each.id, []).append(why)
    reasons = {id_: list(why) for id_, why in always.items()}
    for each, why in _asked(found, keep, now, ZoneInfo(timezone)):
        reasons.setdefault(each.id, []).append(why)
    over = _fit(found, keep.space, reasons, always)
    gone = tuple(each.id for each in reversed(found) if each.id not in reasons)
    return Plan({each.id: tuple(reasons[each.id]) for each in found if each.id in reasons}, gone, over=over)


def _asked(found: list[Candidate], keep: Keep, now: float, zone: ZoneInfo) -> Iterable[tuple[Candidate, str]]:
    """Give what the settings keep, and why."""
    usable = [each for each in found if each.state in RANK]
    for each in usable[: keep.last]:
        yield each, "last"
    for each in usable:
        if now - each.taken_at < keep.within:
            yield each, "within"
    for name, period in PERIODS.items():
        for each in _periods(usable, period, zone)[: getattr(keep, name)]:
            yield each, name


def _fit(
    found: list[Candidate], space: int | None, reasons: dict[str, list[str]], always: Container[str]
) -> int:
    """Let the oldest go until the rest fits into the space; give how many bytes it is still too much."""
    if space is None:
        return 0
    taken = sum(each.bytes for each in found if each.id in reasons)
    for each in reversed(found):
        if taken > space and each.id in reasons and each.id not in always:
            del reasons[each.id]
            taken -= each.bytes
    return max(0, taken - space)


def _refused(found: list[Candidate], now: float, offset: float | None) -> str | None:
    if offset is not None and abs(offset) > DAY:
        side = "ahead of" if offset > 0 else "behind"
        return f"the clock looks wrong: the storage's is {format_duration(abs(offset))} {side} this machine's"
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
