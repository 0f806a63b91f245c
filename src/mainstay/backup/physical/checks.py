"""Whether a restored server is sound: the checksums of its pages, the order of its indexes."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mainstay.backup.physical.cluster import Cluster
from mainstay.backup.session import session, told
from mainstay.ports.postgres.dsn import Dsn

if TYPE_CHECKING:
    from mainstay.backup.session import Connection

HEAPS_SINCE = 140000
DATABASES = "SELECT datname::text FROM pg_catalog.pg_database WHERE datallowconn ORDER BY 1"
INDEXES = """
SELECT c.oid, c.oid::regclass::text FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_am a ON a.oid = c.relam
WHERE a.amname = 'btree' AND i.indisvalid AND c.relpersistence <> 't' ORDER BY 1
"""
TABLES = """
SELECT c.oid, c.oid::regclass::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_am a ON a.oid = c.relam
WHERE a.amname = 'heap' AND c.relkind IN ('r', 't', 'm') AND c.relpersistence <> 't' ORDER BY 1
"""


@dataclass
class Soundness:
    """What was found: faults, how many indexes and tables were looked at, and what could not be looked at and why."""

    faults: list[str] = field(default_factory=list)
    indexes: int = 0
    tables: int = 0
    checksums: bool = False
    unproven: dict[str, str] = field(default_factory=dict)

    def summary(self) -> str:
        """Say it in one line."""
        if self.faults:
            return f"{len(self.faults)} faults: {self.faults[0]}"
        parts = ["page checksums are right"] if self.checksums else []
        if self.indexes:
            parts.append(f"{self.indexes:,} indexes and {self.tables:,} tables are in order")
        parts += [f"{what} not looked at: {why}" for what, why in self.unproven.items()]
        return "; ".join(parts) or "nothing was looked at"


async def check_pages(cluster: Cluster, found: Soundness) -> None:
    """Check every page of a server that was shut down."""
    code, said = await cluster.tool("pg_checksums", "--check", "-D", str(cluster.data))
    if code == 0:
        found.checksums = True
    elif "not enabled" in said:
        found.unproven["page checksums"] = "the server was made without them"
    else:
        found.faults.append(f"pg_checksums: {said[-300:]}")


async def check_indexes(cluster: Cluster, found: Soundness) -> None:
    """Check every index and table of a server that runs. Raises `PostgresError`."""
    if "amcheck" not in cluster.tools.extensions():
        found.unproven["indexes"] = f"{cluster.tools} has no amcheck"
        return
    async with session(cluster.dsn()) as connection:
        names = [name for (name,) in await (await connection.execute(DATABASES)).fetchall()]
    for name in names:
        await _database(cluster.dsn(name), name, found)


async def _database(dsn: Dsn, name: str, found: Soundness) -> None:
    async with session(dsn) as connection:
        with told(dsn):
            rows = await (
                await connection.execute("SELECT 1 FROM pg_catalog.pg_extension WHERE extname = 'amcheck'")
            ).fetchall()
            if not rows:
                await connection.execute("CREATE SCHEMA mainstay_amcheck")
                await connection.execute("CREATE EXTENSION amcheck SCHEMA mainstay_amcheck")
            place = "mainstay_amcheck" if not rows else await _schema(connection)
            await connection.execute("SELECT set_config('search_path', %s, false)", [place])
            await _each(connection, name, found)
            if not rows:
                await connection.execute("DROP EXTENSION amcheck")
                await connection.execute("DROP SCHEMA mainstay_amcheck")


async def _schema(connection: "Connection") -> str:
    row = await (
        await connection.execute(
            "SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'amcheck'"
        )
    ).fetchone()
    return str(row[0]) if row else "public"


async def _each(connection: "Connection", name: str, found: Soundness) -> None:
    from psycopg import Error

    for oid, index in await (await connection.execute(INDEXES)).fetchall():
        found.indexes += 1
        try:
            await connection.execute("SELECT bt_index_check(%s::oid::regclass)", [oid])
        except Error as fault:
            found.faults.append(f"{name}: index {index}: {' '.join(str(fault).split())[:200]}")
    if connection.info.server_version < HEAPS_SINCE:
        return
    for oid, table in await (await connection.execute(TABLES)).fetchall():
        found.tables += 1
        rows = await (
            await connection.execute("SELECT msg FROM verify_heapam(%s::oid::regclass) LIMIT 3", [oid])
        ).fetchall()
        found.faults += [f"{name}: table {table}: {message}" for (message,) in rows]
