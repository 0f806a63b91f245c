"""What holds still in a tree while somebody else backs it up: a witness that is not the program itself."""

import hashlib
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from mainstay.backup.data.tree import BLOCK, ROOT, Entry, Tally, entry_of, pairs, walk

SAMPLE = 200
"""Files whose contents are read for the witness."""
LARGEST = 32 << 20
"""Bytes above which a file is not read for it."""


class Witness:
    """Looks at a tree before and after, and lists what was the same. `tally` counts that, `moved` the rest."""

    def __init__(self, root: Path, out: Callable[[str], bool], folder: Path) -> None:
        self._root, self._out = root, out
        self._before, self._list = folder / "before.jsonl", folder / "files.jsonl"
        self.tally = Tally()
        self.moved = self.read = 0

    def before(self) -> None:
        """Look for the first time. Raises `OSError`, `DataError`."""
        with self._before.open("wb") as to:
            for entry, changed in self._look():
                to.write(json.dumps([*entry, changed]).encode() + b"\n")

    def after(self) -> Path:
        """Look again, and give the list of what was the same; of some files with a checksum. Raises `OSError`."""
        chosen: list[tuple[Entry, int]] = []
        draft, files = self._list.with_suffix(".draft"), 0
        with self._before.open("rb") as lines, draft.open("wb") as to:
            for entry, changed in self._same(lines):
                to.write(entry.line())
                if entry.kind == "file" and entry.size <= LARGEST:
                    files += 1
                    _reservoir(chosen, (entry, changed), files)
        sums = dict(filter(None, (self._sum(*each) for each in chosen)))
        self.read = len(sums)
        with draft.open("rb") as lines, self._list.open("wb") as to:
            for line in lines:
                entry = Entry.parse(line)
                entry = entry._replace(sha256=sums.get(entry.path, ""))
                self.tally.add(entry)
                to.write(entry.line())
        return self._list

    def _same(self, before: BinaryIO) -> Iterator[tuple[Entry, int]]:
        def parsed() -> Iterator[tuple[Entry, int]]:
            for line in before:
                *entry, changed = json.loads(line)
                yield Entry(*entry), changed

        for was, now in pairs(parsed(), self._look(), lambda each: each[0].place):
            if was is not None and was == now:
                yield was
            else:
                self.moved += 1

    def _look(self) -> Iterator[tuple[Entry, int]]:
        names: dict[tuple[int, int], str] = {}
        for found in walk(self._root, self._out, lambda path: None):
            try:
                entry = entry_of(found, names)
            except FileNotFoundError:
                continue
            if entry is not None and entry.path != ROOT:
                yield entry, found.info.st_ctime_ns

    def _sum(self, entry: Entry, changed: int) -> tuple[str, str] | None:
        """Read a file; None when it is another one by now."""
        sha256 = hashlib.sha256()
        try:
            with (self._root / entry.path).open("rb", 0) as there:
                while block := there.read(BLOCK):
                    sha256.update(block)
                same = os.fstat(there.fileno()).st_ctime_ns == changed
        except OSError:
            return None
        return (entry.path, sha256.hexdigest()) if same else None


def _reservoir(chosen: list[tuple[Entry, int]], entry: tuple[Entry, int], number: int) -> None:
    """Keep a sample in which each of so many has the same chance."""
    if len(chosen) < SAMPLE:
        chosen.append(entry)
    elif (place := random.randrange(number)) < SAMPLE:  # noqa: S311 - nothing is secret here
        chosen[place] = entry
