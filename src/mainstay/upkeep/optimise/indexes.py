"""Indexes: invalid, empty, duplicate and unused ones."""

import re
from collections.abc import Iterator, Mapping, Sequence

from mainstay.core.amounts import format_size
from mainstay.upkeep.optimise.ailment import Ailment, Deed, Level, Work
from mainstay.upkeep.optimise.bloat import Bloat
from mainstay.upkeep.optimise.catalog import Index
from mainstay.upkeep.optimise.rules import Thresholds

LEFT_OVER = re.compile(r"_cc(?:new|old)\d*$")
"""How REINDEX CONCURRENTLY names what it has not finished."""


def invalid(name: str, found: Sequence[Index]) -> Iterator[tuple[Ailment, Deed]]:
    """Give the indexes that cost with every write and serve no query: half a rebuild goes, others are rebuilt."""
    for index in (each for each in found if not each.valid):
        left = left_over(index, found)
        if not left and index.exclusion:
            continue  # it cannot be rebuilt beside others, and cannot become invalid
        work = Work.DROP if left else Work.REBUILD
        words = (
            "left over by an index build that was cut off" if left else "invalid: a build of it was cut off"
        )
        deed = Deed(work, name, index.name, words, index.oid, index.bytes)
        facts = {"bytes": index.bytes}
        yield Ailment("invalid_index", name, index.name, words, Level.WARNING, deed.sql, facts), deed


def left_over(index: Index, found: Sequence[Index]) -> bool:
    """Whether an invalid index is half of a rebuild: named like one, beside the index that it was to replace.

    The one of a table's out-of-line values stands alone here, as only invalid ones of these are looked at.
    """
    if index.valid or index.bound or not LEFT_OVER.search(index.bare):
        return False
    base = LEFT_OVER.sub("", index.bare)
    beside = (each for each in found if each.of == index.of and each.oid != index.oid)
    return index.name.startswith("pg_toast.") or any(each.bare.startswith(base) for each in beside)


def empty(
    name: str, found: Sequence[Index], bloats: Mapping[int, Bloat], rules: Thresholds
) -> Iterator[tuple[Ailment, Deed | None]]:
    """Give the indexes with much empty room; those that may not be rebuilt here without a deed."""
    for index in found:
        bloat = bloats.get(index.oid)
        if not index.valid or bloat is None or bloat.of < rules.smallest or bloat.percent < rules.empty:
            continue
        words = f"{format_size(bloat.bytes)} of {format_size(bloat.of)} are empty, {bloat.words}"
        deed = Deed(Work.REBUILD, name, index.name, words, index.oid, index.bytes)
        facts = {"empty_bytes": bloat.bytes, "bytes": bloat.of, "measured": bloat.measured}
        ailment = Ailment("index_bloat", name, index.name, words, Level.NOTE, deed.sql, facts)
        yield ailment, None if index.exclusion or index.bytes > rules.largest else deed


def duplicates(name: str, found: Sequence[Index]) -> Iterator[tuple[Ailment, Deed | None]]:
    """Give indexes that another one replaces: equal ones, and those whose columns another one begins with."""
    spare = [each for each in found if each.valid and not each.bound]
    gone: set[int] = set()
    for equal in (True, False):  # of equal ones one stays, and only that may be the beginning of another one
        for index in spare:
            rest = (each for each in found if each.oid not in gone and (each.shape == index.shape) is equal)
            other = next((each for each in rest if _replaces(each, index)), None)
            if index.oid in gone or other is None:
                continue
            gone.add(index.oid)
            words = f"{'equal to' if equal else 'its columns are the first of'} {other.name}"
            facts = {"bytes": index.bytes, "other": other.name}
            deed = Deed(Work.DROP, name, index.name, words, index.oid, index.bytes)
            kind = "duplicate_index" if equal else "redundant_index"
            fix = f"DROP INDEX CONCURRENTLY {index.name}"
            yield Ailment(kind, name, index.name, words, Level.NOTE, fix, facts), deed if equal else None


def _replaces(other: Index, index: Index) -> bool:
    """Whether `other` serves whatever `index` serves, and is the one to stay."""
    if other.of != index.of or other.oid == index.oid or not other.valid:
        return False
    if other.shape == index.shape:
        if other.unique != index.unique:
            return other.unique
        return other.bound or other.oid < index.oid
    if (
        index.unique
        or not (index.plain and other.plain)
        or index.method != "btree"
        or other.method != "btree"
    ):
        return False
    mine, theirs = _columns(index), _columns(other)
    return index.many == len(mine) and len(mine) < other.many and theirs[: len(mine)] == mine


def _columns(index: Index) -> list[tuple[str, ...]]:
    """Each column with its operator class, collation and direction."""
    _, classes, collations, options = index.classes.split("|")
    keys = index.keys.split()
    parts = zip(keys[: index.many], classes.split(), collations.split(), options.split(), strict=True)
    columns = list(parts)
    return [*columns, *((key, "", "", "") for key in keys[index.many :])]


def unused(
    name: str,
    found: Sequence[Index],
    rules: Thresholds,
    seen: Mapping[str, tuple[int, float]],
    now: float,
    replicas: int,
) -> Iterator[Ailment]:
    """Give the indexes that no query used since we first saw that count of uses, `seen` by key.

    An index that is younger than our memory has no history: it is told with the day from which on it may be judged.
    """
    for index in found:
        if index.bound or index.unique or not index.valid or index.bytes < rules.smallest:
            continue
        scans, since = seen.get(use_key(name, index), (index.scans, now))
        if index.scans != scans or (index.scans and now - since < rules.unused):
            continue
        ripe = now - since >= rules.unused
        days = (now - since) / 86400
        words = f"no query used it for {days:.0f} days" if ripe else "no query used it yet"
        words += f", {format_size(index.bytes)}"
        if replicas:
            words += "; a replica may use it, look there too"
        waits = (rules.unused - (now - since)) / 86400
        fix = f"DROP INDEX CONCURRENTLY {index.name}" if ripe else f"judge it in {waits:.0f} days"
        facts = {"bytes": index.bytes, "uses": index.scans, "ripe": ripe}
        yield Ailment("unused_index", name, index.name, words, Level.NOTE, fix, facts)


def use_key(name: str, index: Index) -> str:
    """By what the uses of an index are remembered; a new index of an old name begins anew."""
    return f"{name}/{index.name}/{index.oid}"
