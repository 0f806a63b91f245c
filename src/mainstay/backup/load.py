"""Roles and data into a server: what a proof does in a sandbox and a restore on a real one."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mainstay.backup.manifest import Server
from mainstay.backup.session import session, told
from mainstay.ports.postgres.child import child
from mainstay.ports.postgres.dsn import Dsn, PostgresError, passfile
from mainstay.ports.postgres.tools import Toolset

if TYPE_CHECKING:
    from psycopg.sql import Composable

KEPT = 50


class Complaints:
    """Collects what a program reports as errors, one line each."""

    def __init__(self, on_item: Callable[[], None] | None = None) -> None:
        self.lines: list[str] = []
        self._on_item = on_item

    def hear(self, line: str) -> None:
        """Take a line of its standard error."""
        if "error:" in line or "ERROR:" in line or "FATAL:" in line:
            if len(self.lines) < KEPT and "errors ignored on restore" not in line:
                self.lines.append(line.split("error: ", 1)[-1].strip())
        elif self._on_item is not None and "processing data for table" in line:
            self._on_item()


async def load_roles(psql: Toolset, dsn: Dsn, file: Path, folder: Path) -> list[str]:
    """Run the statements of `pg_dumpall --globals-only`; give what failed (a role that exists already, mostly)."""
    complaints = Complaints()
    argv = [psql.program("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=0", "-f", str(file), "-d", dsn.public()]
    async with child(argv, env=passfile(dsn, folder), on_line=complaints.hear) as running:
        code = await running.finish()
    if code:
        raise PostgresError(f"psql could not load the roles: {running.said[-300:]}")
    return complaints.lines


async def create_database(dsn: Dsn, name: str, like: Server) -> str | None:
    """Create a database with the encoding and locale of the one that was dumped.

    Where this server does not know the locale, C is taken instead and the locale's name returned: what is sorted and
    computed by it may differ.
    """
    from psycopg import Error, sql

    create = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {} {}")
    plain = sql.SQL("LC_COLLATE 'C' LC_CTYPE 'C'")
    async with session(dsn) as connection:
        with told(dsn):
            for locale in (_locale(like), plain):
                query = create.format(sql.Identifier(name), sql.Literal(like.encoding), locale)
                try:
                    await connection.execute(query)
                except Error as fault:
                    if fault.sqlstate not in UNKNOWN_LOCALE or locale is plain:
                        raise
                    continue
                return like.locale or like.collate if locale is plain else None
    raise AssertionError("unreachable")


UNKNOWN_LOCALE = frozenset({"42809", "22023", "0A000", "42601"})
"""What servers say: wrong object, invalid value, built without ICU, option of a newer version."""


def _locale(like: Server) -> "Composable":
    from psycopg import sql

    if like.provider == "i":
        return sql.SQL("LOCALE_PROVIDER icu ICU_LOCALE {} LC_COLLATE 'C' LC_CTYPE 'C'").format(like.locale)
    if like.provider == "b":
        return sql.SQL("LOCALE_PROVIDER builtin BUILTIN_LOCALE {} LC_COLLATE 'C' LC_CTYPE 'C'").format(
            like.locale
        )
    return sql.SQL("LC_COLLATE {} LC_CTYPE {}").format(like.collate, like.ctype)


async def load_archive(
    restore: Toolset,
    dsn: Dsn,
    archive: Path | int,
    folder: Path,
    on_item: Callable[[], None] | None = None,
) -> list[str]:
    """Run pg_restore on a file, or on a descriptor with one connection; give the errors that it went on after.

    The descriptor is closed. Raises `PostgresError` when it did not get to the end.
    """
    complaints = Complaints(on_item)
    argv = [restore.program("pg_restore"), "--verbose", "--no-tablespaces", "-d", dsn.public()]
    stdin = asyncio.subprocess.DEVNULL
    if isinstance(archive, Path):
        argv += ["-j", str(min(4, os.cpu_count() or 1)), str(archive)]
    else:
        stdin = archive
    async with child(argv, env=passfile(dsn, folder), stdin=stdin, on_line=complaints.hear) as running:
        if stdin >= 0:
            os.close(stdin)  # so that who writes to it notices when pg_restore is gone
        code = await running.finish()
    if code and not complaints.lines:
        raise PostgresError(f"pg_restore ended with {code}: {running.said[-300:]}")
    return complaints.lines
