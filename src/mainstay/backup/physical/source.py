"""The server whose log is kept: what it is, how it is reached, with which programs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from mainstay.backup.physical.layout import parse_lsn
from mainstay.backup.physical.settings import WalSettings
from mainstay.backup.ports import BackupPorts
from mainstay.backup.session import one, session
from mainstay.core.errors import MainstayError
from mainstay.ports.postgres.dsn import Dsn, PostgresError, passfile
from mainstay.ports.postgres.tls import forwarded
from mainstay.ports.postgres.tools import Toolset
from mainstay.ports.scratch import Workspace

OLDEST = 13
KEEPALIVE = {
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
"""Without these a connection through a network that was cut lasts for hours."""

ABOUT = """
SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000,
       (SELECT system_identifier::text FROM pg_catalog.pg_control_system()),
       (SELECT setting::bigint FROM pg_catalog.pg_settings WHERE name = 'wal_segment_size'),
       (SELECT rolname::text FROM pg_catalog.pg_roles WHERE oid = 10), pg_catalog.pg_is_in_recovery(),
       (SELECT sum(pg_catalog.pg_database_size(oid))::bigint FROM pg_catalog.pg_database),
       (SELECT count(*) FROM pg_catalog.pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')),
       COALESCE((SELECT setting FROM pg_catalog.pg_settings WHERE name = 'summarize_wal'), 'off') = 'on',
       (SELECT rolsuper OR rolreplication FROM pg_catalog.pg_roles WHERE rolname = current_user),
       current_setting('wal_level'), extract(epoch FROM pg_catalog.clock_timestamp())::float8,
       CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL
            ELSE pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_flush_lsn()) END,
       CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
            ELSE pg_catalog.pg_current_wal_flush_lsn() END::text
"""
SETTINGS = """
SELECT name::text, current_setting(name) FROM pg_catalog.pg_settings
WHERE source = 'configuration file' AND context <> 'internal' AND name !~ '(conninfo|passphrase|_command)'
ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a server says of itself. `system` is its identifier, `segment` the size of its segments in bytes."""

    version: str
    major: int
    system: str
    segment: int
    superuser: str
    standby: bool
    bytes: int
    tablespaces: int
    summarizes: bool
    may: bool
    level: str
    now: float
    """Its clock, in seconds since 1970."""
    file: str | None
    """The name of a segment of the timeline that it writes."""
    flushed: int
    """Up to where its log is on its disk."""

    @property
    def timeline(self) -> int | None:
        """The timeline that it writes; None for a standby."""
        return int(self.file[:8], 16) if self.file else None


@dataclass(frozen=True)
class Source:
    """A server with the programs for it. `near` is the address for PostgreSQL's programs, which may know no TLS."""

    database: str
    settings: WalSettings
    dsn: Dsn
    near: Dsn
    facts: Facts
    tools: Toolset
    space: Workspace

    @property
    def env(self) -> dict[str, str]:
        """The environment for PostgreSQL's programs."""
        return passfile(self.near, self.space.path)


def wal_of(ports: BackupPorts, database: str) -> WalSettings:
    """Give a database's settings of this lane. Raises `MainstayError` when its log is not kept."""
    found = ports.database(database).wal
    if found is None:
        raise MainstayError(
            f"the log of {database} is not kept", hint="give it `wal: {to: STORAGE}` in the file"
        )
    return found


def address(ports: BackupPorts, database: str) -> Dsn:
    """Give the address for replication."""
    given = wal_of(ports, database).dsn
    return ports.dsn(database) if given is None else Dsn.parse(given.reveal())


async def facts_of(dsn: Dsn) -> Facts:
    """Ask a server what it is. Raises `PostgresError`."""
    async with session(dsn) as connection:
        version, *rest, flushed = await one(connection, ABOUT)
    return Facts(*[version.split()[0], *rest, parse_lsn(flushed or "0/0")])


async def settings_of(dsn: Dsn) -> dict[str, str]:
    """Give what the server's postgresql.conf says. Raises `PostgresError`."""
    async with session(dsn) as connection:
        rows = await (await connection.execute(SETTINGS)).fetchall()
    return dict(rows)


def unfit(dsn: Dsn, facts: Facts) -> PostgresError | None:
    """Say why the log of a server cannot be kept, if so."""
    if facts.major < OLDEST:
        return PostgresError(f"{dsn} runs PostgreSQL {facts.version}, {OLDEST} is needed to keep its log")
    if facts.standby:
        return PostgresError(f"{dsn} is a standby", hint="give the primary's address, or several hosts with "
                             "target_session_attrs=read-write")  # fmt: skip
    if not facts.may:
        user = dsn.params.get("user", "this user")
        return PostgresError(f"{dsn}: {user} may not replicate", hint=f"ALTER ROLE {user} REPLICATION")
    if facts.level == "minimal":
        return PostgresError(
            f"{dsn} has wal_level = minimal", hint="set it to replica and restart the server"
        )
    return None


@asynccontextmanager
async def source(ports: BackupPorts, database: str) -> AsyncIterator[Source]:
    """Find out whose log it is and with which programs it is read. Raises `PostgresError`, `ToolsError`."""
    dsn = address(ports, database)
    async with session(dsn) as connection:
        info, encrypted = connection.info, connection.pgconn.ssl_in_use
        host, port = info.host or info.hostaddr, info.port
    facts = await facts_of(dsn)
    fault = unfit(dsn, facts)
    if fault is not None:
        raise fault
    tools = await asyncio.to_thread(ports.tools.replication, facts.major)
    async with AsyncExitStack() as stack:
        space = stack.enter_context(ports.scratch.workspace())
        near = dsn
        if encrypted and not await asyncio.to_thread(tools.speaks_tls):
            near = await stack.enter_async_context(forwarded(dsn, host, port, space))
        yield Source(database, wal_of(ports, database), dsn, near, facts, tools, space)
