"""Connections for looking at data: every setting that changes how a value is written is pinned."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from mainstay.ports.postgres.dsn import Dsn, PostgresError

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    Connection = AsyncConnection[tuple[Any, ...]]

PINNED = {
    "client_encoding": "UTF8",
    "search_path": "",
    "datestyle": "ISO, YMD",
    "timezone": "UTC",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "3",
    "lc_monetary": "C",
    "xmloption": "content",
    "quote_all_identifiers": "off",
    "row_security": "off",
    "statement_timeout": "0",
    "transaction_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
}
OLDEST = 110000


class LockBusy(PostgresError):
    """A lock that we need stands behind somebody who waits for us; letting go and beginning anew helps."""


@asynccontextmanager
async def session(dsn: Dsn, lock_timeout: float = 0) -> AsyncIterator["Connection"]:
    """A connection with everything pinned, closed afterwards. Raises `PostgresError`, also for what happens inside."""
    connection = await dsn.connect(keepalives_idle="30", keepalives_interval="10", keepalives_count="6")
    try:
        with told(dsn):
            if connection.info.server_version < OLDEST:
                raise PostgresError(
                    f"{dsn} runs PostgreSQL {connection.info.server_version // 10000}, 11 is needed"
                )
            pins = {**PINNED, "lock_timeout": f"{int(lock_timeout * 1000)}"}
            await connection.execute(
                "SET statement_timeout = 0"
            )  # it would hold for the next statement already
            # A setting that this version does not know is left out.
            await connection.execute(
                "SELECT set_config(w.name, w.value, false) FROM unnest(%s::text[], %s::text[]) AS w(name, value) "
                "JOIN pg_catalog.pg_settings s ON lower(s.name) = w.name",
                [list(pins), list(pins.values())],
            )
            await _refuse_pooler(dsn, connection)
            yield connection
    finally:
        await connection.close()


async def _refuse_pooler(dsn: Dsn, connection: "Connection") -> None:
    """A pooler gives each transaction another server connection, on which nothing is pinned: rows could stay hidden.

    It shows itself by the number of the server process, which it makes up when a client logs in.
    """
    (pid,) = await one(connection, "SELECT pg_catalog.pg_backend_pid()")
    if pid != connection.info.backend_pid:
        raise PostgresError(
            f"{dsn} leads to a connection pooler, through which no snapshot can be held",
            hint="give the address of PostgreSQL itself in dsn",
        )


async def one(connection: "Connection", query: str) -> tuple[Any, ...]:
    """Give the one row of a query that always has one."""
    row = await (await connection.execute(query.encode())).fetchone()
    if row is None:
        raise PostgresError("the server gave no answer to a question that always has one")
    return row


@contextmanager
def told(dsn: Dsn) -> Iterator[None]:
    """Turn the driver's exceptions into ours: one line, with what to do."""
    from psycopg import Error, errors

    try:
        yield
    except (errors.LockNotAvailable, errors.DeadlockDetected) as fault:
        raise LockBusy(
            f"{dsn}: {_line(fault)}", hint="another session holds a lock; try again later"
        ) from None
    except errors.InsufficientPrivilege as fault:
        user = dsn.params.get("user", "this user")
        raise PostgresError(f"{dsn}: {_line(fault)}", hint=f"GRANT pg_read_all_data TO {user}") from None
    except Error as fault:
        raise PostgresError(f"{dsn}: {_line(fault)}", hint="look at the server's log") from None


def _line(fault: Exception) -> str:
    return " ".join(str(fault).split())
