"""Missing indexes. With hypopg an index is advised when the planner would take it, with its costs before and after.

Without it only candidates are told, as unproven: tables that are read from end to end again and again, and columns of
foreign keys without an index.
"""

import json
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

from mainstay.ports.postgres.dsn import PostgresError
from mainstay.upkeep.optimise.ailment import Ailment, Level
from mainstay.upkeep.optimise.catalog import Index, Table
from mainstay.upkeep.optimise.rules import Thresholds
from mainstay.upkeep.optimise.session import Session

BETTER = 0.8
"""An index must lower the planner's cost to at most this share."""
LONG_SCAN = 10_000
"""Rows per scan from which reading a table from end to end is worth a word."""
OFTEN = 50
"""Scans below which it is not."""
COLUMNS = """
SELECT c.oid::bigint, a.attname, quote_ident(a.attname) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.oid = ANY(%s::bigint[]::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
"""
# `%%` as it has parameters. The last column: whether the table's owner may be trusted with our rights.
KEYS = """
SELECT k.conrelid::bigint, format('%%I.%%I', n.nspname, c.relname), k.conname, k.conkey::int[],
  (SELECT array_agg(quote_ident(a.attname) ORDER BY o) FROM unnest(k.conkey) WITH ORDINALITY u(num, o)
   JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num),
  (SELECT array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY o)
   FROM unnest(k.conkey) WITH ORDINALITY u(num, o)
   JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num),
  r.rolname = current_user OR r.rolsuper
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_roles r ON r.oid = c.relowner
WHERE k.contype = 'f' AND k.conrelid = ANY(%s::bigint[]::oid[])
"""
PATH = "SELECT set_config('search_path', reset_val, true) FROM pg_settings WHERE name = 'search_path'"
WORDS = re.compile(r"'(?:[^']|'')*'")
COMPARED = r"(?:\b\w+\.)?{column}\)?(?:::[\w ]+)? (=|<=|>=|<|>) "


class Candidate(NamedTuple):
    """An index that may help, and for what."""

    table: str
    columns: tuple[str, ...]
    why: str

    @property
    def sql(self) -> str:
        """How it would be made."""
        return f"ON {self.table} ({', '.join(self.columns)})"


async def look(
    session: Session,
    name: str,
    tables: Sequence[Table],
    indexes: Sequence[Index],
    plannable: Sequence[tuple[str, int]],
    rules: Thresholds,
) -> list[Ailment]:
    """Give the indexes that are missing, proven by the planner, and the unproven candidates."""
    large = {each.oid: each for each in tables if not each.system and each.bytes >= rules.smallest}
    known: dict[str, Ailment] = {}
    for each in [each async for each in _keys(session, name, large, indexes)]:
        known.setdefault(each.subject, each)
    hypo = session.extensions.get("hypopg")
    if hypo is not None:
        for text, calls in plannable:
            # One that cannot be planned alone, or whose tables are not ours to read, is passed over.
            with suppress(PostgresError):
                for each in await _advised(session, hypo, name, large, text, calls):
                    known.setdefault(each.subject, each)
    advised = {each.facts["table"] for each in known.values()}
    return [*known.values(), *_scanned(name, [t for t in large.values() if t.name not in advised])]


def _scanned(name: str, tables: Sequence[Table]) -> Iterator[Ailment]:
    for table in tables:
        each = table.scanned / table.scans if table.scans else 0
        if table.scans >= OFTEN and each >= LONG_SCAN and table.scans > table.lookups:
            words = f"unproven: read from end to end {table.scans:,} times, {each:,.0f} rows each"
            fix = "pg_stat_statements and hypopg would say which index"
            yield Ailment("missing_index", name, table.name, words, Level.NOTE, fix,
                          {"proven": False, "table": table.name, "scans": table.scans})  # fmt: skip


async def _keys(
    session: Session, name: str, large: dict[int, Table], indexes: Sequence[Index]
) -> AsyncIterator[Ailment]:
    """Foreign keys without an index: each delete or update of what they refer to reads the whole table."""
    for of, table, constraint, numbers, columns, types, trusted in await session.rows(KEYS, [list(large)]):
        if any(_leads(each, numbers) for each in indexes if each.of == of and each.valid):
            continue
        candidate = Candidate(table, tuple(columns), f"the foreign key {constraint} has no index")
        hypo = session.extensions.get("hypopg")
        if hypo is None or not trusted:
            yield _told(name, candidate, None)
            continue
        wheres = " AND ".join(f"x.{column} = ${number}" for number, column in enumerate(columns, 1))
        query = f"SELECT 1 FROM ONLY {table} x WHERE {wheres} FOR KEY SHARE OF x"  # noqa: S608 - quoted by the server
        try:
            costs = await _tried(session, hypo, candidate, query, types)
        except PostgresError:  # we may not read the table
            yield _told(name, candidate, None)
            continue
        if costs is not None and costs[1] <= BETTER * costs[0]:
            yield _told(name, candidate, costs)


def _leads(index: Index, numbers: Sequence[int]) -> bool:
    keys = index.keys.split()[: index.many]
    return index.plain and set(keys[: len(numbers)]) == {str(each) for each in numbers}


def _told(name: str, candidate: Candidate, costs: tuple[float, float] | None) -> Ailment:
    facts: dict[str, Any] = {
        "table": candidate.table,
        "columns": list(candidate.columns),
        "proven": costs is not None,
    }
    words = f"unproven: {candidate.why}"
    if costs is not None:
        facts |= {"cost_before": costs[0], "cost_after": costs[1]}
        words = f"{candidate.why}; the planner's cost falls from {costs[0]:,.0f} to {costs[1]:,.0f}"
    level = Level.NOTE if costs is None else Level.WARNING
    fix = f"CREATE INDEX CONCURRENTLY {candidate.sql}"
    return Ailment("missing_index", name, candidate.sql.removeprefix("ON "), words, level, fix, facts)


async def _advised(
    session: Session, hypo: str, name: str, large: dict[int, Table], text: str, calls: int
) -> list[Ailment]:
    """Ask the planner about one query: with each index that its filters suggest, what would it cost?"""
    async with _planning(session):
        await _prepare(session, text)
        suggested = await _suggested(session, await _explain(session), large, calls)
    found = []
    for candidate in suggested:
        costs = await _tried(session, hypo, candidate, text, None)
        if costs is not None and costs[1] <= BETTER * costs[0]:
            found.append((costs[1], _told(name, candidate, costs)))
    return [min(found, key=lambda each: each[0])[1]] if found else []


async def _suggested(
    session: Session, plan: dict[str, Any], large: dict[int, Table], calls: int
) -> list[Candidate]:
    names = {table.name.replace('"', ""): table for table in large.values()}
    found: list[Candidate] = []
    columns = await session.rows(COLUMNS, [list(large)])
    for node in _nodes(plan):
        table = names.get(f"{node.get('Schema')}.{node.get('Relation Name')}")
        if node["Node Type"] != "Seq Scan" or table is None or "Filter" not in node:
            continue
        bare = {column: quoted for of, column, quoted in columns if of == table.oid}
        equal, ranged = _compared(node["Filter"], bare)
        why = f"a query that ran {calls:,} times reads the whole table"
        found += [Candidate(table.name, chosen, why) for chosen in _ways(equal, ranged)]
    return found


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


def _compared(condition: str, columns: dict[str, str]) -> tuple[list[str], list[str]]:
    """Give the columns that a condition compares: those with `=`, and those with an order. An OR says nothing."""
    bare = WORDS.sub("''", condition)
    if " OR " in bare:
        return [], []
    equal: list[str] = []
    ranged: list[str] = []
    for quoted in columns.values():
        found = re.search(r"(?<![\w\"])" + COMPARED.format(column=re.escape(quoted)), bare)
        if found:
            (equal if found[1] == "=" else ranged).append(quoted)
    return equal, ranged


def _ways(equal: list[str], ranged: list[str]) -> list[tuple[str, ...]]:
    ways: set[tuple[str, ...]] = {(each,) for each in [*equal, *ranged]}
    if len(equal) > 1:
        ways.add(tuple(sorted(equal)[:3]))
    if equal and ranged:
        ways.add((*sorted(equal)[:2], ranged[0]))
    return sorted(ways)


async def _tried(
    session: Session, hypo: str, candidate: Candidate, text: str, types: Sequence[str] | None
) -> tuple[float, float] | None:
    """Give the planner's cost of a query before and with an index; None when it would not take the index."""
    async with _planning(session):
        await _prepare(session, text, types)
        before = await _explain(session)
        (made,) = await session.row(
            f"SELECT indexname FROM {hypo}.hypopg_create_index(%s)",  # noqa: S608 - quoted by the server
            [f"CREATE INDEX {candidate.sql}"],
        )
        await session.rows("DEALLOCATE mainstay_asked")  # its plan is kept, and knows nothing of the index
        await _prepare(session, text, types)
        after = await _explain(session)
    taken = any(node.get("Index Name") == made for node in _nodes(after))
    return (before["Total Cost"], after["Total Cost"]) if taken else None


@asynccontextmanager
async def _planning(session: Session) -> AsyncIterator[None]:
    """A transaction that writes nothing, in which names mean what they mean to the application."""
    hypo = session.extensions["hypopg"]
    await session.rows("BEGIN READ ONLY")
    try:
        await session.rows(PATH)
        await session.rows("SELECT set_config('plan_cache_mode', 'force_generic_plan', true)")
        yield
    finally:
        await session.rows("ROLLBACK")
        await session.rows(f"SELECT {hypo}.hypopg_reset()")
        await session.rows("DEALLOCATE ALL")


async def _prepare(session: Session, text: str, types: Sequence[str] | None = None) -> None:
    named = f"({', '.join(types)})" if types else ""
    await session.rows(f"PREPARE mainstay_asked{named} AS {text}")


async def _explain(session: Session) -> dict[str, Any]:
    """Plan the prepared query for whatever values; nothing is run."""
    (many,) = await session.row(
        "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'mainstay_asked'"
    )
    values = f"({', '.join(['NULL'] * many)})" if many else ""
    (found,) = await session.row(f"EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE mainstay_asked{values}")
    plan = json.loads(found) if isinstance(found, str) else found
    return dict(plan[0]["Plan"])
