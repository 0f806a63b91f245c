"""A restored copy, read the way the original was."""

from typing import TYPE_CHECKING, Protocol

from mainstay.backup.compare import LOCALE, Copy
from mainstay.backup.fingerprint import count_large_objects, count_tables, read_sequences
from mainstay.backup.manifest import Manifest
from mainstay.backup.schema import read_schema
from mainstay.backup.session import session
from mainstay.backup.tables import list_tables
from mainstay.ports.postgres.dsn import Dsn

if TYPE_CHECKING:
    from mainstay.backup.session import Connection


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
        lacks = await _lacks(connection, manifest)
        roles = await _names(connection, "SELECT rolname::text FROM pg_roles")
        listed = await list_tables(connection)
        objects = await count_large_objects(dsn, connection)
        sequences = await read_sequences(dsn, connection)
        schema = await read_schema(dsn, connection)
    wanted = [table for table in listed if table.key in manifest.tables]

    def counted(done: int) -> None:
        told_to.progress("comparing", done, len(wanted), "tables")

    return Copy(
        major=major,
        tables=await count_tables(dsn, wanted, manifest.method, on_table=counted),
        large_objects=objects,
        sequences=sequences,
        schema=schema,
        roles=roles,
        listed=tuple(listed),
        lacks=lacks,
        complaints=tuple(complaints),
    )


async def _lacks(connection: "Connection", manifest: Manifest) -> frozenset[str]:
    """What the copy's server has not, of what the original needs: extensions, ICU, locales."""
    extensions = await _names(connection, "SELECT name::text FROM pg_available_extensions")
    lacks = set(manifest.schema_.extensions.keys() - extensions)
    # Since version 16 one collation of ICU is listed even by servers that were built without it.
    if not await _names(connection, "SELECT 'x' FROM pg_collation WHERE collname ~ '-x-icu$' LIMIT 1"):
        lacks.add("ICU")
    known = {_plain(name) for name in await _names(connection, LOCALES)}
    wanted = {need for needs in manifest.schema_.needs.values() for need in needs if need.startswith(LOCALE)}
    own = manifest.server.locale or manifest.server.collate
    foreign = own not in await _names(connection, OWN_LOCALE)
    for need in wanted:
        name = need.removeprefix(LOCALE)
        if foreign if name == own else _plain(name) not in known:
            lacks.add(need)
    return frozenset(lacks)


LOCALES = "SELECT DISTINCT collcollate::text FROM pg_collation WHERE collprovider = 'c'"
OWN_LOCALE = """
SELECT COALESCE(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', d.datcollate::text)
FROM pg_database d WHERE d.datname = current_database()
"""


def _plain(locale: str) -> str:
    return locale.lower().replace("-", "")


async def _names(connection: "Connection", query: str) -> frozenset[str]:
    rows = await (await connection.execute(query.encode())).fetchall()
    return frozenset(name for (name,) in rows)
