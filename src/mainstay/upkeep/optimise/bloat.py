"""How much of tables and B-tree indexes is empty: measured by pgstattuple where it is, else estimated.

The estimate is what the rows would take if they were packed, from the planner's statistics (widths and counts): rows
of tables with 28 bytes of header each, entries of indexes with 12 and the index's fill factor. It leaves out padding
between columns and what an index saves on equal keys, so tables may look a fifth too empty, and indexes fuller than
they are. Without statistics nothing is said.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from mainstay.upkeep.optimise.catalog import Index, Table
from mainstay.upkeep.optimise.session import NotAllowed, Session, TooLong

PAGE = 8192
USABLE = PAGE - 40
TABLE_WIDTHS = """
SELECT a.attrelid::bigint, sum((1 - s.null_frac) * s.avg_width)::float8
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname
  AND NOT s.inherited
WHERE a.attrelid = ANY(%s::bigint[]::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
GROUP BY a.attrelid HAVING bool_and(s.avg_width IS NOT NULL)
"""
INDEX_WIDTHS = """
SELECT i.indexrelid::bigint, sum((1 - s.null_frac) * s.avg_width)::float8
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = i.indexrelid
LEFT JOIN pg_attribute t ON t.attrelid = i.indrelid AND t.attnum = i.indkey[a.attnum - 1] AND t.attnum > 0
LEFT JOIN pg_stats s ON s.schemaname = n.nspname AND NOT s.inherited
  AND s.tablename = CASE WHEN t.attnum IS NULL THEN x.relname ELSE c.relname END
  AND s.attname = coalesce(t.attname, a.attname)
WHERE i.indexrelid = ANY(%s::bigint[]::oid[])
GROUP BY i.indexrelid HAVING bool_and(s.avg_width IS NOT NULL)
"""


class Bloat(NamedTuple):
    """Empty bytes of `of` bytes; `measured` by pgstattuple, or estimated."""

    bytes: int
    of: int
    measured: bool

    @property
    def percent(self) -> float:
        """The empty share."""
        return round(100 * self.bytes / self.of, 1) if self.of else 0.0

    @property
    def words(self) -> str:
        """The empty share in words, with how it is known."""
        return f"{self.percent:g}% empty ({'measured' if self.measured else 'estimated'})"


async def of_tables(session: Session, found: Sequence[Table], over: Callable[[], bool]) -> dict[int, Bloat]:
    """Give the bloat of tables by their numbers; after the time is `over` only estimates."""
    widths = dict(await session.rows(TABLE_WIDTHS, [[each.oid for each in found]]))
    known: dict[int, Bloat] = {}
    for table in found:
        measured = await _measured(session, table.oid, over, _table)
        if measured is not None:
            known[table.oid] = measured
        elif table.oid in widths:
            packed = max(table.rows, table.live) * (28 + _aligned(widths[table.oid])) / USABLE * PAGE
            known[table.oid] = Bloat(max(0, int(table.bytes - packed)), table.bytes, False)
    return known


async def of_indexes(session: Session, found: Sequence[Index], over: Callable[[], bool]) -> dict[int, Bloat]:
    """Give the bloat of B-tree indexes by their numbers; after the time is `over` only estimates."""
    trees = [each for each in found if each.method == "btree"]
    widths = dict(await session.rows(INDEX_WIDTHS, [[each.oid for each in trees]]))
    known: dict[int, Bloat] = {}
    for index in trees:
        filled = index.filled

        async def look(session: Session, oid: int, filled: int = filled) -> Bloat:
            return await _index(session, oid, filled)

        measured = await _measured(session, index.oid, over, look)
        if measured is not None:
            known[index.oid] = measured
        elif index.oid in widths:
            entries = index.rows * (12 + _aligned(widths[index.oid])) / (filled / 100)
            packed = PAGE + entries / USABLE * PAGE
            known[index.oid] = Bloat(max(0, int(index.bytes - packed)), index.bytes, False)
    return known


async def _measured(session: Session, oid: int, over: Callable[[], bool], look: Callable) -> Bloat | None:  # type: ignore[type-arg]
    if "pgstattuple" not in session.extensions or over():
        return None
    try:
        found: Bloat = await look(session, oid)
    except (NotAllowed, TooLong):
        return None
    return found


async def _table(session: Session, oid: int) -> Bloat:
    schema = session.extensions["pgstattuple"]
    size, empty = await session.row(
        "SELECT table_len, dead_tuple_len + approx_free_space "  # noqa: S608 - quoted by the server
        f"FROM {schema}.pgstattuple_approx(%s::oid::regclass)",
        [oid],
    )
    return Bloat(int(empty), int(size), True)


async def _index(session: Session, oid: int, filled: int) -> Bloat:
    schema = session.extensions["pgstattuple"]
    size, leaves, internal, density = await session.row(
        "SELECT index_size, leaf_pages, internal_pages, CASE WHEN leaf_pages > 0 THEN avg_leaf_density ELSE 0 END "  # noqa: S608
        f"FROM {schema}.pgstatindex(%s::oid::regclass)",
        [oid],
    )
    packed = (leaves * min(1.0, density / filled) + internal + 1) * PAGE
    return Bloat(max(0, int(size - packed)), int(size), True)


def _aligned(width: float) -> float:
    return -(-width // 8) * 8
