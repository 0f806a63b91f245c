"""Tables and indexes as the server's catalog and statistics know them."""

from typing import Any, NamedTuple

from mainstay.upkeep.optimise.session import Session

# VACUUM passes over what one may not vacuum with no more than a warning, so it is asked for beforehand.
MAY = """(pg_has_role(c.relowner, 'USAGE') OR current_setting('is_superuser') = 'on')"""
OURS = "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'"
TABLES = f"""
SELECT c.oid::bigint AS oid, format('%I.%I', n.nspname, c.relname) AS name, NOT ({OURS}) AS system,
       pg_relation_size(c.oid) AS bytes, greatest(c.reltuples, 0)::float8 AS rows,
       coalesce(s.n_live_tup, 0) AS live, coalesce(s.n_dead_tup, 0) AS dead,
       coalesce(s.n_mod_since_analyze, 0) AS changed,
       coalesce(s.last_analyze, s.last_autoanalyze) IS NULL AS unknown,
       greatest(age(c.relfrozenxid), age(t.relfrozenxid)) AS age,
       greatest(mxid_age(c.relminmxid), mxid_age(t.relminmxid)) AS multi_age,
       {MAY} AS may, coalesce(s.seq_scan, 0) AS scans, coalesce(s.seq_tup_read, 0) AS scanned,
       coalesce(s.idx_scan, 0) AS lookups
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_class t ON t.oid = c.reltoastrelid AND t.relkind = 't'
LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND ({OURS} OR n.nspname = 'pg_catalog')
ORDER BY 2
"""  # noqa: S608 - made of constants
INDEXES = f"""
SELECT i.indexrelid::bigint AS oid, format('%I.%I', n.nspname, x.relname) AS name, x.relname AS bare,
       c.oid::bigint AS of, format('%I.%I', n.nspname, c.relname) AS table, pg_relation_size(x.oid) AS bytes,
       greatest(x.reltuples, 0)::float8 AS rows, m.amname AS method, i.indisunique AS unique,
       i.indisvalid AS valid, i.indisexclusion AS exclusion,
       i.indisprimary OR i.indisexclusion OR i.indisreplident OR i.indisclustered
         OR EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)
         OR EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = i.indexrelid) AS bound,
       coalesce(s.idx_scan, 0) AS scans, i.indkey::text AS keys, i.indnkeyatts AS many,
       concat_ws('|', m.amname, i.indkey, i.indclass, i.indcollation, i.indoption, i.indnkeyatts,
         pg_get_expr(i.indexprs, i.indrelid), '?', pg_get_expr(i.indpred, i.indrelid), x.reloptions) AS shape,
       concat_ws('|', m.amname, i.indclass, i.indcollation, i.indoption) AS classes,
       i.indexprs IS NULL AND i.indpred IS NULL AS plain, {MAY} AS may,
       coalesce(substring(array_to_string(x.reloptions, ',') FROM 'fillfactor=(\\d+)'), '90')::int AS filled
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am m ON m.oid = x.relam
LEFT JOIN pg_stat_all_indexes s ON s.indexrelid = i.indexrelid
WHERE x.relkind = 'i' AND x.relpersistence <> 't'
  AND (({OURS}) OR (n.nspname = 'pg_toast' AND NOT i.indisvalid))
ORDER BY 2
"""  # noqa: S608 - made of constants


class Table(NamedTuple):
    """A table. `age` in transactions; `changed` rows since statistics were gathered; `may` whether we may vacuum it."""

    oid: int
    name: str
    system: bool
    bytes: int
    rows: float
    live: int
    dead: int
    changed: int
    unknown: bool
    age: int
    multi_age: int
    may: bool
    scans: int
    scanned: int
    lookups: int


class Index(NamedTuple):
    """An index. `bound` is one that a constraint, replication or a partitioned index needs."""

    oid: int
    name: str
    bare: str
    of: int
    table: str
    bytes: int
    rows: float
    method: str
    unique: bool
    valid: bool
    exclusion: bool
    bound: bool
    scans: int
    keys: str
    many: int
    shape: str
    classes: str
    plain: bool
    may: bool
    filled: int


async def tables(session: Session) -> list[Table]:
    """Give every table, those of the system with `system`."""
    return [Table(*row) for row in await session.rows(TABLES)]


async def indexes(session: Session) -> list[Index]:
    """Give every index of people's tables, and invalid ones of what was moved out of them."""
    return [Index(*row) for row in await session.rows(INDEXES)]


async def building(session: Session) -> bool:
    """Whether anybody builds an index in this database now: what is invalid then may be theirs."""
    (found,) = await session.row(
        "SELECT EXISTS (SELECT FROM pg_stat_progress_create_index WHERE datname = current_database())"
    )
    return bool(found)


async def figures(session: Session) -> dict[str, Any]:
    """Say how large the database is, its age in transactions, and how often a page was in memory, in percent."""
    size, age, hit = await session.row(
        "SELECT pg_database_size(d.oid), age(d.datfrozenxid), "
        "round(100.0 * s.blks_hit / nullif(s.blks_hit + s.blks_read, 0), 2)::float8 "
        "FROM pg_database d JOIN pg_stat_database s ON s.datid = d.oid WHERE d.datname = current_database()"
    )
    return {"bytes": size, "xid_age": age, "cache_hit_percent": hit}
