"""One moment of a database, held still while it is dumped and counted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mainstay.backup.session import one, session, told
from mainstay.backup.tables import Table, list_tables
from mainstay.core.crash import point
from mainstay.ports.postgres.dsn import Dsn, PostgresError

if TYPE_CHECKING:
    from mainstay.backup.session import Connection

ATTEMPTS = 10
BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

EXPORT = """
SELECT pg_export_snapshot(), pg_is_in_recovery(),
       (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END)::text
"""

HOLDERS = """
SELECT DISTINCT c.oid::regclass::text, a.usename, a.application_name, a.pid
FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.mode = 'AccessExclusiveLock' AND l.relation = ANY(%s)
"""


@dataclass(frozen=True)
class Snapshot:
    """An exported snapshot and the tables in it. Every table is locked against DROP, TRUNCATE and ALTER.

    Such a statement would not respect the snapshot: a truncated table would read as empty.
    """

    id: str
    tables: tuple[Table, ...]
    dsn: Dsn
    connection: "Connection"
    standby: bool
    lsn: str

    async def confirm(self) -> None:
        """Make sure that the transaction was held to this moment. Raises `PostgresError`."""
        with told(self.dsn):
            await self.connection.execute("SELECT 1 FROM pg_catalog.pg_class LIMIT 1")

    async def join(self, connection: "Connection") -> None:
        """Put another connection on the same snapshot, holding the same locks.

        It takes them now: a DROP that begins to wait for us would make later ones queue behind it.
        """
        with told(self.dsn):
            await connection.execute(BEGIN)
            await connection.execute(f"SET TRANSACTION SNAPSHOT '{self.id}'".encode())
            await lock(connection, self.tables)


@asynccontextmanager
async def hold(dsn: Dsn, lock_timeout: float) -> AsyncIterator[Snapshot]:
    """Lock every table, then export a snapshot in which no other table is. Raises `PostgresError`."""
    async with session(dsn, lock_timeout) as connection:
        snapshot = await _hold(dsn, connection)
        point("backup.snapshot")
        yield snapshot


async def _hold(dsn: Dsn, connection: "Connection") -> Snapshot:
    from psycopg import errors

    for _ in range(ATTEMPTS):
        known = await list_tables(connection, sizes=False)
        await connection.execute(BEGIN)
        try:
            await lock(connection, known)
        except errors.UndefinedTable:
            await connection.execute("ROLLBACK")  # dropped between the list and the lock
            continue
        except errors.LockNotAvailable:
            await connection.execute("ROLLBACK")
            raise await _locked(dsn, connection, known) from None
        # The first query after the locks makes the snapshot; a table made in between would not be locked.
        tables = await list_tables(connection)
        if {t.oid for t in tables if t.lockable()} <= {t.oid for t in known}:
            return await _export(dsn, connection, tables)
        await connection.execute("ROLLBACK")
    raise PostgresError(
        f"{dsn}: tables are created and dropped faster than they can be locked", hint="try again later"
    )


async def _export(dsn: Dsn, connection: "Connection", tables: list[Table]) -> Snapshot:
    name, standby, lsn = await one(connection, EXPORT)
    return Snapshot(name, tuple(tables), dsn, connection, standby, lsn)


async def _locked(dsn: Dsn, connection: "Connection", tables: list[Table]) -> PostgresError:
    rows = await (await connection.execute(HOLDERS, [[t.oid for t in tables]])).fetchall()
    who = "; ".join(
        f"{table} by {user} ({program or 'no name'}, pid {pid})" for table, user, program, pid in rows[:3]
    )
    return PostgresError(
        f"{dsn}: a table is locked: {who or 'the lock is gone by now'}",
        hint="wait for the migration or clean-up that holds it, or raise lock_timeout",
    )


async def lock(connection: "Connection", tables: tuple[Table, ...] | list[Table]) -> None:
    """Take ACCESS SHARE on every table, which any reader holds and only DROP, TRUNCATE and ALTER wait for."""
    from psycopg import sql

    names = [sql.SQL("ONLY {}").format(sql.Identifier(t.schema, t.name)) for t in tables if t.lockable()]
    if names:
        await connection.execute(
            sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(sql.SQL(", ").join(names))
        )
