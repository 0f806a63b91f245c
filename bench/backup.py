"""What a proven backup costs, beside `pg_dump -Fc` into a file that is then uploaded, and beside pgBackRest.

The database has 3 GB: narrow rows with keys, text, jsonb with a GIN index, files. It is made once and kept in
`.cache`; `MAINSTAY_BENCH_MB` sets another size. All send to the same S3 server, a Ceph on this machine (pgBackRest by
TLS, because it knows nothing else). Peers take turns with ours, and each ratio is of two neighbours, so that a busy
moment of the machine hits both. `memory` is that of all processes of ours together, PostgreSQL's clients included and
its servers not. Flipped bits are counted on a small database. Ours takes no incremental base backups before
PostgreSQL 17, so beside pgBackRest's stands a full one. A quick run sends to moto, and
without pgBackRest.
"""
# engines: postgresql pgbackrest radosgw ceph-mon ceph-osd ceph-mgr

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Self

from bench.rows import Row, quick
from bench.safe.keeper import Silent
from bench.safe.peers import SCRIPT, PgBackRest, Script
from bench.safe.warehouse import Warehouse
from bench.safe.watcher import Watcher
from mainstay.backup.fetch import Damaged, fetch
from mainstay.backup.manifest import Manifest
from mainstay.backup.ports import BackupPorts
from mainstay.backup.settings import BackupSettings, DatabaseSettings
from mainstay.backup.take import take
from mainstay.core.secret import SecretUrl
from mainstay.ports.clock import SystemClock
from mainstay.ports.objects.directory import Directory
from mainstay.ports.postgres.tools import Tools
from mainstay.ports.scratch import Scratch
from mainstay.store.open import open_store
from tests.servers.ceph import CephServer
from tests.servers.s3 import S3Server

SMALL, LARGE, TINY = 100, 3000, 40
"""Megabytes (10**6) of the databases: in a quick run, in a full one, where bits are flipped."""
ROUNDS = 3
LONGEST = 300.0
"""Seconds after which no further round is begun."""
FLIPS = 100
RESTORED = 4e9
"""Bytes of database whose restore is shown."""
PGBACKREST = "pgBackRest, full"


class Ours:
    """Our keeper, a process of its own."""

    def __init__(self, folder: Path, warehouse: Warehouse, bucket: Mapping[str, str]) -> None:
        given = json.dumps({"base": str(folder), "dsn": warehouse.dsn(), **bucket})
        self.scratch = folder / "tmp"
        self.scratch.mkdir()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.safe.keeper", given], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env={**os.environ, "TMPDIR": str(self.scratch)},
        )  # fmt: skip
        self.folders = (self.scratch, folder / "scratch")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *fault: object) -> None:
        self.process.communicate()

    def do(self, what: str) -> dict[str, Any]:
        """Do something; give its figures, with the most `memory` and `disk` that was taken meanwhile, in bytes."""
        assert self.process.stdin
        assert self.process.stdout
        with Watcher(self.process.pid, *self.folders) as watcher:
            self.process.stdin.write(f"{what}\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the keeper ended over {what!r}")
        return {**json.loads(line), "memory": watcher.memory, "disk": watcher.disk}


@dataclass
class Figures:
    """What was measured: ours by what was done, the script's seconds and bytes."""

    ours: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    script: list[tuple[float, int]] = field(default_factory=list)

    def seconds(self, what: str) -> list[float]:
        """Give how long something of ours took each time."""
        return [each["seconds"] for each in self.ours[what]]

    def most(self, what: str, figure: str) -> float:
        """Give the most of all times."""
        return float(max(each[figure] for each in self.ours[what]))

    def ratio(self, what: str, to: list[float]) -> float:
        """Give the middle one of the ratios of neighbours."""
        return median(one / other for one, other in zip(self.seconds(what), to, strict=True))


def race(ours: Ours, script: Script) -> Figures:
    """Everything in turns."""
    found = Figures()
    ends = time.monotonic() + LONGEST
    for turn in range(1 if quick() else ROUNDS):
        if turn and time.monotonic() > ends:
            break
        for what in ("bare", "take", "script", "prove"):
            if what == "script":
                found.script.append(script.back_up())
                seconds = found.script[-1][0]
            else:
                found.ours.setdefault(what, []).append(ours.do(what))
                seconds = found.ours[what][-1]["seconds"]
            print(f"  round {turn + 1}, {what}: {seconds:.1f} s", file=sys.stderr)
    return found


def rows_of(found: Figures, size: int) -> Iterator[Row]:
    """Ours beside the script; `size` is that of the database in bytes."""
    peer = [seconds for seconds, _ in found.script]
    stored = found.script[0][1]
    laps = [each["laps"] for each in found.ours["prove"]]
    restore = median(each["download"] + each["restore"] for each in laps)
    yield Row("backup", "seconds_vs_peer", found.ratio("take", peer), "x", SCRIPT, 1.0)
    yield Row("backup", "dump_with_checksums", median(found.seconds("take")), "s", SCRIPT, median(peer))
    yield Row("backup", "stored_vs_peer", found.most("take", "bytes") / stored, "x", SCRIPT, 1.0)
    yield Row("backup", "stored", found.most("take", "bytes") / 1e6, "MB", SCRIPT, stored / 1e6)
    yield Row("backup", "temporary_disk", found.most("take", "disk") / 1e6, "MB", SCRIPT, stored / 1e6)
    bare = found.seconds("bare")
    yield Row("backup", "checksums_on_top", found.ratio("take", bare), "x dump", "our dump alone", 1.0)
    yield Row("backup", "proof", found.ratio("prove", bare), "x dump", "no proof", None)
    yield Row("backup", "proof_seconds", median(found.seconds("prove")), "s", "no proof", None)
    if not quick():  # of a small one most is the start of a server
        yield Row("backup", "restore_4gb", restore * RESTORED / size, "s")
    memory = max(found.most(what, "memory") for what in ("take", "prove"))
    yield Row("backup", "memory", memory / 1e6, "MB")


def beside_pgbackrest(ours: Ours, peer: PgBackRest, warehouse: Warehouse, dumped: float) -> Iterator[Row]:
    """Whole servers: ours and pgBackRest's, then what changed; `dumped` are the seconds of our logical backup."""
    seconds = size = more = delta = None
    base = ours.do("base")
    if peer.program:
        peer.prepare()
        seconds, size = peer.back_up("full")
    yield Row("backup", "dump_beside_full", dumped, "s", PGBACKREST, seconds)
    yield Row("backup", "base_seconds", base["seconds"], "s", PGBACKREST, seconds)
    yield Row("backup", "base_stored", base["bytes"] / 1e6, "MB", PGBACKREST, size and size / 1e6)
    warehouse.execute("UPDATE message SET partner = partner + 1 WHERE id % 100 = 0")
    again = ours.do("base")
    if peer.program:
        more, delta = peer.back_up("incr")
    yield Row("backup", "base_again_seconds", again["seconds"], "s", "pgBackRest, incremental", more)
    yield Row(
        "backup",
        "base_again_stored",
        again["bytes"] / 1e6,
        "MB",
        "pgBackRest, incremental",
        delta and delta / 1e6,
    )


async def caught(folder: Path) -> tuple[int, int]:
    """Of single flipped bits, how many our hashes notice, and how many `pg_restore --list` does."""
    folder.mkdir()
    with Warehouse(TINY).open() as warehouse:
        clock, vault = SystemClock(), Directory(path=folder / "vault")
        store = await open_store(f"sqlite:///{folder}/journal.db", clock)
        try:
            settings = DatabaseSettings(
                dsn=SecretUrl("shop", warehouse.dsn()), backup=BackupSettings(to="vault", prove="0 4 * * 0")
            )
            scratch = Scratch(folder / "scratch")
            ports = BackupPorts(store, clock, {"vault": vault}, {"shop": settings}, scratch, Tools())
            backup = await take(Silent(ports), ports, "shop", "shop/flips")
        finally:
            await store.close()
        script = Script(warehouse, {}, folder)
        script.back_up()
        listing = [str(warehouse.bin / "pg_restore"), "--list", str(folder / "uploaded.dump")]
        return await flip_all(vault, Manifest.unseal(backup.manifest), folder / "uploaded.dump", listing)


async def flip_all(vault: Directory, manifest: Manifest, peer: Path, listing: list[str]) -> tuple[int, int]:
    """Flip one bit after the other in both archives."""
    chance = random.Random(1)
    ours = theirs = 0
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        for _ in range(FLIPS):
            with flipped(vault.path / manifest.dump.path, chance):
                try:
                    await fetch(vault, manifest.dump, nowhere.fileno())
                except Damaged:
                    ours += 1
            with flipped(peer, chance):
                theirs += subprocess.run(listing, capture_output=True, check=False).returncode != 0
    return ours, theirs


@contextmanager
def flipped(file: Path, chance: random.Random) -> Iterator[None]:
    """One bit of a file is wrong inside of the block."""
    spot, bit = chance.randrange(file.stat().st_size), 1 << chance.randrange(8)

    def flip() -> None:
        with file.open("r+b") as data:
            data.seek(spot)
            byte = data.read(1)[0]
            data.seek(spot)
            data.write(bytes([byte ^ bit]))

    flip()
    try:
        yield
    finally:
        flip()


def keys(endpoint: str, bucket: str, access_key: str, secret_key: str) -> dict[str, str]:
    """Give the address of a bucket."""
    return {"endpoint": endpoint, "bucket": bucket, "access_key": access_key, "secret_key": secret_key}


@contextmanager
def course() -> Iterator[tuple[Ours, Script, PgBackRest | None, Warehouse]]:
    """The database, the storage and those who bring the one into the other."""
    megabytes = int(os.environ.get("MAINSTAY_BENCH_MB", SMALL if quick() else LARGE))
    with ExitStack() as stack:
        warehouse = stack.enter_context(Warehouse(megabytes).open())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mainstay-bench-")))
        folder.chmod(0o711)  # pgBackRest's configuration is read by the server's user
        (folder / "peer").mkdir()
        (folder / "s3").mkdir()
        if quick():
            peer, moto = None, S3Server(folder / "s3")
            stack.callback(moto.stop)
            bucket = keys(moto.endpoint, moto.bucket().name, moto.access_key, moto.secret_key)
        else:
            ceph = CephServer(folder / "s3", tls=True)
            stack.callback(ceph.stop)
            bucket = keys(ceph.endpoint, ceph.bucket(), *ceph.keys)
            theirs = {**bucket, "bucket": ceph.bucket()}
            peer = PgBackRest(warehouse, theirs, ceph.tls_endpoint, folder / "peer")
        script = Script(warehouse, bucket, folder)
        yield stack.enter_context(Ours(folder, warehouse, bucket)), script, peer, warehouse


def run() -> Iterator[Row]:
    """Medians of interleaved rounds on one database; a quick run has one round, moto and a small database."""
    with course() as (ours, script, peer, warehouse):
        ours.do("take")  # everything is imported and read once
        found = race(ours, script)
        yield from rows_of(found, warehouse.bytes)
        if peer is not None:
            yield from beside_pgbackrest(ours, peer, warehouse, median(found.seconds("take")))
    with tempfile.TemporaryDirectory(prefix="mainstay-bench-") as folder:
        mine, theirs = asyncio.run(caught(Path(folder) / "flips"))
    yield Row("backup", "flips_caught", 100 * mine / FLIPS, "%", "pg_restore --list", 100 * theirs / FLIPS)
