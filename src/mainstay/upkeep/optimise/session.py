"""Connections to a database that is in use: they wait for no lock for long, and work slowly on purpose."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mainstay.ports.postgres.dsn import Dsn, PostgresError

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from psycopg.errors import Diagnostic

    Connection = AsyncConnection[tuple[Any, ...]]

OLDEST = 120000
"""The first version with REINDEX CONCURRENTLY."""
GENTLE = {
    "search_path": "pg_catalog",
    "client_min_messages": "warning",
    "lock_timeout": "5s",
    "statement_timeout": "60s",
    "transaction_timeout": "0",
    "idle_in_transaction_session_timeout": "60s",
    "max_parallel_maintenance_workers": "0",
    "max_parallel_workers_per_gather": "0",
    "vacuum_cost_delay": "2ms",
}
"""Vacuum rests as often as autovacuum does, and nothing takes a second processor."""


OURS = "/* mainstay */"
"""Stands before our own statements, so that people and we ourselves know them from others'."""


LOCKED = "another session holds a lock"


class Busy(PostgresError):
    """A lock was not to be had in time."""


class TooLong(PostgresError):
    """A statement took longer than it may."""


class NotAllowed(PostgresError):
    """The account may not do this."""


@dataclass
class Session:
    """A connection, what the server warned of, and what the database has."""

    dsn: Dsn
    connection: "Connection"
    version: int
    extensions: dict[str, str] = field(default_factory=dict)
    """The schema of each extension, quoted."""
    warnings: list[str] = field(default_factory=list)

    async def rows(self, query: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """Ask. Raises `Busy`, `TooLong`, `NotAllowed` or `PostgresError`."""
        with told(self.dsn):
            cursor = await self.connection.execute(f"{OURS} {query}".encode(), parameters)
            return await cursor.fetchall() if cursor.description else []

    async def row(self, query: str, parameters: Sequence[Any] | None = None) -> tuple[Any, ...]:
        """Ask for the one row that there always is."""
        return (await self.rows(query, parameters))[0]

    async def do(self, statement: str, within: float) -> list[str]:
        """Carry a statement out, for at most so many seconds; give what the server warned of meanwhile."""
        self.warnings.clear()
        await self.limit(within)
        try:
            await self.rows(statement)
        finally:
            await self.limit(60)
        return list(self.warnings)

    async def limit(self, seconds: float) -> None:
        """Let no statement take longer."""
        await self.rows(f"SELECT set_config('statement_timeout', '{max(1, int(seconds * 1000))}', false)")


@asynccontextmanager
async def session(dsn: Dsn, lock_timeout: float) -> AsyncIterator[Session]:
    """A gentle connection, closed afterwards. Raises `PostgresError` when there is none, or it leads to a pooler."""
    connection = await dsn.connect(keepalives_idle="30", keepalives_interval="10", keepalives_count="6")
    try:
        connection.prepare_threshold = None
        version = connection.info.server_version
        if version < OLDEST:
            raise PostgresError(f"{dsn} runs PostgreSQL {version // 10000}, 12 is needed")
        opened = Session(dsn, connection, version)
        connection.add_notice_handler(lambda said: opened.warnings.append(_warning(said)))
        pins = {**GENTLE, "lock_timeout": f"{int(lock_timeout * 1000)}"}
        await opened.rows(
            "SELECT pg_catalog.set_config(w.name, w.value, false) FROM unnest(%s::text[], %s::text[]) "
            "AS w(name, value) JOIN pg_catalog.pg_settings s ON s.name = w.name",
            [list(pins), list(pins.values())],
        )
        (pid,) = await opened.row("SELECT pg_backend_pid()")
        if pid != connection.info.backend_pid:
            raise PostgresError(
                f"{dsn} leads to a connection pooler, where limits would hold for others",
                hint="give the address of PostgreSQL itself in dsn",
            )
        found = await opened.rows(
            "SELECT extname, quote_ident(nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace"
        )
        opened.extensions = dict(found)
        yield opened
    finally:
        await connection.close()


def _warning(said: "Diagnostic") -> str:
    """Write a warning; that a table was passed over is known by its code, as the words may be in any language."""
    return LOCKED if said.sqlstate == "55P03" else said.message_primary or ""


@contextmanager
def told(dsn: Dsn) -> Iterator[None]:
    """Turn the driver's exceptions into ours, in one line."""
    from psycopg import Error, errors

    kinds: list[tuple[type[Exception], Callable[[str], PostgresError]]] = [
        (errors.LockNotAvailable, lambda said: Busy(said, hint="another session holds a lock")),
        (errors.DeadlockDetected, lambda said: Busy(said, hint="another session holds a lock")),
        (errors.QueryCanceled, TooLong),
        (errors.InsufficientPrivilege, NotAllowed),
    ]
    try:
        yield
    except Error as fault:
        said = f"{dsn}: {' '.join(str(fault).split())}"
        for kind, make in kinds:
            if isinstance(fault, kind):
                raise make(said) from None
        raise PostgresError(said, hint="look at the server's log") from None
