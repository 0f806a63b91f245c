"""A restored copy, read the way the original was."""

from typing import Protocol

from mainstay.backup.compare import Copy
from mainstay.backup.fingerprint import count_large_objects, count_tables, read_sequences
from mainstay.backup.manifest import Manifest
from mainstay.backup.schema import read_schema
from mainstay.backup.session import session
from mainstay.backup.tables import list_tables
from mainstay.ports.postgres.dsn import Dsn


class Narrator(Protocol):
    """Who is told how far it is; a `RunContext` is one."""

    def log(self, line: str) -> None:
        """Say something worth keeping."""
        ...

    def progress(self, label: str, done: float, total: float | None = None, unit: str = "") -> None:
        """Say how far it is."""
        ...


async def look(told_to: Narrator, dsn: Dsn, manifest: Manifest, major: int, complaints: list[str]) -> Copy:
    """Read from a restored copy everything that its manifest can be compared with. Raises `PostgresError`."""
    async with session(dsn) as connection:
        available = await (
            await connection.execute("SELECT name::text FROM pg_available_extensions")
        ).fetchall()
        icu = await (
            await connection.execute(
                "SELECT FROM pg_collation WHERE collprovider = 'i' AND collname ~ '-x-icu$' LIMIT 1"
            )
        ).fetchall()
        roles = await (await connection.execute("SELECT rolname::text FROM pg_roles")).fetchall()
        listed = await list_tables(connection)
        objects = await count_large_objects(dsn, connection)
        sequences = await read_sequences(dsn, connection)
        schema = await read_schema(dsn, connection)
    wanted = [table for table in listed if table.key in manifest.tables]

    def counted(done: int) -> None:
        told_to.progress("comparing", done, len(wanted), "tables")

    lacks = manifest.schema_.extensions.keys() - {name for (name,) in available}
    return Copy(
        major=major,
        tables=await count_tables(dsn, wanted, on_table=counted),
        large_objects=objects,
        sequences=sequences,
        schema=schema,
        roles=frozenset(name for (name,) in roles),
        listed=tuple(listed),
        lacks=frozenset(lacks if icu else {*lacks, "ICU"}),
        complaints=tuple(complaints),
    )
