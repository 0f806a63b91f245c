"""Tables, or a whole database, as they were at a moment, back into a server that runs, beside what is there."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mainstay.backup.load import load_archive
from mainstay.backup.look import Narrator
from mainstay.backup.physical.cluster import FAST, Cluster
from mainstay.backup.physical.plan import Route
from mainstay.backup.physical.restore import throwaway
from mainstay.backup.physical.under_way import MARK, database_under_way, schema_under_way
from mainstay.backup.ports import BackupPorts
from mainstay.backup.session import one, session, told
from mainstay.core.crash import point
from mainstay.core.errors import MainstayError
from mainstay.ports.postgres.child import child
from mainstay.ports.postgres.dsn import Dsn, PostgresError, passfile
from mainstay.ports.postgres.tools import Toolset

if TYPE_CHECKING:
    from mainstay.backup.session import Connection


@dataclass(frozen=True, slots=True)
class Copied:
    """What was brought back: the schema (or database) in which it lies, rows by table, what could not be copied."""

    database: str
    schema: str | None
    rows: dict[str, int] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)


def schema_name(now: float) -> str:
    """Give the schema into which tables come back, so that nothing that is there is touched."""
    return datetime.fromtimestamp(now, UTC).strftime("restored_%Y%m%d_%H%M%S")


async def restore_tables(
    told_to: Narrator, ports: BackupPorts, found: Route, tables: Sequence[str], target: Dsn
) -> Copied:
    """Bring tables back into a schema of their own in a database that runs. Raises `MainstayError`.

    The server is restored for this into a throwaway one; each table comes with its indexes and what belongs to it.
    """
    schema = schema_name(ports.clock.now())
    async with schema_under_way(told_to, target, schema):
        async with throwaway(told_to, ports, found) as cluster, cluster.running(FAST):
            point("tables.restored")
            here = cluster.dsn(found.base.name)
            wanted = await _find(here, tables)
            rows = await _gather(here, wanted, schema)
            complaints = await _carry(told_to, ports, cluster, here, target, ["-n", schema])
        await _compare(target, schema, rows)
        point("tables.compared")
    return Copied(target.name, schema, rows, complaints)


async def restore_database(told_to: Narrator, ports: BackupPorts, found: Route, target: Dsn) -> Copied:
    """Bring a whole database back into one that is empty or not there yet. Raises `MainstayError`."""
    name = target.name
    async with database_under_way(told_to, target) as made:
        if not made:
            await _empty(target, name)
        async with throwaway(told_to, ports, found) as cluster, cluster.running(FAST):
            point("tables.restored")
            here = cluster.dsn(found.base.name)
            complaints = await _carry(told_to, ports, cluster, here, target, [])
            rows = await _count(here)
        await _compare_all(target, rows)
        point("tables.compared")
    return Copied(name, None, rows, complaints)


async def _find(dsn: Dsn, tables: Sequence[str]) -> list[tuple[str, str]]:
    """Give schema and name of each table. Raises `MainstayError` for one that did not exist at the moment."""
    found: list[tuple[str, str]] = []
    async with session(dsn) as connection:
        for table in tables:
            schema, _, name = table.rpartition(".")
            cursor = await connection.execute(
                "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n "
                "ON n.oid = c.relnamespace WHERE c.relname = %s AND n.nspname = %s AND c.relkind IN ('r', 'm')",
                [name, schema or "public"],
            )
            rows = await cursor.fetchall()
            if not rows:
                raise MainstayError(
                    f"there was no table {schema or 'public'}.{name} at that moment",
                    hint="write schema.table, or choose another moment",
                )
            found.append((str(rows[0][0]), str(rows[0][1])))
    return found


async def _gather(dsn: Dsn, tables: list[tuple[str, str]], schema: str) -> dict[str, int]:
    """Move the tables of the throwaway server into the schema, apart from the rest; give their rows."""
    from psycopg import sql

    rows: dict[str, int] = {}
    async with session(dsn) as connection:
        with told(dsn):
            await connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
            # It goes along, as the first thing that is made there.
            comment = sql.SQL("COMMENT ON SCHEMA {} IS {}").format(sql.Identifier(schema), MARK)
            await connection.execute(comment)
            for place, name in tables:
                old, new = sql.Identifier(place, name), sql.Identifier(schema, name)
                await _unbind(connection, place, name)
                await connection.execute(
                    sql.SQL("ALTER TABLE {} SET SCHEMA {}").format(old, sql.Identifier(schema))
                )
                (rows[name],) = await one_row(connection, sql.SQL("SELECT count(*) FROM {}").format(new))
    return rows


async def _unbind(connection: "Connection", place: str, name: str) -> None:
    """Drop the foreign keys from and to a table: they lead to tables that stay behind, or to those of today."""
    from psycopg import sql

    cursor = await connection.execute(
        "SELECT n.nspname::text, c.relname::text, o.conname::text FROM pg_catalog.pg_constraint o "
        "JOIN pg_catalog.pg_class c ON c.oid = o.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
        "JOIN pg_catalog.pg_class t ON t.oid IN (o.conrelid, o.confrelid) "
        "JOIN pg_catalog.pg_namespace s ON s.oid = t.relnamespace "
        "WHERE o.contype = 'f' AND o.conparentid = 0 AND t.relname = %s AND s.nspname = %s",
        [name, place],
    )
    for where, table, constraint in await cursor.fetchall():
        await connection.execute(
            sql.SQL("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {}").format(
                sql.Identifier(where, table), sql.Identifier(constraint)
            )
        )


async def one_row(connection: "Connection", query: object) -> tuple[int]:
    """Give the one row of a composed query."""
    row = await (await connection.execute(query)).fetchone()  # type: ignore[call-overload]
    assert row is not None  # noqa: S101 - an aggregate always has one
    return (int(row[0]),)


async def _carry(
    told_to: Narrator, ports: BackupPorts, cluster: Cluster, here: Dsn, target: Dsn, only: list[str]
) -> list[str]:
    """Dump from the throwaway server and load into the target; give what could not be loaded."""
    server = await _major(target)
    tools = await asyncio.to_thread(ports.tools.client, cluster.tools.major)
    restorer = await asyncio.to_thread(
        ports.tools.restorer, tools.major, Toolset(Path(), f"{server}", "target")
    )
    with ports.scratch.workspace() as space:
        archive = space.path / "some.pgc"
        argv = [tools.program("pg_dump"), "-Fc", "-Z1", "--no-password", *only, "-d", here.public()]
        handle = os.open(archive, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            async with child(argv, env=passfile(here, space.path), stdout=handle) as running:
                if await running.finish():
                    raise PostgresError(f"pg_dump: {running.said[-300:]}")
        finally:
            os.close(handle)
        point("tables.dumped")
        complaints = await load_archive(
            restorer, target, archive, space.path, lambda: point("tables.loading")
        )
        point("tables.loaded")
    for line in complaints:
        told_to.log(f"not restored: {line}")
    return complaints


async def _major(target: Dsn) -> int:
    async with session(target) as connection:
        return connection.info.server_version // 10000


async def _count(dsn: Dsn) -> dict[str, int]:
    from psycopg import sql

    found: dict[str, int] = {}
    async with session(dsn) as connection:
        cursor = await connection.execute(
            "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c "
            "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1, 2"
        )
        for schema, name in await cursor.fetchall():
            query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, name))
            (found[f"{schema}.{name}"],) = await one_row(connection, query)
    return found


async def _compare(target: Dsn, schema: str, rows: dict[str, int]) -> None:
    there = await _count(target)
    _same({name: there.get(f"{schema}.{name}", -1) for name in rows}, rows, schema)


async def _compare_all(target: Dsn, rows: dict[str, int]) -> None:
    there = await _count(target)
    _same({name: there.get(name, -1) for name in rows}, rows, target.name)


def _same(there: dict[str, int], rows: dict[str, int], where: str) -> None:
    wrong = [name for name in rows if there[name] != rows[name]]
    if wrong:
        name = wrong[0]
        raise PostgresError(
            f"{where} has {max(0, there[name]):,} rows of {name}, the restored server had {rows[name]:,}",
            hint="look at what pg_restore said; nothing of yours was touched",
        )


async def _empty(target: Dsn, name: str) -> None:
    """Raise `MainstayError` when there is something in a database."""
    async with session(target) as connection:
        (there,) = await one(
            connection,
            "SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.relkind IN ('r', 'v', 'm', 'S', 'p') AND n.nspname !~ '^pg_' "
            "AND n.nspname <> 'information_schema'",
        )
    if there:
        raise MainstayError(
            f"nothing is restored: {name} is not empty, it has {there} relations",
            hint="name a database that is not there yet; one that mainstay makes itself may be killed and begun anew",
        )
