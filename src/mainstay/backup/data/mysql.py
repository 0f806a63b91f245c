"""A database of MariaDB or MySQL, by its own programs."""

import asyncio
import os
from asyncio.subprocess import DEVNULL
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field

from mainstay.backup.compare import Difference, Judgement
from mainstay.backup.data.base import DataError, Dataset, Landed, Landing, Taken, Taking, Trial, Unprovable
from mainstay.backup.data.mysql_client import MysqlFault, Server, client, program
from mainstay.backup.data.mysql_content import Contents, look
from mainstay.backup.data.mysql_sandbox import mysql_sandbox
from mainstay.backup.dump import Meter, gently, packed
from mainstay.backup.fingerprint import Counted
from mainstay.backup.manifest import DataManifest
from mainstay.backup.together import together
from mainstay.core.paths import ConfigPath
from mainstay.core.secret import SecretUrl
from mainstay.ports.postgres.sandbox import environment

DUMP = "dump.sql.zst"
WORDS = (
    "--single-transaction", "--quick", "--routines", "--triggers", "--events", "--hex-blob", "--no-tablespaces",
    "--default-character-set=utf8mb4", "--max-allowed-packet=1G", "--skip-dump-date",
)  # fmt: skip
UNKNOWN = ("Unknown collation", "Unknown character set", "Unknown storage engine", "is not supported")
SHORT = (
    "Errcode: 28",
    "No space left",
    "is full",
    "Lost connection",
    "gone away",
    "Out of memory",
    "rrno: 28",
)
"""What a server says that has no room, or was killed: that says nothing about the dump, which was checked before."""


class MysqlData(Dataset, type="mysql", shorthand="url"):
    """One database of MariaDB or MySQL: a dump by `mariadb-dump` of one moment, without a lock.

    Rows and contents of every table are counted and hashed before and after the dump. The proof loads it into a
    throwaway `mariadbd` and compares every table that was the same both times; of the others the number of rows must
    lie between. Tables of another engine than InnoDB are not of one moment: the backup is partially proven.
    """

    url: SecretUrl = Field(examples=["mysql://backup@localhost:3306/shop"])
    """`mysql://USER@HOST[:PORT]/DATABASE`. With a password it belongs outside the file: `{secret: NAME}`."""
    ca: ConfigPath | None = None
    """PEM file of the authorities to trust instead of the system's."""
    may_be_empty: bool = False
    """Whether it is fine that there is no table in it; else that is taken for the wrong database."""

    def target(self) -> str:
        try:
            parts = urlsplit(self.url.reveal())
        except LookupError:
            return "mysql"
        return f"{parts.netloc.rpartition('@')[2]}{parts.path}"

    async def examine(self) -> str:
        import tempfile

        with tempfile.TemporaryDirectory(prefix="mainstay-mysql-") as folder:
            server = Server.of(self.url.reveal(), Path(folder), self.ca)
            ((version,),) = await server.ask("SELECT VERSION()")
        return f"MariaDB or MySQL {version}"

    async def take(self, taking: Taking) -> Taken:
        at = taking.clock.now()
        server = Server.of(self.url.reveal(), taking.folder, self.ca)
        dump = program("mariadb-dump", "mysqldump", package="mariadb-client")
        ((version, lower),) = await server.ask("SELECT VERSION(), @@lower_case_table_names")
        before = await look(server)
        if not before.tables and not self.may_be_empty:
            raise DataError(
                f"there is no table in {server.target()}",
                hint="is the address right? if it is: may_be_empty: true",
            )
        meter = Meter(
            on_bytes=lambda done: taking.run.progress("dumping", done, max(done, before.bytes), "bytes")
        )
        argv = gently(
            [dump, await asyncio.to_thread(server.file), *WORDS, server.database], taking.rules.nice
        )
        stream = packed(argv, environment(), meter, program=Path(dump).name)
        await taking.put(DUMP, stream, meter, before.bytes // 3)
        return _taken(at, version, lower, before, await look(server))

    @classmethod
    async def tried(cls, trial: Trial) -> Judgement:
        async with mysql_sandbox(trial.space, trial.manifest.facts.get("lower_case", "0")) as server:
            complaint = await _loaded(trial, server)
            trial.lap("restore")
            return await _compared(trial.manifest, server, complaint)

    @classmethod
    async def landing(cls, manifest: DataManifest, into: str, *, replace: bool) -> Landing:
        import tempfile

        with tempfile.TemporaryDirectory(prefix="mainstay-mysql-") as folder:
            server = Server.of(into, Path(folder), asked=True)
            ((there,),) = await server.ask(
                _filled(server.database),
                database="",
            )
        refused = f"{server.target()} is not empty: it has {there} tables" if int(there) else None
        remedy = "name a new database: MariaDB cannot give one another name" if refused else None
        return Landing(
            server.target(), (f"fill database {server.target()} with {manifest.said}",), refused, remedy
        )

    @classmethod
    async def land(cls, trial: Trial, into: str, *, replace: bool) -> Landed:
        server = Server.of(into, trial.folder, asked=True)
        quoted = server.database.replace('"', '""')
        await server.ask(f'CREATE DATABASE IF NOT EXISTS "{quoted}" CHARACTER SET utf8mb4', database="")
        complaint = await _loaded(trial, server)
        return Landed(server.target(), await _compared(trial.manifest, server, complaint))


def _filled(database: str) -> str:
    """Make the query for how many tables a database has, also where a server takes `Shop` and `shop` for the same."""
    digits = database.encode().hex().upper()
    return (
        f"SELECT COUNT(*) FROM information_schema.tables WHERE HEX(table_schema) = '{digits}' "  # noqa: S608 - digits
        "OR (@@lower_case_table_names <> 0 AND HEX(LOWER(table_schema)) = "
        f"HEX(LOWER(CONVERT(UNHEX('{digits}') USING utf8mb4))))"
    )


def _taken(at: float, version: str, lower: str, before: Contents, after: Contents) -> Taken:
    """Say what is certain: what was the same before the dump and after it."""
    same = {name: counted for name, counted in before.tables.items() if after.tables.get(name) == counted}
    moved = {
        name: (counted.rows, after.tables[name].rows)
        for name, counted in before.tables.items()
        if name in after.tables and name not in same
    }
    doubts = {
        f"table {name}": f"its engine {engine} is not dumped as of one moment"
        for name, engine in after.foreign.items()
    }
    doubts |= {
        f"table {name}": "it came or went while the dump was written"
        for name in before.tables.keys() ^ after.tables.keys()
    }
    facts = {"lower_case": lower, **{f"moved {name}": f"{was} {now}" for name, (was, now) in moved.items()}}
    facts |= {f"all {kind}": told for kind, told in before.objects.items() if after.objects[kind] == told}
    rows = sum(counted.rows for counted in after.tables.values())
    more = f", {len(moved)} of them changed meanwhile and are only counted" if moved else ""
    counted = {
        **same,
        **{name: Counted(rows=now, sum="changed meanwhile") for name, (_, now) in moved.items()},
    }
    return Taken(
        at=at,
        program=f"MariaDB or MySQL {version}",
        said=f"{rows:,} rows in {len(after.tables)} tables{more}",
        counted=counted,
        unproven=doubts,
        facts=facts,
    )


async def _loaded(trial: Trial, server: Server) -> str | None:
    """Load the dump; give what the client complained about. Raises `Unprovable`, `Damaged`."""
    source, sink = os.pipe()

    argv = [
        client(),
        await asyncio.to_thread(server.file),
        "--binary-mode",
        "--default-character-set=utf8mb4",
    ]
    argv += ["--max-allowed-packet=1G", server.database]

    async def load() -> str | None:
        try:
            await server.run(argv, stdin=source, stdout=DEVNULL)
        except MysqlFault as fault:
            return fault.said
        finally:
            os.close(source)
        return None

    _, said = await together(trial.feed(DUMP, sink), load())
    return None if said is None else _complaint(said)


def _complaint(said: str) -> str:
    """Give what a client complained about, when it may be the dump's fault. Raises `Unprovable`."""
    text = " ".join(said.split())
    if any(word in said for word in UNKNOWN):
        raise Unprovable(f"the MariaDB here cannot take it: {text[-200:]}")
    if any(word in said for word in SHORT):
        raise Unprovable(f"it could not be loaded: {text[-200:]}", hint="is there room and memory enough?")
    return text[-300:]


async def _compared(manifest: DataManifest, server: Server, complaint: str | None) -> Judgement:
    from mainstay.backup.data.prove import judge

    found = await look(server)
    wrong = [Difference("load", "without a fault", complaint)] if complaint else []
    tables = dict(found.tables)
    doubts: dict[str, str] = {}
    for name, now in found.tables.items():
        told = manifest.facts.get(f"moved {name}")
        if told is not None:
            tables[name] = manifest.counted[name]
            doubts |= _within(name, now.rows, *map(int, told.split()))
        elif f"table {name}" in manifest.unproven:
            tables.pop(name)
    for kind, told in found.objects.items():
        expected = manifest.facts.get(f"all {kind}", told)
        if expected != told:
            wrong.append(Difference(kind, expected, told))
    known = {
        name: each for name, each in manifest.counted.items() if f"table {name}" not in manifest.unproven
    }
    return judge(manifest.model_copy(update={"counted": known}), tables, tuple(wrong), doubts)


def _within(name: str, rows: int, before: int, after: int) -> dict[str, str]:
    some = abs(after - before) + max(before, after) // 100 + 10
    least = min(before, after)
    if max(least - some, min(least, 1)) <= rows <= max(before, after) + some:
        return {}
    return {f"table {name}": f"it had {before:,} rows before and {after:,} after, the copy has {rows:,}"}
