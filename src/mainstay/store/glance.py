"""One quick look at a SQLite journal, for commands that must start fast: no event loop, no threads, no writing."""

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from mainstay.core.errors import JournalError
from mainstay.store.base import Row, Unit
from mainstay.store.named import QUERIES, query

T = TypeVar("T")

PATIENCE = 5.0


class NoJournal(JournalError):
    """There is no journal yet: nothing has run."""


class Older(JournalError):
    """The journal has an older schema; opening it in earnest brings it forward."""


def glance(path: Path, unit: Unit[T]) -> T:
    """Run a reading unit on a consistent snapshot. Raises `JournalError`: not there, not readable, another schema."""
    try:
        with path.open("rb"):
            pass
        connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
        try:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("BEGIN")
            _recognise(connection, path)
            return unit(_Look(connection))
        finally:
            connection.close()
    except FileNotFoundError:
        raise NoJournal(f"there is no journal yet at {path}", hint="mainstay up begins one") from None
    except PermissionError:
        raise JournalError(
            f"the journal {path} may not be read by this account",
            hint="use the account that runs mainstay, or sudo",
        ) from None
    except (OSError, sqlite3.Error) as fault:
        raise JournalError(
            f"the journal {path} cannot be read: {fault}", hint="mainstay doctor looks closer"
        ) from None


def _recognise(connection: sqlite3.Connection, path: Path) -> None:
    try:
        row = connection.execute(query("meta.get", "sqlite").text, {"key": "schema"}).fetchone()
    except sqlite3.OperationalError as fault:
        if "no such table" not in str(fault):
            raise
        row = None
    if row is None:
        raise NoJournal(f"{path} is not a journal of mainstay", hint="look at `journal` and `state_dir`")
    present = int(row[0])
    newest = max(int(file.name.partition("_")[0]) for file in (QUERIES.parent / "migrations").glob("*.sql"))
    if present > newest:
        raise JournalError(
            f"the journal has schema {present}, this mainstay knows schemas up to {newest}",
            hint="use the newer mainstay",
        )
    if present < newest:
        raise Older(f"the journal still has schema {present}", hint="mainstay up brings it forward")


class _Look:
    """A `Tx` that only reads."""

    dialect = "sqlite"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def all(self, name: str, /, **params: Any) -> list[Row]:
        found = query(name, self.dialect)
        cursor = self._connection.execute(found.text, found.checked(params))
        columns = [column[0] for column in cursor.description]
        return [dict(zip(columns, row, strict=True)) for row in cursor]

    def one(self, name: str, /, **params: Any) -> Row | None:
        return next(iter(self.all(name, **params)), None)

    def run(self, name: str, /, **params: Any) -> int:
        raise TypeError(f"{name} would write")

    def many(self, name: str, /, rows: Iterable[Mapping[str, Any]]) -> int:
        raise TypeError(f"{name} would write")

    def signal(self, topic: str) -> None:
        raise TypeError(f"{topic} would be written")
