"""What ALTER DATABASE ... SET said: it belongs to no table, and pg_restore leaves it out."""

import re
from typing import TYPE_CHECKING

from mainstay.backup.manifest import Setting
from mainstay.backup.session import told
from mainstay.ports.postgres.dsn import Dsn

if TYPE_CHECKING:
    from psycopg.sql import Composable

    from mainstay.backup.session import Connection

QUERY = """
SELECT COALESCE(r.rolname, '')::text, split_part(c.line, '=', 1), substr(c.line, strpos(c.line, '=') + 1)
FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole CROSS JOIN LATERAL unnest(s.setconfig) AS c(line)
WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1, 2
"""
# These hold a list of names that are quoted already; as one string they would be one odd name.
LISTS = frozenset({"search_path", "temp_tablespaces", "local_preload_libraries", "session_preload_libraries"})


PART = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^",\s]+))\s*(?:,|$)')


def _list(value: str) -> "Composable":
    """Quote each name anew: what the source's users wrote must not become a statement of ours."""
    from psycopg import sql

    names, at = [], 0
    while at < len(value):
        part = PART.match(value, at)
        if part is None:
            return sql.Literal(value)
        names.append(sql.Identifier(part[2] if part[1] is None else part[1].replace('""', '"')))
        at = part.end()
    return sql.SQL(", ").join(names)


async def read_settings(dsn: Dsn, connection: "Connection") -> list[Setting]:
    """Read them. Raises `PostgresError`."""
    with told(dsn):
        rows = await (await connection.execute(QUERY)).fetchall()
    return [Setting(role=role, name=name, value=value) for role, name, value in rows]


async def apply_settings(connection: "Connection", database: str, settings: list[Setting]) -> list[str]:
    """Set them for a database; give what could not be set."""
    from psycopg import Error, sql

    failed = []
    for each in settings:
        value = _list(each.value) if each.name in LISTS and each.value else sql.Literal(each.value)
        whom = sql.SQL("ROLE {} IN DATABASE {}").format(sql.Identifier(each.role), sql.Identifier(database))
        target = whom if each.role else sql.SQL("DATABASE {}").format(sql.Identifier(database))
        name = sql.SQL(".").join(sql.Identifier(part) for part in each.name.split("."))
        try:
            await connection.execute(sql.SQL("ALTER {} SET {} TO {}").format(target, name, value))
        except Error as fault:
            failed.append(f"{each.name} = {each.value}: {' '.join(str(fault).split())}")
    return failed
