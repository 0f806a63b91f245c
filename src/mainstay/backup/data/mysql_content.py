"""What is in a database of MariaDB or MySQL, in a form that does not depend on the server: counts and checksums."""

import hashlib
from typing import NamedTuple

from mainstay.backup.data.mysql_client import Server
from mainstay.backup.fingerprint import Counted

QUESTIONS = (
    (
        "SELECT 'table', HEX(table_name), COALESCE(engine, ''), COALESCE(data_length + index_length, 0) "
        "FROM information_schema.tables "
        "WHERE table_schema = DATABASE() AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY table_name"
    ),
    (
        "SELECT 'column', HEX(table_name), HEX(column_name) FROM information_schema.columns "
        "WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position"
    ),
    "SELECT 'views', HEX(table_name) FROM information_schema.views WHERE table_schema = DATABASE()",
    "SELECT 'triggers', HEX(trigger_name) FROM information_schema.triggers WHERE trigger_schema = DATABASE()",
    "SELECT 'routines', HEX(routine_name) FROM information_schema.routines WHERE routine_schema = DATABASE()",
    "SELECT 'events', HEX(event_name) FROM information_schema.events WHERE event_schema = DATABASE()",
)
OBJECTS = ("views", "triggers", "routines", "events")
SNAPSHOT = "InnoDB"
"""The storage engine whose tables are dumped as of one moment."""


class Contents(NamedTuple):
    """What was found: each table's rows, the names of other things, the engines that are not InnoDB, bytes."""

    tables: dict[str, Counted]
    objects: dict[str, str]
    foreign: dict[str, str]
    bytes: int


async def look(server: Server) -> Contents:
    """Count and hash every table. Raises `MysqlFault`."""
    answers = await server.ask(*QUESTIONS)
    found = [(_name(each[1]), each[2], int(each[3])) for each in answers if each[0] == "table"]
    columns: dict[str, list[str]] = {name: [] for name, _, _ in found}
    for each in answers:
        if each[0] == "column":
            columns.get(_name(each[1]), []).append(_name(each[2]))
    rows = await server.ask(*(_counting(name, columns[name]) for name, _, _ in found)) if found else []
    tables = {
        name: Counted(rows=int(row[0]), sum=row[1]) for (name, _, _), row in zip(found, rows, strict=True)
    }
    objects = {}
    for kind in OBJECTS:
        names = sorted(each[1] for each in answers if each[0] == kind)
        objects[kind] = f"{len(names)} {hashlib.sha256(repr(names).encode()).hexdigest()[:16]}"
    foreign = {name: engine for name, engine, _ in found if engine != SNAPSHOT}
    return Contents(tables, objects, foreign, sum(size for _, _, size in found))


def _name(text: str) -> str:
    return bytes.fromhex(text).decode()


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _counting(table: str, columns: list[str]) -> str:
    """Make the query for one table: its rows, and the sum of 60 bits of the MD5 of each."""
    # As hexadecimal digits of what is stored: no character set, and no server's way of writing, has a say.
    values = ", ".join(f"COALESCE(HEX(CONCAT({_quote(column)})), '~')" for column in columns) or "''"
    row = f"CAST(CONV(LEFT(MD5(CONCAT_WS(',', {values})), 15), 16, 10) AS UNSIGNED)"
    return f"SELECT COUNT(*), COALESCE(SUM({row}), 0) FROM {_quote(table)}"  # noqa: S608 - names are quoted
