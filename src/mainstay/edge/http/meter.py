"""What the edge counts, in memory that other processes can read: a mapped file per process, below `state_dir`.

A file keeps its numbers when its process ends, and the next one goes on with it; so a counter never falls. What was
counted is written there with each beat, every half second: that much is lost when a process is killed, and nothing when
it ends by itself. Counting is one addition in memory: no lock, no call to the kernel.
"""

import fcntl
import json
import logging
import math
import mmap
import os
import struct
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

logger = logging.getLogger(__name__)

DIRECTORY: Final = "edge"
MAGIC: Final = b"mainmtr1"
CELLS: Final = 8192
"""Numbers that a file has room for."""
VALUES_AT: Final = 4096
NAMES_AT: Final = VALUES_AT + 8 * CELLS
SIZE: Final = NAMES_AT + 1024 * 1024
FRESH: Final = 10.0
"""Seconds without a beat after which a process, and what it has now, is taken for gone."""
SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Upper ends of a histogram's buckets, for answers that should take milliseconds."""

Sample = tuple[str, tuple[str, ...]]
"""A name as Prometheus reads it (with `_bucket`, `_sum`), and the values of the labels, `le` the last."""


@dataclass(frozen=True, slots=True)
class Family:
    """A metric: its name without endings, what it means, its labels. Counters end in `_total`."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    kind: Literal["counter", "gauge", "histogram"] = "counter"
    bounds: tuple[float, ...] = SECONDS


class Cell:
    """One number."""

    __slots__ = ("_at", "_more", "_values")

    def __init__(self, values: "memoryview[float]", at: int) -> None:
        self._values = values
        self._at = at
        self._more = 0.0
        """What was counted since it was last written."""

    def add(self, amount: float = 1.0) -> None:
        """Count."""
        self._more += amount

    def set(self, value: float) -> None:
        """Say how much there is now."""
        self._more = 0.0
        self._values[self._at] = value

    def flush(self) -> None:
        """Write down what was counted."""
        if self._more:
            self._values[self._at] += self._more
            self._more = 0.0

    @property
    def value(self) -> float:
        """How much it is."""
        return self._values[self._at] + self._more


class Histogram:
    """How often something took how long."""

    __slots__ = ("_at", "_bounds", "_counts", "_sum", "_values")

    def __init__(self, values: "memoryview[float]", at: int, bounds: Sequence[float]) -> None:
        self._values = values
        self._at = at
        self._bounds = bounds
        self._sum = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def observe(self, amount: float) -> None:
        """Count one that took so long."""
        self._sum += amount
        self._counts[bisect_left(self._bounds, amount)] += 1

    def flush(self) -> None:
        """Write down what was counted."""
        values, at = self._values, self._at
        values[at] += self._sum
        self._sum = 0.0
        for place, count in enumerate(self._counts, at + 1):
            if count:
                values[place] += count
                self._counts[place - at - 1] = 0


class Meter:
    """This process's numbers. Without a directory, or when the disk is full, nobody else can read them."""

    def __init__(self, directory: Path | None = None, part: str = "edge") -> None:
        self._file = _claim(directory, part) if directory is not None else -1
        self._map = mmap.mmap(self._file, SIZE) if self._file >= 0 else mmap.mmap(-1, SIZE)
        self._values = memoryview(self._map)[VALUES_AT:NAMES_AT].cast("d")
        self._end = 0
        self._places: dict[Sample, int] = {}
        self._cells: dict[int, Cell] = {}
        self._histograms: dict[int, Histogram] = {}
        self._taken = 1  # the first cell takes what there is no room for
        for sample in _names(self._map):
            self._remember(sample)
        # Where names were lost with the power, their numbers are nobody's.
        self._values[self._taken :] = memoryview(bytes(8 * (CELLS - self._taken))).cast("d")

    def cell(self, family: Family, *labels: str) -> Cell:
        """Give the number with these labels: a counter goes on where it was, a gauge begins at 0."""
        ending = "_total" if family.kind == "counter" else ""
        at = self._place([(family.name + ending, labels)])
        cell = self._cells.get(at) or self._cells.setdefault(at, Cell(self._values, at))
        if family.kind == "gauge":
            cell.set(0.0)
        return cell

    def histogram(self, family: Family, *labels: str) -> Histogram:
        """Give the histogram with these labels."""
        buckets = [f"{bound:g}" for bound in family.bounds] + ["+Inf"]
        samples = [(family.name + "_sum", labels)]
        samples += [(family.name + "_bucket", (*labels, bucket)) for bucket in buckets]
        at = self._place(samples)
        if at == 0:
            return Histogram(memoryview(bytearray(8 * len(samples))).cast("d"), 0, family.bounds)
        known = self._histograms.get(at)
        return known or self._histograms.setdefault(at, Histogram(self._values, at, family.bounds))

    def beat(self, now: float) -> None:
        """Write down what was counted, and say that this process lives; `now` in seconds since 1970."""
        self.flush()
        struct.pack_into("d", self._map, 16, now)

    def flush(self) -> None:
        """Write down what was counted."""
        for cell in self._cells.values():
            cell.flush()
        for histogram in self._histograms.values():
            histogram.flush()

    def close(self) -> None:
        """Let go of the file; what this process had is gone, what it counted stays."""
        self.beat(0.0)
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _place(self, samples: list[Sample]) -> int:
        at = self._places.get(samples[0])
        if at is not None:
            return at
        text = b"".join(_line(sample) for sample in samples)
        at = self._taken
        if at + len(samples) > CELLS or NAMES_AT + self._end + len(text) > SIZE:
            logger.warning("there is no room for another metric: %s", samples[0])
            return 0
        self._map[NAMES_AT + self._end : NAMES_AT + self._end + len(text)] = text
        for sample in samples:
            self._remember(sample)
        # Said last: who reads meanwhile sees either nothing or all of it.
        struct.pack_into("8sQ", self._map, 0, MAGIC, self._end)
        return at

    def _remember(self, sample: Sample) -> None:
        self._places[sample] = self._taken
        self._taken += 1
        self._end += len(_line(sample))


def read(directory: Path, now: float) -> dict[Sample, float]:
    """Add up the numbers of all processes. What a gauge said in a process that is gone does not count."""
    found: dict[Sample, float] = {}
    for path in sorted(directory.glob("*.meter")):
        try:
            content = path.read_bytes()
        except OSError:
            continue
        if len(content) != SIZE:
            continue
        alive = now - struct.unpack_from("d", content, 16)[0] < FRESH
        values = struct.unpack_from(f"{CELLS}d", content, VALUES_AT)
        for at, sample in enumerate(_names(content), 1):
            counted = sample[0].endswith(("_total", "_sum", "_bucket"))
            if counted or alive:
                found[sample] = found.get(sample, 0.0) + values[at]
    return {sample: value for sample, value in found.items() if math.isfinite(value)}


def _names(content: "bytes | mmap.mmap") -> Iterator[Sample]:
    """Give the names, in the order of their numbers; after a power cut up to the first that is not whole."""
    magic, end = struct.unpack_from("8sQ", content, 0)
    if magic != MAGIC or end > SIZE - NAMES_AT:
        return
    for line in content[NAMES_AT : NAMES_AT + end].splitlines():
        try:
            name, *labels = json.loads(line)
            yield str(name), tuple([str(label) for label in labels])
        except (ValueError, TypeError):
            return


def _line(sample: Sample) -> bytes:
    return json.dumps([sample[0], *sample[1]]).encode() + b"\n"


def _claim(directory: Path, part: str) -> int:
    """Open the first file that no living process has; give its descriptor, which holds the lock, or -1."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for number in range(256):
            file = os.open(directory / f"{part}-{number}.meter", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Room on the disk must be had now: a write into a hole of a full one would end the process.
                os.posix_fallocate(file, 0, SIZE)
            except BlockingIOError:
                os.close(file)
            except OSError:
                os.close(file)
                raise
            else:
                return file
    except OSError as fault:
        logger.warning("what the edge counts cannot be read by others: %s", fault.strerror)
    return -1
