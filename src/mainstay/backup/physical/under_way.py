"""What a restore makes in a server that runs bears a mark until it is whole: the next one takes it away.

A schema's restore also holds a lock there while it lives, so that one that is under way is told from one that died.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mainstay.backup.look import Narrator
from mainstay.backup.session import session, told
from mainstay.ports.postgres.dsn import Dsn

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
    from psycopg import sql

    async with session(target) as connection, connection.transaction():
        with told(target):
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            await connection.execute(LOCK.encode(), [schema])
        await _sweep(told_to, target)
        yield
    query = sql.SQL("COMMENT ON SCHEMA {} IS 'restored by mainstay'").format(sql.Identifier(schema))
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


async def make_database(told_to: Narrator, server: Dsn, name: str) -> bool:
    """Make a database that bears the mark, unless there is one; give whether it was made. Raises `PostgresError`."""
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


async def database_is_whole(target: Dsn) -> None:
    """Take the mark from a database that was made. Raises `PostgresError`."""
    from psycopg import sql

    async with session(target) as connection:
        with told(target):
            called = sql.Identifier(target.name)
            await connection.execute(sql.SQL("COMMENT ON DATABASE {} IS NULL").format(called))
