"""The relations of a database, named the same way on every server."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mainstay.backup.session import Connection

PLAIN = re.compile(r"[a-z_][a-z0-9_]*")

# Of the tables that an extension made, pg_dump writes at most a part, and CREATE EXTENSION fills them again.
# Asking for the size of a table waits for who has locked it.
LIST = """
SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence,
       CASE WHEN %s AND c.relkind = 'r' THEN pg_catalog.pg_table_size(c.oid) END,
       ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
       ARRAY(SELECT CASE
               WHEN a.atttypid IN (16, 17, 18, 20, 21, 23, 26, 1082, 1083, 1114, 1184, 2950)
                    OR (a.atttypid = 1700 AND a.atttypmod <> -1) THEN 'value'
               WHEN a.atttypid IN (25, 1043) THEN 'bytes'
               WHEN a.atttypid IN (114, 700, 701, 1700, 3802) THEN 'text'
               ELSE 'row' END
             FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
       EXISTS (SELECT FROM pg_catalog.pg_depend e
               WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f', 'm') AND c.relpersistence <> 't'
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""


def quoted(*parts: str) -> str:
    """Write a name as a person would in SQL, `public.account` or `public."Odd name"`.

    The server's own function is not asked, because what it quotes changes from version to version.
    """
    return ".".join(part if PLAIN.fullmatch(part) else '"' + part.replace('"', '""') + '"' for part in parts)


@dataclass(frozen=True, slots=True)
class Table:
    """A relation: `kind` and `persistence` as in pg_class, `bytes` on disk without its indexes.

    `ways` says of each column by what it is known exactly: its `value`, for types of which equal values are written
    alike (`numeric` only with a fixed scale: 1.0 equals 1.00); its `bytes`, whatever its collation calls equal; its
    `text`, for types of the system that cast to text as they are written; as a `row` of its own, which writes any type.
    """

    oid: int
    schema: str
    name: str
    kind: str
    persistence: str
    bytes: int
    columns: tuple[str, ...]
    ways: tuple[str, ...]
    of_extension: bool

    @property
    def key(self) -> str:
        """Its name in a manifest."""
        return quoted(self.schema, self.name)

    def lockable(self) -> bool:
        """Whether it must be locked: ordinary and partitioned tables, as pg_dump does."""
        return self.kind in "rp" and not self.of_extension

    def skipped(self, standby: bool, excluded: frozenset[str]) -> str | None:
        """Say why its rows are not in a dump, or not comparable; None when they are."""
        if self.kind == "p":
            return "its rows are in its partitions"
        if self.kind == "f":
            return "a foreign table: its rows live on another server"
        if self.kind == "m":
            return "a materialized view: computed anew by a restore"
        if self.of_extension:
            return "made by an extension"
        if self.persistence == "u" and standby:
            return "unlogged: not readable on a standby"
        if f"{self.schema}.{self.name}" in excluded:
            return "excluded in the configuration"
        return None


async def list_tables(connection: "Connection", *, sizes: bool = True) -> list[Table]:
    """Give every table of the database, the largest first. Without `sizes` it waits for no lock."""
    found = []
    rows = await (await connection.execute(LIST, [sizes])).fetchall()
    for oid, schema, name, kind, persistence, size, columns, ways, member in rows:
        found.append(
            Table(oid, schema, name, kind, persistence, size or 0, tuple(columns), tuple(ways), member)
        )
    return sorted(found, key=lambda table: (-table.bytes, table.key))
