"""How much of its throughput a database keeps while it is vacuumed and its indexes are rebuilt beside the load."""

# engines: postgresql

from __future__ import annotations

import asyncio
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, median

from bench.rows import Row, quick
from mainstay.ports.clock import FakeClock, SystemClock
from mainstay.store.open import open_store
from tests.servers.postgres import PostgresServer, debian_binaries
from tests.upkeep.house import House
from tests.upkeep.ward import doctor, ports_of

SCALE = 10
ALONE = 15
"""Seconds of load before the job begins, the first three of which do not count."""
PROGRESS = re.compile(r"progress: ([\d.]+) s, ([\d.]+) tps")


def run() -> Iterator[Row]:
    """Transactions per second of pgbench while the job works, beside those just before; seconds of work."""
    programs = debian_binaries()
    if programs is None or not (programs / "pgbench").exists():
        return
    server = PostgresServer(programs)
    try:
        looks = [_look(server, server.create()) for _ in range(1 if quick() else 3)]
    finally:
        server.remove()
    alone, beside, worst, seconds = (median(column) for column in zip(*looks, strict=True))
    yield Row("optimise", "throughput_beside", beside, "tps", "before it begins", alone)
    yield Row("optimise", "worst_second_beside", worst, "tps", "before it begins", alone)
    yield Row("optimise", "seconds_of_work", seconds, "s")


def _look(server: PostgresServer, name: str) -> tuple[float, float, float, float]:
    where = ["-h", server.host, "-p", str(server.port), "-U", server.user, name]
    pgbench = str(server.bin / "pgbench")
    subprocess.run([pgbench, "-i", "-q", "-s", str(SCALE), *where], check=True, capture_output=True)
    server.execute("ALTER TABLE pgbench_accounts SET (autovacuum_enabled = off)", name)
    server.execute("CREATE INDEX accounts_sick ON pgbench_accounts (bid, filler, aid)", name)
    for _ in range(2):  # every row is written anew: the table and its indexes become three times as large
        server.execute("UPDATE pgbench_accounts SET filler = filler || 'x', abalance = abalance", name)
    server.execute("CHECKPOINT", name)
    load = subprocess.Popen(
        [pgbench, "-c", "4", "-j", "1", "-T", "600", "-P", "1", *where],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        began = time.monotonic()
        time.sleep(ALONE)
        start = time.monotonic() - began
        asyncio.run(_job(server.dsn(name)))
        end = time.monotonic() - began
    finally:
        load.terminate()
    assert load.stderr is not None
    seen = [(float(at), float(tps)) for at, tps in PROGRESS.findall(load.stderr.read())]
    load.wait()
    server.drop(name)
    alone = [tps for at, tps in seen if 3 < at <= start]
    beside = [tps for at, tps in seen if start + 1 < at <= end]
    return mean(alone), mean(beside), min(beside), end - start


async def _job(dsn: str) -> None:
    with tempfile.TemporaryDirectory(prefix="mainstay-bench-") as scratch:
        clock = FakeClock(SystemClock().now())
        store = await open_store(f"sqlite:///{scratch}/journal.db", SystemClock())
        try:
            done = await House(store, clock, Path(scratch)).run(
                doctor(), ports=ports_of(store, clock, shop=dsn)
            )
        finally:
            await store.close()
    works = {each["what"].partition(" ")[0] for each in done.outcome["mended"]}
    assert works >= {"VACUUM", "REINDEX"}, done.outcome
