"""What a restore makes in a server that runs bears a mark until it is whole: the next one takes it away.

It also holds a lock there while it lives, so that one that is under way is told from one that died. Only who died
leaves the mark: what is there after a fault was told to somebody, who may use it, so that nobody may take it away.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from mainstay.backup.look import Narrator
from mainstay.backup.session import session, told
from mainstay.core.errors import MainstayError
from mainstay.ports.postgres.dsn import Dsn

if TYPE_CHECKING:
    from mainstay.backup.session import Connection

MARK = "mainstay: a restore that is not whole yet; the next one takes it away"
LEFT = """
SELECT nspname::text FROM pg_catalog.pg_namespace
WHERE pg_catalog.obj_description(oid, 'pg_namespace') = %s AND nspname LIKE 'restored%%' ORDER BY 1
"""
COMMENT = """
SELECT pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database WHERE datname = %s
"""
LOCK = "SELECT pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended('mainstay:' || %s, 0))"


@asynccontextmanager
async def schema_under_way(told_to: Narrator, target: Dsn, schema: str) -> AsyncIterator[None]:
    """Say in a database that a schema is being restored; when the block ends well, it is. Raises `PostgresError`.

    What killed restores left is dropped first.
    """
    async with session(target) as connection, connection.transaction():
        await _lock(connection, target, schema)
        await _sweep(told_to, target)
        try:
            yield
        except Exception:
            with suppress(MainstayError):
                await _unmark(target, schema, "left by a restore of mainstay that had a fault")
            raise
    await _unmark(target, schema, "restored by mainstay")


async def _lock(connection: "Connection", target: Dsn, name: str) -> None:
    """Say that a restore is under way, as long as the transaction lasts. Raises `MainstayError` when another one is."""
    with told(target):
        await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        row = await (await connection.execute(LOCK.encode(), [name])).fetchone()
    if row != (True,):
        raise MainstayError(f"somebody restores into {name} just now", hint="wait until that is through")


async def _unmark(target: Dsn, schema: str, words: str) -> None:
    from psycopg import sql

    query = sql.SQL("COMMENT ON SCHEMA {} IS {}").format(sql.Identifier(schema), words)
    async with session(target) as connection:
        with told(target):
            await connection.execute(query)


async def _sweep(told_to: Narrator, target: Dsn) -> None:
    from psycopg import sql

    async with session(target) as connection:
        with told(target):
            for (name,) in await (await connection.execute(LEFT.encode(), [MARK])).fetchall():
                async with connection.transaction():
                    row = await (await connection.execute(LOCK.encode(), [name])).fetchone()
                    if row != (True,):
                        continue  # somebody restores it just now
                    await connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))
                told_to.log(f"dropped the schema {name}, left by a restore that was cut off")


@asynccontextmanager
async def database_under_way(told_to: Narrator, target: Dsn) -> AsyncIterator[bool]:
    """Make a database that bears the mark until the block ends, unless there is one; give whether it was made.

    One that a killed restore left is dropped first. Raises `MainstayError`, also when another restore fills it.
    """
    server = target.with_(dbname="postgres")
    async with session(server) as connection, connection.transaction():
        await _lock(connection, target, target.name)
        made = await _made(told_to, server, target.name)
        try:
            yield made
        except Exception:
            with suppress(MainstayError):
                await _whole(target, made=made)
            raise
    await _whole(target, made=made)


async def _made(told_to: Narrator, server: Dsn, name: str) -> bool:
    from psycopg import sql

    called = sql.Identifier(name)
    async with session(server) as connection:
        with told(server):
            row = await (await connection.execute(COMMENT.encode(), [name])).fetchone()
            if row == (MARK,):
                await connection.execute(sql.SQL("DROP DATABASE {}").format(called))
                told_to.log(f"dropped the database {name}, left by a restore that was cut off")
            elif row is not None:
                return False
            await connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(called))
            await connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(called, MARK))
    return True


async def _whole(target: Dsn, *, made: bool) -> None:
    """Take the mark from a database that was made."""
    from psycopg import sql

    if not made:
        return
    async with session(target) as connection:
        with told(target):
            called = sql.Identifier(target.name)
            await connection.execute(sql.SQL("COMMENT ON DATABASE {} IS NULL").format(called))
