"""What a proven backup costs, beside `pg_dump -Fc` into a file that is then uploaded.

`MAINSTAY_BENCH_MB` sets the size of the database (300 by default). Source, storage and copy are on this machine, so the
figures are about work, not about networks.
"""
# engines: postgresql

from __future__ import annotations

import asyncio
import os
import random
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, TypeVar, cast

from bench.rows import Row
from mainstay.backup.dump import MAGIC, Meter, packed
from mainstay.backup.fetch import Damaged, fetch
from mainstay.backup.manifest import Manifest, folder
from mainstay.backup.ports import BackupPorts
from mainstay.backup.prove import prove
from mainstay.backup.settings import BackupSettings, DatabaseSettings
from mainstay.backup.take import take
from mainstay.core.ids import new_id
from mainstay.core.secret import SecretUrl
from mainstay.ports.clock import SystemClock
from mainstay.ports.objects.directory import Directory
from mainstay.ports.postgres.dsn import Dsn, passfile
from mainstay.ports.postgres.sandbox import sandbox
from mainstay.ports.postgres.tools import CLIENT, SERVER, Tools, Toolset
from mainstay.ports.scratch import Scratch
from mainstay.store.backups import Backup, BackupState
from mainstay.store.open import open_store

T = TypeVar("T")

MEGABYTES = int(os.environ.get("MAINSTAY_BENCH_MB", "300"))
REPEATS = 3
FLIPS = 60
ROWS_PER_MB = 2200
PEER = "pg_dump -Fc, then upload"

SCRIPT = Path(__file__).with_suffix(".sql")


class Silent:
    """A run that nobody watches."""

    def __init__(self, ports: BackupPorts) -> None:
        self.ports = ports
        self.id = new_id(ports.clock.now())
        self.job = "bench"
        self.due_at = ports.clock.now()
        self.attempt = 1
        self.args: Mapping[str, Any] = {}

    async def step(self, name: str, action: Callable[[], Awaitable[T]]) -> T:
        return await action()

    def log(self, line: str) -> None: ...
    def progress(self, label: str, done: float, total: float | None = None, unit: str = "") -> None: ...

    def now(self) -> float:
        return self.ports.clock.now()

    async def sleep(self, seconds: float) -> None:
        await self.ports.clock.sleep(seconds)

    def get(self, port: type[T]) -> T:
        return cast(T, self.ports)


@dataclass
class Course:
    """One database with its storage, and the two ways to back it up."""

    ports: BackupPorts
    vault: Directory
    dsn: Dsn
    tools: Toolset
    folder: Path

    async def ours(self) -> tuple[float, Backup]:
        """Snapshot, dump, counts, checksums, roles, manifest, read-back."""
        run = Silent(self.ports)
        began = time.perf_counter()
        backup = await take(run, self.ports, "shop", folder("shop", run.due_at, run.id))
        return time.perf_counter() - began, backup

    def peer(self) -> tuple[float, int]:
        """The usual script: the whole dump into a temporary file, then to the storage."""
        began = time.perf_counter()
        file = self.folder / "shop.dump"
        argv = [self.tools.program("pg_dump"), "-Fc", "-f", str(file), "-d", self.dsn.public()]
        subprocess.run(argv, check=True, env=passfile(self.dsn, self.folder))
        target = self.folder / "uploaded.dump"
        shutil.copyfile(file, target)
        with target.open("rb") as uploaded:
            os.fsync(uploaded.fileno())
        return time.perf_counter() - began, file.stat().st_size

    async def dump_only(self) -> float:
        """Our dump without counts, to see what these cost."""
        argv = [self.tools.program("pg_dump"), "-Fc", "-Z0", "-d", self.dsn.public()]
        began = time.perf_counter()
        stream: Any = packed(argv, passfile(self.dsn, self.folder), Meter(), magic=MAGIC)
        async with aclosing(stream) as chunks:
            await self.vault.put("bare", chunks)
        return time.perf_counter() - began

    async def caught(self, backup: Backup) -> tuple[int, int]:
        """Of single flipped bits, how many our hashes notice, and how many `pg_restore --list` does."""
        chance = random.Random(1)
        ours = theirs = 0
        manifest = Manifest.unseal(backup.manifest)
        mine, peer = self.vault.path / manifest.dump.path, self.folder / "uploaded.dump"
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
            for _ in range(FLIPS):
                with flipped(mine, chance):
                    try:
                        await fetch(self.vault, manifest.dump, nowhere.fileno())
                    except Damaged:
                        ours += 1
                with flipped(peer, chance):
                    listing = [self.tools.program("pg_restore"), "--list", str(peer)]
                    theirs += subprocess.run(listing, capture_output=True, check=False).returncode != 0
        return ours, theirs


class flipped:  # noqa: N801
    """One bit of a file is wrong inside of the block."""

    def __init__(self, file: Path, chance: random.Random) -> None:
        self.file = file
        self.spot = chance.randrange(file.stat().st_size)
        self.bit = 1 << chance.randrange(8)

    def _flip(self) -> None:
        with self.file.open("r+b") as data:
            data.seek(self.spot)
            byte = data.read(1)[0]
            data.seek(self.spot)
            data.write(bytes([byte ^ self.bit]))

    def __enter__(self) -> None:
        self._flip()

    def __exit__(self, *fault: object) -> None:
        self._flip()


async def fill(dsn: Dsn) -> None:
    """Make an ERP-like database of about the wanted size."""
    script = SCRIPT.read_text().replace("{rows}", str(MEGABYTES * ROWS_PER_MB))
    connection = await dsn.connect()
    try:
        await connection.execute(script.encode())
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


async def measure() -> list[Row]:
    clock = SystemClock()
    tools = Tools()
    toolset = next(each for each in tools.all() if each.has(*CLIENT, *SERVER))
    base = Path(tempfile.mkdtemp(prefix="mainstay-bench-"))
    scratch = Scratch(base / "scratch")
    store = await open_store(f"sqlite:///{base}/journal.db", clock)
    try:
        with scratch.workspace() as space:
            async with sandbox(toolset, space) as server:
                dsn = server.dsn()
                await fill(dsn)
                vault = Directory(path=base / "vault")
                settings = DatabaseSettings(
                    dsn=SecretUrl("shop", dsn.public()), backup=BackupSettings(to="vault", prove="0 4 * * 0")
                )
                ports = BackupPorts(store, clock, {"vault": vault}, {"shop": settings}, scratch, tools)
                return await race(Course(ports, vault, dsn, toolset, base))
    finally:
        await store.close()
        shutil.rmtree(base, ignore_errors=True)


async def race(course: Course) -> list[Row]:
    """Everything in turns, so that a busy moment of the machine hits all alike."""
    times: dict[str, list[float]] = {"ours": [], "peer": [], "bare": [], "proof": []}
    backup, size = None, 0
    for _ in range(REPEATS):
        seconds, backup = await course.ours()
        times["ours"].append(seconds)
        seconds, size = await asyncio.to_thread(course.peer)
        times["peer"].append(seconds)
        times["bare"].append(await course.dump_only())
    assert backup is not None
    for _ in range(REPEATS):
        began = time.perf_counter()
        proof = await prove(Silent(course.ports), course.ports, backup)
        times["proof"].append(time.perf_counter() - began)
        assert proof.verdict is BackupState.PROVEN, proof.summary
    took = {name: median(values) for name, values in times.items()}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ours, theirs = await course.caught(backup)
    return [
        Row("backup", "seconds_vs_peer", took["ours"] / took["peer"], "x", PEER, 1.0),
        Row("backup", "dump_with_checksums", took["ours"], "s", PEER, took["peer"]),
        Row("backup", "stored_vs_peer", backup.bytes / size, "x", PEER, 1.0),
        Row("backup", "temporary_disk", 0.0, "MB", PEER, size / 1e6),
        Row("backup", "checksums_on_top", took["ours"] / took["bare"], "x dump", "our dump alone", 1.0),
        Row("backup", "proof", took["proof"] / took["bare"], "x dump", "no proof", None),
        Row("backup", "flips_caught", 100.0 * ours / FLIPS, "%", "pg_restore --list", 100.0 * theirs / FLIPS),
        Row("backup", "memory", memory, "MB"),
    ]


def run() -> Iterator[Row]:
    """Medians of interleaved repeats on one database."""
    yield from asyncio.run(measure())
