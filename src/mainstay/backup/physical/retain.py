"""Which base backups and which log may go: every moment within `keep` stays, and so does what was proven last."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from mainstay.backup.manifest import ManifestError
from mainstay.backup.physical.archive import Contents
from mainstay.backup.physical.layout import Segment, bases_folder, home_of
from mainstay.backup.physical.record import NAME, Base, bases_of, lineage
from mainstay.core.crash import point
from mainstay.core.run import RunState
from mainstay.core.units import format_duration
from mainstay.ports.objects.base import Denied, Entry, Storage
from mainstay.store import runs
from mainstay.store.base import Store, Tx

HOUR = 3600.0
DAY = 24 * HOUR
LEAP = 40 * DAY
"""A newest base backup that is older than this may as well be a clock that was set wrong."""
RECENT = 2 * DAY
"""Objects without an owner are left alone for so long."""

LOG = re.compile(r"\d+(\.\d+)?")

LAST, NEEDED = "last proven", "a newer one needs it"


@dataclass(frozen=True, slots=True)
class Plan:
    """What stays and why, what goes, by the identifiers of base backups; `refused` says why nothing goes."""

    keep: dict[str, str] = field(default_factory=dict)
    delete: tuple[str, ...] = ()
    refused: str | None = None


def plan(bases: Iterable[Base], proven: Collection[str], now: float, keep: float) -> Plan:
    """Say which base backups may go. `proven` are those from which a moment was restored and compared.

    Nothing goes while nothing is proven or the clock looks wrong.
    """
    found = sorted(bases, key=lambda base: (base.taken_at, base.id))
    known = {base.id: base for base in found}
    last = next((base for base in reversed(found) if base.id in proven), None)
    refused = _refused(found, last, now)
    if refused is not None or last is None:
        return Plan({base.id: "nothing is deleted" for base in found}, (), refused)
    before = [base for base in found if base.taken_at <= now - keep]
    reasons = {base.id: "within the time that is kept" for base in found if base.taken_at > now - keep}
    if before:
        reasons[before[-1].id] = "where the time that is kept begins"
    reasons.setdefault(last.id, LAST)
    reasons |= {
        base.id: "newer than the last proven"
        for base in found
        if base.taken_at > last.taken_at and base.id not in reasons
    }
    for kept in list(reasons):
        try:
            for needed in lineage(known[kept], known):
                reasons.setdefault(needed.id, NEEDED)
        except ManifestError:
            continue  # it cannot be restored any more, and keeps nothing
    return Plan(reasons, tuple(base.id for base in found if base.id not in reasons))


def _refused(found: list[Base], last: Base | None, now: float) -> str | None:
    if last is None:
        return "no base backup is proven"
    newest = found[-1].taken_at
    if now < newest - HOUR:
        return (
            f"the clock looks wrong: the newest base backup is {format_duration(newest - now)} in the future"
        )
    if now - newest > LEAP:
        return f"the clock looks wrong, or base backups have stopped: the newest is {format_duration(now - newest)} old"
    return None


def unneeded(contents: Contents, kept: dict[str, str], bases: Iterable[Base], size: int) -> list[str]:
    """Give the paths of a server's log that no base backup which is kept can ever need.

    One that is kept only because it was proven last keeps the log without which it cannot be started, no more.
    """
    stay = [base for base in bases if base.id in kept]
    floors = [base.first.number for base in stay if kept[base.id] not in (LAST, NEEDED)]
    islands = [range(base.first.number, base.last.number + 1) for base in stay if kept[base.id] == LAST]
    floor = min(floors, default=None)

    def past(name: str) -> bool:
        number = Segment.named(name, size).number
        return (floor is None or number < floor) and not any(number in island for island in islands)

    gone = [each.path for name, some in contents.whole.items() if past(name) for each in some]
    # Of a segment that was never finished, or is there whole, pieces may be left.
    parts = [some for name, some in contents.parts.items() if name in contents.whole or past(name)]
    return gone + [each.path for some in parts for each in some]


@dataclass(frozen=True, slots=True)
class Gone:
    """What was deleted: base backups, objects of the log, folders that nobody finished; `refused` as in the plan."""

    bases: int = 0
    log: int = 0
    orphans: int = 0
    refused: str | None = None


async def proven_bases(store: Store, database: str) -> set[str]:
    """Give the base backups from which a moment was restored and compared, as far as the journal remembers."""

    def unit(tx: Tx) -> set[str]:
        done = [run for run in runs.latest(tx, f"prove_log:{database}", 500) if run.state is RunState.DONE]
        return {base for run in done if run.outcome.get("proven") for base in run.outcome.get("bases", [])}

    return await store.read(unit)


async def prune(store: Store, storage: Storage, database: str, now: float, keep: float, current: str) -> Gone:
    """Delete what may go. `current` is the run that asks. Raises `StorageError`; that we may not delete is no fault."""
    try:
        return await _prune(store, storage, database, now, keep, current)
    except Denied as fault:
        return Gone(refused=f"what may go stays, as the storage does not let us delete: {fault.what}")


async def _prune(
    store: Store, storage: Storage, database: str, now: float, keep: float, current: str
) -> Gone:
    bases, broken = await bases_of(storage, database)
    if broken:  # damaged, or of a newer version: what log they need is not known
        return Gone(refused=f"nothing is deleted: the record of {broken[0]} cannot be read")
    made = plan(bases, await proven_bases(store, database), now, keep)
    if made.refused is not None:
        return Gone(refused=made.refused)
    for base in [base for base in bases if base.id in made.delete]:
        await _delete_base(storage, base.path)
    count = 0
    for log, entries in (await _logs(storage, database)).items():
        own = [base for base in bases if base.log == log]
        for path in _past(entries, own, made.keep, now):
            await storage.delete(path)
            point("wal.pruned")
            count += 1
    return Gone(len(made.delete), count, await _orphans(storage, database, now, current))


async def _logs(storage: Storage, database: str) -> dict[str, list[Entry]]:
    """Give the objects of every log that was ever kept of a database, by the log's name."""
    home, found = home_of(database), dict[str, list[Entry]]()
    async for entry in storage.list(home):
        log = entry.path.removeprefix(f"{home}/").split("/")[0]
        if LOG.fullmatch(log):
            found.setdefault(log, []).append(entry)
    return found


def _past(entries: list[Entry], own: list[Base], kept: dict[str, str], now: float) -> list[str]:
    """Give the objects of a log that may go; all of one that no base backup needs, and that nobody writes any more."""
    if any(base.id in kept for base in own):
        contents = Contents()
        for entry in entries:
            contents.add(entry)
        return unneeded(contents, kept, own, own[0].segment_size)
    young = now - max(entry.modified for entry in entries) < RECENT
    return [] if young else [entry.path for entry in entries]


async def _delete_base(storage: Storage, path: str) -> None:
    # Without its record it is no backup any more, so that goes first.
    await storage.delete(f"{path}/{NAME}")
    point("base.deleted")
    for entry in [entry async for entry in storage.list(path)]:
        await storage.delete(entry.path)
        point("base.part_deleted")


async def _orphans(storage: Storage, database: str, now: float, current: str) -> int:
    """Delete folders without a record: backups that were never finished, or whose deletion was cut off."""
    home = bases_folder(database)
    folders: dict[str, list[tuple[str, float]]] = {}
    async for entry in storage.list(home):
        folders.setdefault(entry.path.removeprefix(f"{home}/").split("/")[0], []).append(
            (entry.path, entry.modified)
        )
    swept = 0
    for name, entries in folders.items():
        complete = any(path == f"{home}/{name}/{NAME}" for path, _ in entries)
        young = now - max(modified for _, modified in entries) < RECENT
        if complete or young or name.endswith(current):
            continue
        for path, _ in entries:
            await storage.delete(path)
            point("base.swept")
        swept += 1
    return swept
