"""The file of a SQLite journal: made, recognised, brought to the newest schema."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mainstay.core.errors import JournalError
from mainstay.store.migrate import Migration, forward, migrations, statements
from mainstay.store.named import query
from mainstay.store.sqlite_link import connect, told


def prepare(path: Path, steps: tuple[Migration, ...] = ()) -> None:
    """Make the file if needed and bring it to the newest schema; only one process at a time does so.

    Raises `JournalError`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path):
            _create(path)
            connection = connect(path)
            try:
                # A log that a crash left behind may have a gap on the disk that the kernel's memory hides, if an
                # fsync failed before. What is written from here on must not stand behind it.
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").close()
                _migrate(connection, path, steps or migrations())
            finally:
                connection.close()
    except OSError as error:
        raise JournalError(
            f"the journal {path} cannot be opened: {error.strerror}",
            hint="look at the directory and its owner",
        ) from error
    except sqlite3.Error as error:
        raise told(error, path) from error


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _create(path: Path) -> None:
    # Only a file that did not exist is ever opened here: closing a second descriptor of a live SQLite file
    # would drop the locks of every connection in this process.
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    # What is left of a file that is gone would be taken for the log of the fresh one.
    for rest in ("-wal", "-shm"):
        path.with_name(f"{path.name}{rest}").unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    opened = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def schema(connection: sqlite3.Connection, path: Path) -> int:
    """Give the schema's number, 0 for an empty file. Raises `JournalError` if it is somebody else's file."""
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return 0
    row = None
    if {"meta", "check_state"} <= tables:
        row = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    if row is None:
        raise JournalError(f"{path} is not a journal of mainstay", hint="give the journal a file of its own")
    return int(row[0])


def _migrate(connection: sqlite3.Connection, path: Path, steps: tuple[Migration, ...]) -> None:
    def apply(step: Migration) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements(step.text):
                connection.execute(statement)
            connection.execute(query("meta.put", "sqlite").text, {"key": "schema", "value": str(step.number)})
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def before(present: int) -> None:
        copy = path.with_name(f"{path.name}.schema-{present}")
        copy.unlink(missing_ok=True)
        connection.execute("VACUUM INTO ?", (str(copy),))
        copy.chmod(0o600)

    forward(schema(connection, path), steps, apply, before)
