"""Tables: dead rows, old statistics, emptiness, age in transactions, and what keeps rows from being cleaned up."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mainstay.core.amounts import format_size
from mainstay.upkeep.optimise.ailment import Ailment, Deed, Level, Work
from mainstay.upkeep.optimise.bloat import Bloat
from mainstay.upkeep.optimise.catalog import Table
from mainstay.upkeep.optimise.rules import Thresholds
from mainstay.upkeep.optimise.session import Session

GRAVE = 1_000_000_000
"""Age in transactions from which it is critical: at two thousand million the server stops to write."""
HOLDING = 3600.0
"""Seconds for which a transaction may be open before it is told."""
HOLDERS = """
SELECT 'session ' || pid, 'a transaction of ' || coalesce(usename, '?') || ' is open for '
       || round(extract(epoch FROM now() - xact_start) / 3600) || ' hours (' || coalesce(state, '?') || ')',
       'SELECT pg_terminate_backend(' || pid || ')'
FROM pg_stat_activity WHERE datname = current_database() AND backend_xmin IS NOT NULL
 AND backend_type = 'client backend' AND xact_start < now() - make_interval(secs => %s)
UNION ALL
SELECT 'prepared transaction ' || gid, 'it was prepared ' || prepared::timestamp(0) || ' and never ended',
       'ROLLBACK PREPARED ' || quote_literal(gid)
FROM pg_prepared_xacts WHERE database = current_database() AND prepared < now() - make_interval(secs => %s)
UNION ALL
SELECT 'replication slot ' || slot_name, 'nobody uses it, and it keeps rows of '
       || greatest(age(xmin), age(catalog_xmin)) || ' transactions',
       'SELECT pg_drop_replication_slot(' || quote_literal(slot_name) || ')'
FROM pg_replication_slots WHERE NOT active AND greatest(age(xmin), age(catalog_xmin)) > 1000000
"""


def worn(name: str, found: Sequence[Table], rules: Thresholds) -> Iterator[tuple[Ailment, Deed]]:
    """Give the tables whose statistics say that they want vacuum or analyse, or whose age is high."""
    for table in found:
        if max(table.age or 0, table.multi_age or 0) >= rules.freeze:
            yield _old(name, table)
        elif table.system:
            continue
        elif table.dead >= rules.rows and 100 * table.dead >= rules.dead * (table.dead + table.live):
            share = 100 * table.dead / (table.dead + table.live)
            words = f"{table.dead:,} dead rows, {share:.0f}%"
            yield _pair(
                "dead_rows", Work.VACUUM, name, table, words, {"dead": table.dead, "live": table.live}
            )
        elif _stale(table, rules):
            words = (
                "statistics were never gathered"
                if table.unknown
                else f"{table.changed:,} rows changed since statistics were gathered"
            )
            yield _pair("old_statistics", Work.ANALYZE, name, table, words, {"changed": table.changed})


def _stale(table: Table, rules: Thresholds) -> bool:
    if table.unknown:
        return max(table.changed, table.live) >= rules.rows
    return table.changed >= rules.rows and 100 * table.changed >= rules.changed * table.live


def _old(name: str, table: Table) -> tuple[Ailment, Deed]:
    age = max(table.age or 0, table.multi_age or 0)
    facts = {"age": table.age, "multi_age": table.multi_age}
    level = Level.CRITICAL if age >= GRAVE else Level.WARNING
    return _pair("xid_age", Work.FREEZE, name, table, f"{age:,} transactions old", facts, level)


def _pair(
    kind: str,
    work: Work,
    name: str,
    table: Table,
    words: str,
    facts: dict[str, Any],
    level: Level = Level.NOTE,
) -> tuple[Ailment, Deed]:
    deed = Deed(work, name, table.name, words, table.oid, table.bytes)
    return Ailment(kind, name, table.name, words, level, deed.sql, facts), deed


def empty(
    name: str, found: Sequence[Table], bloats: Mapping[int, Bloat], rules: Thresholds
) -> Iterator[Ailment]:
    """Give the tables with much empty room. They are told only: giving room back locks a table, or wants pg_repack."""
    for table in found:
        bloat = bloats.get(table.oid)
        if bloat is None or bloat.of < rules.smallest or bloat.percent < rules.empty:
            continue
        yield Ailment(
            "table_bloat",
            name,
            table.name,
            f"{format_size(bloat.bytes)} of {format_size(bloat.of)} are empty, {bloat.words}",
            Level.NOTE,
            f"new rows fill the room; to give it back: pg_repack --table {table.name}, "
            "or VACUUM FULL while nobody uses it",
            {"empty_bytes": bloat.bytes, "bytes": bloat.of, "measured": bloat.measured},
        )


async def holders(session: Session, name: str) -> list[Ailment]:
    """Give what keeps old rows alive, so that no vacuum can remove them."""
    found = await session.rows(HOLDERS, [HOLDING, HOLDING])
    return [
        Ailment("horizon", name, subject, f"{words}: vacuum cannot remove what it might still see",
                Level.WARNING, fix)
        for subject, words, fix in found
    ]  # fmt: skip
