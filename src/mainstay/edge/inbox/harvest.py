"""Reads from the log what is to be imported next, out of the segments of all processes, in the order of the events.

Within a segment ids grow, so what is read of each is a prefix. What goes into one import is everything up to one id:
nothing overtakes an event that another process acknowledged before.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mainstay.edge.inbox.log import sealed, segments
from mainstay.edge.inbox.record import LEAST, MARK, called, decode, wants, whole
from mainstay.store.inbox import Arrival

LOAD = 2000
"""Events that are read of one segment at a time."""
HEAVIEST = 8 * 2**20
"""Bytes that are read of one segment at a time; a record that is larger is read alone."""
TOGETHER = 32 * 2**20
"""Bytes that are read of all segments together, about: after an outage the log may be larger than the memory."""
GLANCE = 64 * 1024
"""Bytes that are read of a segment to see its next record, unless that is larger."""


@dataclass(slots=True)
class Part:
    """What was read of one segment: events, and where the record of each ends."""

    start: int
    events: list[Arrival] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    more: bool = False
    """Whether there is more behind it that was not read."""

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.ends[-1] if self.ends else self.start


@dataclass(slots=True)
class Harvest:
    """What goes into the journal next, and the bytes of each segment that this is."""

    events: list[Arrival] = field(default_factory=list)
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    bytes: int = 0
    """Bytes in all segments that were not imported before."""

    @property
    def left(self) -> int:
        """How many of these bytes it did not take."""
        return self.bytes - sum(end - start for start, end in self.spans.values())


def harvest(directory: Path, imported: Mapping[str, int]) -> Harvest:
    """Read the next events that are not `imported` yet. Raises `OSError`."""
    sizes = segments(directory)
    found = Harvest(bytes=sum(max(0, size - imported.get(name, 0)) for name, size in sizes.items()))
    parts, last = _next(directory, {name: imported.get(name, 0) for name in sizes})
    if not last:
        return found
    # What was acknowledged before any of these is there by now, if it was not yet when its segment was read.
    for name in segments(directory):
        if name in sizes and name not in parts:
            continue  # all of it is younger
        part = parts.setdefault(name, Part(imported.get(name, 0)))
        if not part.more:
            late = read(directory / name, part.end)
            part.events += late.events
            part.ends += late.ends
    for name, part in parts.items():
        taken = sum(event.id <= last for event in part.events)
        if taken:
            found.events += part.events[:taken]
            found.spans[name] = (part.start, part.ends[taken - 1])
    found.events.sort(key=lambda event: event.id)
    return found


def _next(directory: Path, starts: Mapping[str, int]) -> tuple[dict[str, Part], str]:
    """Read what comes next, and of segments that begin behind it nothing; give it and the last id of what is complete,
    which is empty when there is nothing. Raises `OSError`."""
    heads = sorted((_first(directory / name, start), name) for name, start in starts.items())
    heaviest = min(HEAVIEST, max(HEAVIEST // 16, TOGETHER // max(1, len(heads))))
    parts: dict[str, Part] = {}
    cut, weight = "", 0
    for first, name in heads:
        if weight >= TOGETHER:
            read_whole = [one.id for part in parts.values() for one in part.events if one.id <= first]
            cut = min(filter(None, (cut, max(read_whole, default=first))))
        if cut and first > cut:
            break
        part = parts[name] = read(directory / name, starts[name], heaviest=heaviest)
        weight += part.end - part.start
        if part.more:
            cut = min(filter(None, (cut, part.events[-1].id)))
    return parts, cut or max((part.events[-1].id for part in parts.values() if part.events), default="")


def _first(path: Path, start: int) -> str:
    """Give what the record at `start` says that it is called, whole or not; empty when there is none."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        return called(os.pread(file, LEAST + 64, start))
    finally:
        os.close(file)


def read(path: Path, start: int, most: int = 0, heaviest: int = 0) -> Part:
    """Read a segment from `start` on, as far as its records are whole: `most` (or `LOAD`) of them, and `heaviest` (or
    `HEAVIEST`) bytes.

    One that is gone has none. Raises `OSError`.
    """
    part, most, heaviest = Part(start), most or LOAD, heaviest or HEAVIEST
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return part
    try:
        data = os.pread(file, heaviest, start)
        if (needed := wants(data)) > len(data):
            data = os.pread(file, needed, start)
    finally:
        os.close(file)
    at = 0
    while len(part.events) < most and (end := whole(data, at)):
        part.events.append(decode(data, at, end))
        part.ends.append(start + end)
        at = end
    part.more = len(part.events) == most or (bool(part.events) and len(data) >= heaviest)
    return part


def waiting(directory: Path, imported: Mapping[str, int]) -> tuple[int, float | None]:
    """Give how many bytes are not `imported` yet, and when the first of these events came. Raises `OSError`."""
    try:
        sizes = segments(directory)
    except FileNotFoundError:
        return 0, None
    behind = {name: size - imported.get(name, 0) for name, size in sizes.items()}
    first = [
        part.events[0].received_at
        for name, size in behind.items()
        if size > 0 and (part := read(directory / name, imported.get(name, 0), 1, GLANCE)).events
    ]
    return sum(size for size in behind.values() if size > 0), min(first, default=None)


def spent(directory: Path, imported: Mapping[str, int]) -> dict[str, int]:
    """Give the segments that nobody writes any more and of which every record that is whole is imported, and where in
    each the next whole record is, behind something that cannot be read: 0 where there is none. Raises `OSError`.
    """
    found: dict[str, int] = {}
    for name in segments(directory):
        path, upto = directory / name, imported.get(name, 0)
        with suppress(FileNotFoundError):
            if sealed(path) and not read(path, upto, 1, GLANCE).events:
                found[name] = _behind(path, upto)
    return found


def _behind(path: Path, at: int) -> int:
    """Give where the next whole record is, when what stands at `at` is none; 0 when there is none."""
    if path.stat().st_size <= at:
        return 0
    data = path.read_bytes()
    while (at := data.find(MARK[:3], at + 1)) > 0:
        if whole(data, at):
            return at
    return 0


def remembered(directory: Path) -> Iterator[tuple[str, list[Arrival]]]:
    """Give the events of each segment in pieces, the oldest segment first. Raises `OSError`."""
    for name in segments(directory):
        at = 0
        while (part := read(directory / name, at)).events:
            at = part.end
            yield name, part.events
