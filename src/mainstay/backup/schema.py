"""What a database is made of besides its rows: relations, columns, indexes, constraints, functions and so on.

Only what a restore is bound to reproduce letter by letter is compared. The text of a view or of a CHECK is not: the
server rewrites it when it is created once more, and an honest copy would look like a broken one.
"""

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from mainstay.backup.session import told
from mainstay.backup.tables import quoted
from mainstay.ports.postgres.dsn import Dsn
from mainstay.store.named import parse

if TYPE_CHECKING:
    from mainstay.backup.session import Connection


class Schema(BaseModel):
    """Definitions by category and name; for each what it `needs` of extensions; the roles that are mentioned."""

    parts: dict[str, dict[str, str]] = {}
    needs: dict[str, list[str]] = {}
    """Extensions, `ICU` and `locale NAME` by `category name`, for what cannot exist or be the same without them."""
    extensions: dict[str, str] = {}
    """Versions by name."""
    roles: list[str] = []


NEEDS = ("needs", "locales")
EXTENSIONS = "SELECT extname::text, extversion FROM pg_extension ORDER BY 1"
ROLES = """
SELECT DISTINCT r.rolname::text FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid
WHERE d.refclassid = 'pg_authid'::regclass AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND r.rolname !~ '^pg_' ORDER BY 1
"""
USER = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
OWN = """NOT EXISTS (SELECT FROM pg_depend own
  WHERE own.classid = '{0}'::regclass AND own.objid = {1}.oid AND own.deptype = 'e')"""


@cache
def queries() -> dict[str, bytes]:
    """The statements of `schema.sql`, ready to run, by category; those of NEEDS are among them."""
    found = parse((Path(__file__).parent / "schema.sql").read_text("utf-8"))
    return {name.replace("_", " "): _ready(texts[""][1]) for name, texts in found.items()}


def _ready(text: str) -> bytes:
    text = text.replace("{user}", USER)
    return re.sub(r"\{own (\w+) (\w+)\}", lambda found: OWN.format(found[1], found[2]), text).encode()


async def read_schema(dsn: Dsn, connection: "Connection") -> Schema:
    """Read what the database is made of. Raises `PostgresError`."""
    schema = Schema()
    with told(dsn):
        needs: dict[tuple[int, int], list[str]] = {}
        for about in NEEDS:
            for thing, kind, oid in await (await connection.execute(queries()[about])).fetchall():
                needs.setdefault((kind, oid), []).append(thing)
        for category, text in queries().items():
            if category in NEEDS:
                continue
            part = schema.parts.setdefault(category, {})
            for names, definition, kind, oid in await (await connection.execute(text)).fetchall():
                name = quoted(*names) if category != "function" else f"{quoted(names[0])}.{names[1]}"
                part[name] = definition
                if (kind, oid) in needs:
                    schema.needs[f"{category} {name}"] = sorted(needs[kind, oid])
        schema.extensions.update(await (await connection.execute(EXTENSIONS)).fetchall())
        schema.roles.extend(role for (role,) in await (await connection.execute(ROLES)).fetchall())
    return schema
