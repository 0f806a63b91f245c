"""How many durable units a second the journal takes, beside one commit for each row on the same database."""

# engines: postgresql

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from statistics import median, quantiles

from bench.rows import Row
from mainstay.ports.clock import SystemClock
from mainstay.store import meta
from mainstay.store.open import open_store
from tests.servers.postgres import PostgresServer, debian_binaries, wheel_binaries

REPEATS = 3
SECONDS = 2.0
VALUE = "x" * 200
PEER = "one commit per row"

Write = Callable[[str], Awaitable[None]]
Journal = Callable[[], AbstractAsyncContextManager[Write]]


def run() -> Iterator[Row]:
    """Units a second with 1 and 64 writers, and how long one of 64 waits; interleaved, medians."""
    with tempfile.TemporaryDirectory(prefix="mainstay-bench-") as scratch:
        yield from compare(
            "sqlite", lambda: ours(f"sqlite:///{fresh(scratch)}"), lambda: plain_sqlite(fresh(scratch))
        )
    programs = wheel_binaries() or debian_binaries()
    if programs is None:
        return
    server = PostgresServer(programs)
    try:
        harden(server)
        yield from compare(
            "postgres",
            lambda: ours(server.dsn(server.create())),
            lambda: plain_postgres(server.dsn(server.create())),
        )
    finally:
        server.remove()


def compare(name: str, journal: Journal, peer: Journal) -> Iterator[Row]:
    """The rows of one database."""
    for writers in (1, 64):
        pairs = [
            (asyncio.run(rate(journal, writers)), asyncio.run(rate(peer, writers))) for _ in range(REPEATS)
        ]
        mine, theirs = zip(*pairs, strict=True)
        for place, (trial, unit) in enumerate((("units", "units/s"), ("p99", "ms"))):
            figures = [median(each[place] for each in side) for side in (mine, theirs)]
            yield Row("journal", f"{name}_{trial}_{writers}", figures[0], unit, PEER, figures[1])


async def rate(journal: Journal, writers: int) -> tuple[float, float]:
    """Durable writes a second, and the 99th percentile of a write's milliseconds."""
    waits: list[float] = []
    async with journal() as write:
        end = time.perf_counter() + SECONDS

        async def writer(number: int) -> None:
            while (began := time.perf_counter()) < end:
                await write(f"{number}:{len(waits)}")
                waits.append(time.perf_counter() - began)

        began = time.perf_counter()
        await asyncio.gather(*[writer(number) for number in range(writers)])
        took = time.perf_counter() - began
    return len(waits) / took, quantiles(waits, n=100)[98] * 1000


def fresh(directory: str) -> Path:
    return Path(tempfile.mkdtemp(dir=directory)) / "journal.db"


@asynccontextmanager
async def ours(url: str) -> AsyncIterator[Write]:
    """Our journal."""
    store = await open_store(url, SystemClock())

    async def write(key: str) -> None:
        await store.write(lambda tx: meta.put(tx, key, VALUE))

    try:
        yield write
    finally:
        await store.close()


@asynccontextmanager
async def plain_sqlite(path: Path) -> AsyncIterator[Write]:
    """What one writes first: a table, a thread, a commit for each row; as durable as ours."""
    loop = asyncio.get_running_loop()
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")

    def insert(key: str) -> None:
        connection.execute("INSERT INTO meta VALUES (?, ?)", (key, VALUE))

    with ThreadPoolExecutor(1) as thread:

        async def write(key: str) -> None:
            await loop.run_in_executor(thread, insert, key)

        yield write
    connection.close()


@asynccontextmanager
async def plain_postgres(url: str) -> AsyncIterator[Write]:
    """Sixteen asynchronous connections, a commit for each row."""
    import psycopg

    connections = [await psycopg.AsyncConnection.connect(url, autocommit=True) for _ in range(16)]
    await connections[0].execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
    idle: asyncio.LifoQueue[psycopg.AsyncConnection[tuple[object, ...]]] = asyncio.LifoQueue()
    for connection in connections:
        idle.put_nowait(connection)

    async def write(key: str) -> None:
        connection = await idle.get()
        await connection.execute("INSERT INTO meta VALUES (%s, %s)", (key, VALUE))
        idle.put_nowait(connection)

    try:
        yield write
    finally:
        for connection in connections:
            await connection.close()


def harden(server: PostgresServer) -> None:
    """The tests' servers trust the power supply; this one must not."""
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        server.execute(f"ALTER SYSTEM SET {setting} = on")
    server.execute("SELECT pg_reload_conf()")
