"""Taking a backup: one snapshot feeds pg_dump and, at the same time, the counts and checksums of every table."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import mainstay
from mainstay.backup.data.take import take_data
from mainstay.backup.dump import MAGIC, Meter, gently, packed
from mainstay.backup.fingerprint import Counted, Method, count_large_objects, count_tables, read_sequences
from mainstay.backup.label import Kept, found, publish
from mainstay.backup.manifest import (
    DUMP,
    GLOBALS,
    Manifest,
    Piece,
    Server,
    Setting,
    SomeManifest,
)
from mainstay.backup.options import read_settings
from mainstay.backup.paced import paced
from mainstay.backup.ports import BackupPorts
from mainstay.backup.schema import Schema, read_schema
from mainstay.backup.session import LockBusy, one, session
from mainstay.backup.settings import BackupSettings
from mainstay.backup.snapshot import Snapshot, hold
from mainstay.backup.tables import Table
from mainstay.backup.together import together
from mainstay.core.crash import point
from mainstay.core.job import RunContext
from mainstay.core.units import format_size
from mainstay.ports.clock import Clock
from mainstay.ports.objects.base import Storage, Weight
from mainstay.ports.postgres.dsn import Dsn, passfile
from mainstay.ports.postgres.tls import forwarded
from mainstay.ports.postgres.tools import Toolset
from mainstay.ports.scratch import Workspace
from mainstay.store import backups
from mainstay.store.backups import Backup, BackupState

ATTEMPTS = 3
"""How often a snapshot is begun anew because a lock stood in the way."""
QUEUE = 5.0
"""Seconds that our other connections wait for a lock: we hold each, so they could only wait behind who waits for us."""

ABOUT = """
SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000,
       pg_encoding_to_char(encoding), datcollate, datctype, COALESCE(to_jsonb(d) ->> 'datlocprovider', 'c'),
       COALESCE(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', ''), pg_database_size(oid),
       current_setting('is_superuser')::bool, pg_is_in_recovery()
FROM pg_catalog.pg_database d WHERE datname = current_database()
"""


@dataclass(frozen=True)
class Source:
    """What is dumped with what. `near` is the address for PostgreSQL's programs, which may know no TLS."""

    database: str
    dsn: Dsn
    near: Dsn
    settings: BackupSettings
    tools: Toolset
    server: Server
    superuser: bool
    space: Workspace
    clock: Clock

    @property
    def env(self) -> dict[str, str]:
        """The environment for PostgreSQL's programs."""
        return passfile(self.near, self.space.path)


async def take(
    run: RunContext, ports: BackupPorts, database: str, place: str, storage: str | None = None
) -> Backup:
    """Dump a database, or other data, into a storage, its first one unless told otherwise, and record it as taken.

    Repeating it after a crash replaces what lies at `place`; when the manifest was already there, only the record
    is made. Raises `MainstayError`.
    """
    name = storage or ports.backup(database).storages[0]
    there = await found(ports.storage(name), place)
    if there is None and database in ports.data:
        there = await take_data(run, ports, database, name, place)
    manifest, kept = there or await _take(run, ports, database, name, place)
    return await record(ports, record_of(manifest, name, place, run.id, kept))


async def record(ports: BackupPorts, backup: Backup) -> Backup:
    """Write a backup that lies in a storage into the journal."""
    await ports.store.write(lambda tx: backups.put(tx, backup))
    point("backup.recorded")
    return backup


def record_of(manifest: SomeManifest, storage: str, place: str, run: str | None, kept: Kept) -> Backup:
    """Give the journal's row for a manifest in a storage. A copy elsewhere is a backup of its own."""
    return Backup(
        id=manifest.id if storage == manifest.storage else f"{manifest.id}-{storage}",
        database=manifest.database,
        storage=storage,
        path=place,
        state=BackupState.TAKEN,
        taken_at=manifest.taken_at,
        seconds=manifest.seconds,
        bytes=manifest.bytes,
        tables=manifest.parts,
        rows=manifest.rows,
        manifest=manifest.seal(),
        run=run,
        kept=kept,
    )


async def _take(
    run: RunContext, ports: BackupPorts, database: str, name: str, place: str
) -> tuple[Manifest, Kept]:
    storage = ports.storage(name)
    await storage.sweep(ports.clock.now(), place, age=0)  # nobody else writes there
    for attempt in range(ATTEMPTS):
        try:
            async with source(ports, database) as whence:
                run.log(
                    f"{whence.dsn}: PostgreSQL {whence.server.version}, {format_size(whence.server.bytes)}"
                )
                manifest, weights = await _snapshot(run, ports, whence, name, place)
            kept = await publish(storage, place, manifest, weights)
            point("backup.manifest")
            return manifest, kept
        except LockBusy as busy:
            if attempt + 1 == ATTEMPTS:
                raise
            run.log(f"beginning anew: {busy}")
    raise AssertionError("unreachable")


@asynccontextmanager
async def source(ports: BackupPorts, database: str) -> AsyncIterator[Source]:
    """Find out what is to be dumped and with which programs. Raises `PostgresError`, `ToolsError`."""
    dsn = ports.dsn(database)
    async with session(dsn) as connection:
        version, major, encoding, collate, ctype, provider, locale, size, superuser, standby = await one(
            connection, ABOUT
        )
        info, encrypted = connection.info, connection.pgconn.ssl_in_use
        host, port = info.host or info.hostaddr, info.port
    server = Server(
        version=version.split()[0], major=major, encoding=encoding, collate=collate, ctype=ctype, provider=provider,
        locale=locale, standby=standby, lsn="", bytes=size,
    )  # fmt: skip
    tools = await asyncio.to_thread(ports.tools.client, major)
    with ports.scratch.workspace() as space:
        async with AsyncExitStack() as stack:
            near = dsn
            if encrypted and not await asyncio.to_thread(tools.speaks_tls):
                near = await stack.enter_async_context(forwarded(dsn, host, port, space))
            settings = ports.database(database).backed_up
            yield Source(database, dsn, near, settings, tools, server, superuser, space, ports.clock)


async def _snapshot(
    run: RunContext, ports: BackupPorts, source: Source, name: str, place: str
) -> tuple[Manifest, dict[str, Weight]]:
    begun = ports.clock.monotonic()
    async with hold(source.dsn, source.settings.lock_timeout) as snapshot:
        taken_at = ports.clock.now()
        run.log(f"snapshot {snapshot.id} of {len(snapshot.tables)} tables, dumping with {source.tools}")
        sequences = await read_sequences(source.dsn, snapshot.connection)
        ((dump, dump_kept), (roles, roles_kept)), contents = await together(
            _pieces(run, source, snapshot, ports.storage(name), place), _contents(source, snapshot)
        )
        after = await read_sequences(source.dsn, snapshot.connection)
    manifest = Manifest(
        id=run.id,
        database=source.database,
        storage=name,
        name=source.dsn.name or source.database,
        taken_at=taken_at,
        seconds=round(ports.clock.monotonic() - begun, 3),
        server=source.server.model_copy(update={"lsn": snapshot.lsn, "standby": snapshot.standby}),
        pg_dump=str(source.tools),
        pg_dump_major=source.tools.major,
        mainstay=mainstay.__version__,
        dump=dump,
        globals=roles,
        tables=contents.tables,
        method=Method.best(source.server.major),
        skipped=contents.skipped,
        large_objects=contents.large_objects,
        sequences={name: at for name, at in sequences.items() if after.get(name) == at},
        schema_=contents.schema,
        settings=contents.settings,
    )
    return manifest, {DUMP: dump_kept, GLOBALS: roles_kept}


async def _pieces(
    run: RunContext, source: Source, snapshot: Snapshot, storage: Storage, place: str
) -> tuple[tuple[Piece, Weight], tuple[Piece, Weight]]:
    expected = sum(table.bytes for table in snapshot.tables)
    meter = Meter(on_bytes=lambda done: run.progress("dumping", done, max(done, expected), "bytes"))

    async def confirm() -> None:
        await snapshot.confirm()
        point("backup.dumped")

    argv = [
        source.tools.program("pg_dump"), "--format=custom", "--compress=0", "--no-password",
        f"--snapshot={snapshot.id}", f"--lock-wait-timeout={int(QUEUE * 1000)}",
        *(f"--exclude-table-data={_pattern(name)}" for name in source.settings.exclude), "-d", source.near.public(),
    ]  # fmt: skip
    argv = gently(argv, source.settings.nice)
    stream = packed(argv, source.env, meter, confirm=confirm, magic=MAGIC)
    held = paced(stream, source.settings.limit, source.clock)
    dump = await _put(storage, f"{place}/{DUMP}", held, meter, expected // 3)
    run.log(f"dumped {format_size(meter.raw_bytes)}, stored {format_size(meter.bytes)} in {storage.target()}")
    roles = await _globals(source, storage, place)
    point("backup.uploaded")
    return dump, roles


async def _globals(source: Source, storage: Storage, place: str) -> tuple[Piece, Weight]:
    meter = Meter()
    argv = [
        source.tools.program("pg_dumpall"), "--globals-only", "--no-password", "-l", source.dsn.name,
        *(() if source.superuser else ("--no-role-passwords",)), "-d", source.near.public(),
    ]  # fmt: skip
    return await _put(storage, f"{place}/{GLOBALS}", packed(argv, source.env, meter), meter, 0)


async def _put(storage: Storage, path: str, stream: Any, meter: Meter, expected: int) -> tuple[Piece, Weight]:
    async with aclosing(stream) as chunks:
        stored = await storage.put(path, chunks, expected)
    return Piece.of(path, stored, meter), stored.kept


def _pattern(name: str) -> str:
    return ".".join(f'"{part}"' for part in name.split("."))


@dataclass(frozen=True, slots=True)
class Contents:
    """What the snapshot holds, read beside pg_dump."""

    tables: dict[str, Counted]
    skipped: dict[str, str]
    large_objects: Counted
    schema: Schema
    settings: list[Setting]


async def _contents(source: Source, snapshot: Snapshot) -> Contents:
    excluded = frozenset(source.settings.exclude)
    skipped: dict[str, str] = {}
    wanted: list[Table] = []
    for table in snapshot.tables:
        why = table.skipped(snapshot.standby, excluded)
        if why is None:
            wanted.append(table)
        else:
            skipped[table.key] = why
    schema = await read_schema(source.dsn, snapshot.connection)
    objects = await count_large_objects(source.dsn, snapshot.connection)
    settings = await read_settings(source.dsn, snapshot.connection)
    method = Method.best(source.server.major)
    # Text is hashed more slowly than the dump goes: one process would hold the snapshot longer than that needs it.
    alone = method is Method.TEXT
    tables = await count_tables(source.dsn, wanted, method, snapshot.join, lock_timeout=QUEUE, alone=alone)
    return Contents(dict(sorted(tables.items())), dict(sorted(skipped.items())), objects, schema, settings)
