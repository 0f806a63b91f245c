"""Which base backup a restore begins at, and which log it needs, found out from the storage alone."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from mainstay.backup.manifest import ManifestError
from mainstay.backup.physical.archive import Archive, Contents, Kept
from mainstay.backup.physical.branches import Branch, branches_of
from mainstay.backup.physical.layout import Fork, Segment
from mainstay.backup.physical.record import Base, bases_of, lineage
from mainstay.backup.physical.target import Kind, Target
from mainstay.core.errors import MainstayError
from mainstay.core.units import format_size
from mainstay.ports.objects.base import Storage

CLOCKS = 300.0
"""Seconds by which the clocks of two machines may differ: a standby that took over has its own."""


class NoWay(MainstayError):
    """What lies in the storage does not lead to the moment that was asked for."""


@dataclass(frozen=True)
class Route:
    """The way to a moment: base backups in order, then these segments, on this timeline.

    `hole` is the first segment that is missing before the end of the log, if one is.
    """

    target: Target
    chain: list[Base]
    timeline: int
    segments: list[Segment]
    archive: Archive
    contents: Contents
    hole: str | None = None

    @property
    def base(self) -> Base:
        """The backup at which replay begins."""
        return self.chain[-1]

    @property
    def log_bytes(self) -> int:
        """What the log takes in the storage."""
        return sum(kept.bytes for kept in self._kept())

    @property
    def base_bytes(self) -> int:
        """What the base backups take in the storage."""
        return sum(base.bytes for base in self.chain)

    def _kept(self) -> Iterable[Kept]:
        for segment in self.segments:
            yield from self.contents.whole.get(segment.name) or self.contents.parts.get(segment.name, [])

    def explain(self) -> list[str]:
        """Say it in lines."""
        base = self.base
        kind = f"incremental, with {len(self.chain) - 1} before it" if base.parent else "full"
        lines = [
            f"base backup {base.id} ({kind}, PostgreSQL {base.version}), {format_size(self.base_bytes)} to fetch"
        ]
        log = f"{len(self.segments)} segments of log, {format_size(self.log_bytes)} to fetch"
        lines += [f"{log}, on timeline {self.timeline}", f"{format_size(base.raw_bytes)} unpacked"]
        if self.hole:
            lines.append(
                f"segment {self.hole} is missing: moments after it cannot be reached from this base backup"
            )
        return lines


@dataclass(frozen=True, slots=True)
class Survey:
    """What a storage has of the server that was backed up last: its base backups, the oldest first, its branches."""

    bases: list[Base]
    branches: list[Branch]


async def survey(storage: Storage, database: str) -> Survey:
    """Look what there is of a database. Raises `StorageError`."""
    bases, _ = await bases_of(storage, database)
    if not bases:
        return Survey([], [])
    system = bases[-1].system
    own = [base for base in bases if base.system == system]
    return Survey(own, await branches_of(storage, database, system))


@dataclass(frozen=True, slots=True)
class Line:
    """One history of a server: the log of a timeline on a branch, and what leads to it."""

    archive: Archive
    contents: Contents
    timeline: int
    forks: list[Fork]
    along: list[Base]
    """The base backups on the way."""


async def line_of(storage: Storage, bases: list[Base], timeline: int | None = None) -> Line:
    """Give the history to which base backups of one branch belong. Raises `StorageError`, `Damaged`."""
    archive = Archive(storage, bases[0].home)
    contents = await archive.contents()
    line = timeline or newest_timeline(bases, contents)
    forks = await archive.forks(contents, line)
    return Line(archive, contents, line, forks, [base for base in bases if _on(base, line, forks)])


async def first_moment(storage: Storage, database: str, system: str) -> float | None:
    """Give the first moment, by the server's clock, to which what is now the server's history can be restored.

    None when there is no base backup of this very server since it was made, or set back. Raises as `line_of` does.
    """
    found = await survey(storage, database)
    own = [base for base in found.bases if base.system == system and base.branch == found.branches[-1].number]
    if not own:
        return None
    known = {base.id: base for base in own}
    along = (await line_of(storage, own)).along
    return min((base.ready for base in along if _entire(base, known)), default=None)


@dataclass(frozen=True)
class Moments:
    """What can be restored: base backups in order, the name of the newest segment, the segments that are missing."""

    bases: list[Base]
    newest: str | None
    holes: list[str]
    timeline: int
    set_back: list[float] = field(default_factory=list)
    """When the server was set back on its own timeline: moments from then to the next base backup are lost."""

    def document(self) -> dict[str, Any]:
        """Give it as JSON-able facts."""
        facts = ("id", "taken_at", "ready", "parent", "bytes", "raw_bytes", "timeline", "branch", "version")
        bases = [{name: getattr(base, name) for name in facts} for base in self.bases]
        found = {"bases": bases, "newest": self.newest, "missing": self.holes}
        return {**found, "timeline": self.timeline, "set_back": self.set_back}


async def moments(storage: Storage, database: str) -> Moments:
    """Find out which moments can be restored. Raises `StorageError`, `Damaged`."""
    found = await survey(storage, database)
    if not found.bases:
        return Moments([], None, [], 1)
    holes: dict[str, None] = {}
    for number in sorted({base.branch for base in found.bases}):
        line = await line_of(storage, [base for base in found.bases if base.branch == number])
        ways = [follow(base, line.contents, line.timeline, line.forks) for base in line.along]
        holes |= dict.fromkeys(hole for _, hole in ways if hole)
        newest = max((way[-1].name for way, _ in ways if way), default=None)
    set_back = [branch.begun_at for branch in found.branches[1:]]
    return Moments(found.bases, newest, list(holes), line.timeline, set_back)


async def route(storage: Storage, database: str, target: Target, timeline: int | None = None) -> Route:
    """Find the way to a moment. Raises `NoWay`, `ManifestError`, `StorageError`."""
    own = await _branch(storage, database, target)
    known = {each.id: each for each in own}
    line = await line_of(storage, own, timeline)
    fit = [base for base in line.along if _before(base, target)]
    if not fit:
        first = math.ceil(min(base.ready for base in own))
        raise NoWay(
            f"no base backup of {database} is old enough for {target}",
            hint=f"the first moment is {Target(Kind.TIME, at=first)}",
        )
    missing = ""
    for base in reversed(fit):
        if not _entire(base, known):
            missing = missing or f"base backup {base.parent}"
            continue
        later = [each.start for each in line.along if each.start > base.start and _after(each, target)]
        segments, hole = follow(base, line.contents, line.timeline, line.forks, min(later, default=None))
        if segments and segments[-1].number >= base.last.number:
            if hole is not None and target.kind is Kind.LATEST:
                hint = "say --to with a moment before it, or take a new base backup"
                raise NoWay(f"the log has a hole at {hole}", hint=hint)
            chain = lineage(base, known)
            return Route(target, chain, line.timeline, segments, line.archive, line.contents, hole)
        missing = missing or hole or base.last.name
    raise NoWay(f"what the base backups need is not in {storage.target()}: {missing} is missing")


async def _branch(storage: Storage, database: str, target: Target) -> list[Base]:
    """Give the base backups of the branch on which a moment lies. Raises `NoWay` when it has none."""
    found = await survey(storage, database)
    if not found.bases:
        raise NoWay(
            f"there is no base backup of {database} in {storage.target()}",
            hint=f"mainstay run base_backup:{database} takes one",
        )
    before = [each for each in found.branches if target.kind is not Kind.TIME or each.begun_at <= target.at]
    own = [base for base in found.bases if base.branch == before[-1].number]
    if not own:
        when = Target(Kind.TIME, at=before[-1].begun_at)
        raise NoWay(
            f"the server of {database} was set back at {when}, and there is no base backup since",
            hint=f"say --to with a moment before that, or mainstay run base_backup:{database}",
        )
    return own


def newest_timeline(bases: Iterable[Base], contents: Contents) -> int:
    """Give the newest timeline that anything is known of."""
    names = [*contents.whole, *contents.parts]
    return max(
        [base.timeline for base in bases] + [int(name[:8], 16) for name in names] + [*contents.histories]
    )


def _on(base: Base, timeline: int, forks: list[Fork]) -> bool:
    """Whether a base backup is on the way of a timeline."""
    if base.timeline == timeline:
        return True
    return any(fork.timeline == base.timeline and base.stop <= fork.at for fork in forks)


def _entire(base: Base, known: dict[str, Base]) -> bool:
    """Whether everything is there that an incremental base backup stands on."""
    try:
        lineage(base, known)
    except ManifestError:
        return False
    return True


def _before(base: Base, target: Target) -> bool:
    if target.kind is Kind.TIME:
        return base.ready <= target.at
    if target.kind is Kind.LSN:
        return base.stop <= target.lsn
    return True


def _after(base: Base, target: Target) -> bool:
    """Whether a base backup surely begins behind a moment; the clocks of two machines may differ."""
    if target.kind is Kind.TIME:
        return base.opened > target.at + CLOCKS
    return target.kind is Kind.LSN and base.start >= target.lsn


def follow(
    base: Base, contents: Contents, timeline: int, forks: list[Fork], until: int | None = None
) -> tuple[list[Segment], str | None]:
    """Give the segments from a base backup on, and the name of the first that is missing before the end of the log.

    `until` is a position behind which none is needed. Where two timelines have a segment, both are given.
    """
    size = base.segment_size
    lines = [*(fork for fork in forks), Fork(timeline, 1 << 64)]
    there = {
        Segment.named(name, size)
        for name in {*contents.whole, *contents.parts}
        if int(name[:8], 16) in {line.timeline for line in lines}
    }
    ends = {line.timeline: line.at for line in lines}
    there = {each for each in there if each.start <= ends[each.timeline]}
    last = max((each.number for each in there), default=-1)
    if until is not None:
        last = min(last, until // size)
    found: list[Segment] = []
    for number in range(base.first.number, last + 1):
        some = sorted(each for each in there if each.number == number) if len(lines) > 1 else (
            [Segment(timeline, number, size)] if Segment(timeline, number, size) in there else []
        )  # fmt: skip
        if not some:
            return found, Segment(timeline, number, size).name
        found += some
    return found, None if found else base.first.name
