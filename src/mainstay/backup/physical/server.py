"""What the stream asks of its server, and what it changes there: the slot, synchronous commits, marker rows."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from mainstay.backup.physical.layout import format_lsn, parse_lsn
from mainstay.backup.physical.source import KEEPALIVE
from mainstay.backup.physical.watchdog import Sight
from mainstay.backup.session import one, session, told
from mainstay.ports.postgres.dsn import Dsn, PostgresError

if TYPE_CHECKING:
    from mainstay.backup.session import Connection

PATIENCE = 5.0
"""Seconds in which a server must answer us."""
LONGEST = 54
"""Characters of a database's name in the slot's, which may have 63."""

LOOK = """
SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
            ELSE pg_catalog.pg_current_wal_flush_lsn() END::text,
       COALESCE(r.state = 'streaming', false), r.write_lsn::text, r.flush_lsn::text,
       current_setting('synchronous_standby_names'),
       (SELECT reset_val FROM pg_catalog.pg_settings WHERE name = 'synchronous_commit'),
       s.wal_status::text, s.restart_lsn::text
FROM (SELECT 1) AS always
LEFT JOIN pg_catalog.pg_stat_replication r ON r.application_name = %(name)s
LEFT JOIN pg_catalog.pg_replication_slots s ON s.slot_name = %(name)s
ORDER BY r.backend_start DESC NULLS LAST LIMIT 1
"""
MAKE_MARKER = """
CREATE SCHEMA IF NOT EXISTS mainstay;
CREATE TABLE IF NOT EXISTS mainstay.marker (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE mainstay.marker IS
    'A row a minute, by which mainstay proves that a restore stops at the right moment. Safe to drop.';
"""
KEPT_MARKERS = "3 days"


def name_of(database: str) -> str:
    """Give what we are called on the server: the name of the slot and of the receiver."""
    plain = re.sub(r"[^a-z0-9_]", "_", database.lower())
    if plain != database or len(plain) > LONGEST:
        plain = f"{plain[:40]}_{hashlib.sha256(database.encode()).hexdigest()[:8]}"
    return f"mainstay_{plain}"


class Server:
    """A connection for looking after the server; made anew when it is lost. No commit of ours ever waits."""

    def __init__(self, dsn: Dsn, name: str) -> None:
        self.dsn = dsn
        self.name = name
        self._connection: Connection | None = None

    async def look(self, *, synchronous: bool) -> Sight:
        """See how everything stands. Raises `PostgresError`."""
        async with self._asking() as connection:
            cursor = await connection.execute(LOOK.encode(), {"name": self.name})
            row: Any = await cursor.fetchone()
        flushed, streaming, written, safe, names, commit, slot, kept_from = row
        received = safe if synchronous else written
        return Sight(
            parse_lsn(flushed), streaming, _lsn(received), names, commit or "", slot, _lsn(kept_from)
        )

    async def make_slot(self) -> None:
        """Have the server keep its log from now on. Raises `PostgresError`."""
        async with self._asking() as connection:
            await connection.execute(
                "SELECT pg_catalog.pg_create_physical_replication_slot(%s, true)", [self.name]
            )

    async def drop_slot(self) -> None:
        """Let the server delete its log. Raises `PostgresError`."""
        async with self._asking() as connection:
            await connection.execute("SELECT pg_catalog.pg_drop_replication_slot(%s)", [self.name])

    async def advance_slot(self, position: int) -> None:
        """Let the server delete its log below a position. Raises `PostgresError`."""
        async with self._asking() as connection:
            await connection.execute(
                "SELECT pg_catalog.pg_replication_slot_advance(%s, %s)", [self.name, format_lsn(position)]
            )

    async def wait_for_us(self, wait: bool) -> None:
        """Have commits wait for the receiver, or not any more. Raises `PostgresError`."""
        from psycopg import sql

        async with self._asking() as connection:
            if wait:
                # Whoever may not do this could not lift the wait either.
                await connection.execute("SELECT pg_catalog.pg_reload_conf()")
                names = sql.Literal(f'"{self.name}"')
                await connection.execute(
                    sql.SQL("ALTER SYSTEM SET synchronous_standby_names = {}").format(names)
                )
            else:
                await connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
            await connection.execute("SELECT pg_catalog.pg_reload_conf()")

    async def close(self) -> None:
        """Let go of the connection."""
        gone, self._connection = self._connection, None
        if gone is not None:
            await gone.close()

    async def _connect(self) -> "Connection":
        given = self.dsn.params.get("options", "")
        patient = f"{given} -c statement_timeout=5s -c lock_timeout=5s".strip()
        return await self.dsn.with_(options=patient).connect(**{**KEEPALIVE, "connect_timeout": "5"})

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator["Connection"]:
        try:
            async with asyncio.timeout(PATIENCE):
                with told(self.dsn):
                    if self._connection is None:
                        self._connection = await self._connect()
                        # Not among the options: what sessions begin with would not be seen any more.
                        await self._connection.execute("SET synchronous_commit = local")
                    yield self._connection
        except TimeoutError:
            await self.close()
            raise PostgresError(
                f"{self.dsn} does not answer", hint="is the server up, and the network?"
            ) from None
        except PostgresError:
            if self._connection is not None and self._connection.closed:
                await self.close()
            raise


def _lsn(text: str | None) -> int | None:
    return None if text is None else parse_lsn(text)


async def mark(dsn: Dsn) -> None:
    """Write a marker row, into a table that is made when it is not there. Raises `PostgresError`."""
    async with asyncio.timeout(PATIENCE * 2), session(dsn, lock_timeout=PATIENCE) as connection:
        await connection.execute("SET synchronous_commit = local")
        (there,) = await one(connection, "SELECT to_regclass('mainstay.marker') IS NOT NULL")
        if not there:
            await connection.execute(MAKE_MARKER.encode())
        await connection.execute("INSERT INTO mainstay.marker DEFAULT VALUES")
        await connection.execute(
            "DELETE FROM mainstay.marker WHERE at < clock_timestamp() - %s::interval", [KEPT_MARKERS]
        )


async def markers_of(connection: "Connection") -> list[tuple[int, float]]:
    """Give the marker rows, each its number and its moment in seconds since 1970. Raises `PostgresError`."""
    rows = await (
        await connection.execute("SELECT id, extract(epoch FROM at)::text FROM mainstay.marker ORDER BY id")
    ).fetchall()
    return [(int(number), float(at)) for number, at in rows]
