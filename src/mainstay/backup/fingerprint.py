"""What a database contains, in a form that can be compared: per table, how many rows and a checksum of all of them."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from mainstay.backup.session import one, session, told
from mainstay.backup.tables import Table, quoted
from mainstay.backup.together import together
from mainstay.ports.postgres.dsn import Dsn, PostgresError

if TYPE_CHECKING:
    from psycopg.sql import Composable

    from mainstay.backup.session import Connection

WORKERS = 2
SEQUENCES_AT_ONCE = 200

Join = Callable[["Connection"], Awaitable[None]]
"""Puts a connection on the snapshot that is to be read."""


class Method(StrEnum):
    """How a row becomes a number. What was counted by one method can only be compared by the same."""

    TEXT = "text"
    """The hash of the row as it is written: any server can do it."""
    MIXED = "mixed"
    """The hash of the row's values, where these say it all: half the work. Such hashes are the same on every version,
    because partitions by hash are dumped and restored by them. The server only adds up those of the values, each times
    a constant, so that a sum over rows would often not tell in which row a value is: so it is hashed once more."""
    VALUES = "values"
    """The same without being hashed once more. Only for what was counted so."""

    @classmethod
    def best(cls, major: int) -> "Method":
        """Give the cheapest that a server and all newer ones can."""
        return cls.MIXED if major >= HASHES_ROWS else cls.TEXT


HASHES_ROWS = 14


class Counted(BaseModel):
    """What is in one table: its rows and the sum of a 64-bit hash of each row, as a decimal number.

    The sum does not depend on the order of the rows. Equal rows count as often as they are there.
    """

    model_config = ConfigDict(frozen=True)

    rows: int
    sum: str


async def count_tables(
    dsn: Dsn,
    tables: Iterable[Table],
    method: Method,
    join: Join | None = None,
    on_table: Callable[[int], None] | None = None,
    lock_timeout: float = 0,
    *,
    alone: bool = True,
) -> dict[str, Counted]:
    """Count and hash the tables; give what is in each by its name. Raises `PostgresError`.

    `on_table` is told how many tables are done; `lock_timeout` is in seconds, 0 for none. Several processes of the
    server do it when it has nothing else to do (`alone`), else one: what runs beside it takes longer then.
    """
    todo = deque(tables)
    found: dict[str, Counted] = {}
    async with AsyncExitStack() as stack:
        connections = []
        for _ in range(min(WORKERS if alone else 1, len(todo))):
            connection = await stack.enter_async_context(session(dsn, lock_timeout))
            if not alone:
                await connection.execute(b"SET max_parallel_workers_per_gather = 0")
            if join is not None:
                await join(connection)
            connections.append(connection)
        await together(*(_work(dsn, connection, todo, found, method, on_table) for connection in connections))
    return found


async def _work(
    dsn: Dsn,
    connection: "Connection",
    todo: deque[Table],
    found: dict[str, Counted],
    method: Method,
    on_table: Callable[[int], None] | None,
) -> None:
    while todo:
        table = todo.popleft()
        found[table.key] = await count(dsn, connection, table, method)
        if on_table is not None:
            on_table(len(found))


async def count(dsn: Dsn, connection: "Connection", table: Table, method: Method) -> Counted:
    """Count and hash one table."""
    from psycopg import sql

    made = _by_text(table) if method is Method.TEXT else _by_values(table)
    if method is Method.MIXED:
        # As a float, because of those all bytes go into the hash; of an integer its halves are brought together first.
        made = sql.SQL("pg_catalog.hashfloat8extended(({})::pg_catalog.float8, 0)").format(made)
    query = sql.SQL("SELECT count(*), COALESCE(sum({}), 0)::text FROM ONLY {} AS _r_").format(
        made, sql.Identifier(table.schema, table.name)
    )
    with told(dsn):
        row = await (await connection.execute(query)).fetchone()
    if row is None:
        raise PostgresError(f"{dsn}: {table.key} gave no answer")
    return Counted(rows=row[0], sum=row[1])


# The columns are named one by one, in the order of their names: the order in the table may change by a restore
# (inheritance), and a bare alias would mean a column of the same name where there is one.


def _by_text(table: Table) -> "Composable":
    from psycopg import sql

    columns = sql.SQL(", ").join(sql.Identifier("_r_", column) for column in sorted(table.columns))
    return sql.SQL('hashtextextended(ROW({})::text COLLATE "C", 0)').format(columns)


WAYS = {
    "value": "{}",
    "bytes": '{} COLLATE "C"',
    "text": '{}::text COLLATE "C"',
    "row": 'ROW({})::text COLLATE "C"',
}


def _by_values(table: Table) -> "Composable":
    from psycopg import sql

    parts = [
        sql.SQL(WAYS[way]).format(sql.Identifier("_r_", column))
        for column, way in sorted(zip(table.columns, table.ways, strict=True))
    ]
    return sql.SQL("pg_catalog.hash_record_extended(ROW({}), 0)").format(sql.SQL(", ").join(parts))


# In pieces of 64 MB, because at most 1 GB of an object can be asked for at once.
LARGE_OBJECTS = """
WITH RECURSIVE piece(oid, start, size, hash) AS (
    SELECT m.oid, 0::bigint, got.size, got.hash FROM pg_catalog.pg_largeobject_metadata m, LATERAL (
        SELECT length(d) AS size, md5(d) AS hash FROM (SELECT lo_get(m.oid, 0, 67108864) AS d OFFSET 0) one
    ) got
  UNION ALL
    SELECT p.oid, p.start + 67108864, got.size, got.hash FROM piece p, LATERAL (
        SELECT length(d) AS size, md5(d) AS hash
        FROM (SELECT lo_get(p.oid, p.start + 67108864, 67108864) AS d OFFSET 0) one
    ) got WHERE p.size = 67108864
)
SELECT count(*) FILTER (WHERE start = 0),
       COALESCE(sum(hashtextextended(oid::text || ':' || start || ':' || hash, 0)::numeric), 0)::text
FROM piece
"""


async def count_large_objects(dsn: Dsn, connection: "Connection") -> Counted:
    """Count and hash the large objects, number and content."""
    with told(dsn):
        row = await one(connection, LARGE_OBJECTS)
    return Counted(rows=row[0], sum=row[1])


SEQUENCES = """
SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
                  WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
ORDER BY 1, 2
"""


async def read_sequences(dsn: Dsn, connection: "Connection") -> dict[str, str]:
    """Give where each sequence stands. Sequences belong to no snapshot: this is how they are now."""
    from psycopg import sql

    found: dict[str, str] = {}
    with told(dsn):
        names = await (await connection.execute(SEQUENCES)).fetchall()
        for start in range(0, len(names), SEQUENCES_AT_ONCE):
            some = names[start : start + SEQUENCES_AT_ONCE]
            queries = [
                sql.SQL("SELECT {}::int, last_value::text || CASE WHEN is_called THEN '' ELSE ' (unused)' END FROM {}")
                .format(sql.Literal(number), sql.Identifier(*name))
                for number, name in enumerate(some)
            ]  # fmt: skip
            for number, value in await (
                await connection.execute(sql.SQL(" UNION ALL ").join(queries))
            ).fetchall():
                found[quoted(*some[number])] = value
    return found
