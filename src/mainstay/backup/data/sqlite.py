"""A SQLite file: copied by SQLite itself from one snapshot, never as a file that somebody may be writing."""

import asyncio
import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import Field

from mainstay.backup.compare import Difference, Judgement
from mainstay.backup.data.base import DataError, Dataset, Landed, Landing, Taken, Taking, Trial
from mainstay.backup.data.landing import land_at, look_at
from mainstay.backup.data.stream import file_written, written
from mainstay.backup.dump import Meter
from mainstay.backup.fingerprint import Counted
from mainstay.backup.manifest import DataManifest
from mainstay.core.errors import MainstayError
from mainstay.core.paths import ConfigPath
from mainstay.core.units import Duration, format_size

FILE = "database.sqlite.zst"
BESIDES = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a file and would apply to another one of that name."""
SPACE = 1 << 64
ABOUT = ("user_version", "application_id", "encoding")


class Text(bytes):
    """A value of type TEXT as it is stored, so that it is no BLOB and need not be UTF-8."""

    def __repr__(self) -> str:
        return f"t{super().__repr__()}"


class SqliteData(Dataset, type="sqlite", shorthand="path"):
    """A SQLite database in a file, also while an application writes to it.

    SQLite's own backup copies it from the very snapshot on which rows and contents of every table are counted; below
    `state_dir` there must be room for that copy. The proof checks the integrity of the restored file and compares every
    table. In WAL mode nobody waits; without it, whoever writes waits while the copy is made.
    """

    path: ConfigPath = Field(examples=["/srv/app/app.db"])
    """The file."""
    lock_timeout: Duration = 30.0
    """How long to wait for somebody who has locked the whole file before giving up."""
    may_be_empty: bool = False
    """Whether it is fine that there is no table in it; else that is taken for the wrong file."""

    def target(self) -> str:
        return str(self.path)

    async def examine(self) -> str:
        def look() -> str:
            with reading(self.path, self.lock_timeout) as (connection, _):
                return f"{len(_tables(connection))} tables in {self.path}"

        return await asyncio.to_thread(look)

    async def take(self, taking: Taking) -> Taken:
        at, copy = taking.clock.now(), taking.folder / "database.sqlite"

        def told(done: int, total: int) -> None:
            taking.run.progress("counting", done, total, "tables")

        counted, facts = await asyncio.to_thread(self._copy, copy, told)
        meter = Meter(
            on_bytes=lambda done: taking.run.progress("storing", done, copy.stat().st_size, "bytes")
        )
        await taking.put(
            FILE, written(file_written(copy), meter, taking.rules.nice), meter, copy.stat().st_size // 3
        )
        return Taken(
            at=at,
            program=f"SQLite {sqlite3.sqlite_version}",
            said=_words(counted),
            counted=counted,
            facts=facts,
        )

    def _copy(
        self, to: Path, on_table: Callable[[int, int], None]
    ) -> tuple[dict[str, Counted], dict[str, str]]:
        with reading(self.path, self.lock_timeout) as (connection, info):
            room(to.parent, info.st_size)
            counted = count(connection, on_table)
            if not counted and not self.may_be_empty:
                raise DataError(
                    f"there is no table in {self.path}",
                    hint="is the path right? if it is: may_be_empty: true",
                )
            facts = {"schema": schema(connection), "mode": oct(info.st_mode & 0o7777)}
            facts |= {"uid": str(info.st_uid), "gid": str(info.st_gid), "bytes": str(info.st_size)}
            # In the transaction in which was counted, and so of the same snapshot.
            with closing(sqlite3.connect(to)) as copy:
                connection.backup(copy)
        return counted, facts

    @classmethod
    async def tried(cls, trial: Trial) -> Judgement:
        room(trial.folder, trial.manifest.pieces[FILE].raw_bytes)
        file = await trial.file(FILE)
        trial.lap("restore")
        return await asyncio.to_thread(_examined, trial, file)

    @classmethod
    async def landing(cls, manifest: DataManifest, into: str, *, replace: bool) -> Landing:
        return await asyncio.to_thread(lambda: look_at(into, "file", replace=replace))

    @classmethod
    async def land(cls, trial: Trial, into: str, *, replace: bool) -> Landed:
        async def fill(draft: Path) -> Judgement:
            file = await trial.file(FILE)
            judgement = await asyncio.to_thread(_examined, trial, file)
            await asyncio.to_thread(_moved, trial.manifest, file, draft)
            return judgement

        return await land_at(trial, into, fill, BESIDES)


def room(folder: Path, needed: int) -> None:
    """Make sure that a copy fits. Raises `MainstayError`."""
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if free < needed:
        raise MainstayError(
            f"no room for a copy: {format_size(needed)} are needed, {folder} has {format_size(free)}",
            hint="free some space, or put state_dir on a larger disk",
        )


@contextmanager
def reading(
    path: Path, timeout: float, *, alone: bool = False
) -> Iterator[tuple[sqlite3.Connection, os.stat_result]]:
    """A read transaction on a file, which is never created. Raises `DataError`, also for what happens inside.

    `alone` says that nobody else has the file, so that nothing needs to be locked or written beside it.
    """
    try:
        info = path.stat()
        address = f"file:{quote(str(path.absolute()))}?mode=ro{'&immutable=1' if alone else ''}"
        with closing(sqlite3.connect(address, uri=True, timeout=timeout, isolation_level=None)) as connection:
            connection.text_factory = Text
            connection.execute("PRAGMA query_only = ON")
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            yield connection, info
    except sqlite3.Error as fault:
        locked = "locked" in str(fault) or "busy" in str(fault)
        hint = (
            "somebody holds the file; try again later" if locked else "sqlite3 FILE 'PRAGMA integrity_check'"
        )
        raise DataError(f"{path}: {fault}", hint=hint) from None
    except OSError as fault:
        raise DataError(
            f"{path}: {fault.strerror}", hint="is the path right, and may mainstay read it?"
        ) from None


def _tables(connection: sqlite3.Connection) -> list[str]:
    """Give every table that holds rows itself; a virtual one has its rows in others."""
    rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'").fetchall()
    return sorted(
        str(name, "utf-8", "backslashreplace")
        for name, sql in rows
        if not (sql or b"").upper().startswith(b"CREATE VIRTUAL")
    )


def count(connection: sqlite3.Connection, on_table: Callable[[int, int], None]) -> dict[str, Counted]:
    """Count the rows of every table, with the sum of a 64-bit hash of each: their order does not matter."""
    names = _tables(connection)
    found: dict[str, Counted] = {}
    for done, name in enumerate(names):
        on_table(done, len(names))
        quoted = name.replace('"', '""')
        rows = total = 0
        for row in connection.execute(f'SELECT * FROM "{quoted}"'):  # noqa: S608 - a quoted name of its own
            rows += 1
            total += int.from_bytes(hashlib.blake2b(repr(row).encode(), digest_size=8).digest(), "big")
        found[name] = Counted(rows=rows, sum=str(total % SPACE))
    on_table(len(names), len(names))
    return found


def schema(connection: sqlite3.Connection) -> str:
    """Give a checksum of every definition, and of what an application keeps in the file's head."""
    rows: list[Any] = connection.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name, tbl_name"
    ).fetchall()
    rows += [connection.execute(f"PRAGMA {name}").fetchone() for name in ABOUT]
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def _words(counted: dict[str, Counted]) -> str:
    return f"{sum(each.rows for each in counted.values()):,} rows in {len(counted)} tables"


def _examined(trial: Trial, file: Path) -> Judgement:
    from mainstay.backup.data.prove import judge

    def told(done: int, total: int) -> None:
        trial.told_to.progress("comparing", done, total, "tables")

    wrong: list[Difference] = []
    try:
        with reading(file, 0, alone=True) as (connection, _):
            broken = [
                str(line, "utf-8", "replace") for (line,) in connection.execute("PRAGMA integrity_check")
            ]
            if broken != ["ok"]:
                wrong.append(Difference("integrity", "ok", "; ".join(broken[:3])))
            found = schema(connection)
            if found != trial.manifest.facts.get("schema"):
                wrong.append(Difference("schema", str(trial.manifest.facts.get("schema"))[:16], found[:16]))
            counted = count(connection, told)
    except DataError as fault:
        wrong.append(Difference("file", "readable", fault.what))
        counted = {}
    return judge(trial.manifest, counted, tuple(wrong))


def _moved(manifest: DataManifest, file: Path, draft: Path) -> None:
    """Bring a restored file where it belongs, with the mode and, as root, the owner that it had."""
    import shutil

    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    shutil.copyfile(file, draft)
    if os.geteuid() == 0:
        os.chown(draft, int(manifest.facts["uid"]), int(manifest.facts["gid"]))
    draft.chmod(int(manifest.facts["mode"], 8))
