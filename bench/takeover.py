"""How soon a run is queued and picked up, and how soon it goes on elsewhere when its process or its machine dies."""

# engines: postgresql

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median, quantiles

from bench.rows import Row
from mainstay.engine.queue import enqueue
from mainstay.engine.scheduler import Scheduler
from mainstay.ports.clock import SystemClock
from mainstay.store import runs
from mainstay.store.open import open_store
from tests.engine.agent import Diary
from tests.engine.processes import Yard, yard
from tests.journals import Journal, sqlite_journal
from tests.servers.postgres import PostgresServer, debian_binaries, wheel_binaries

REPEATS = 9
ACROSS = 3
PICKUPS = 50


def run() -> Iterator[Row]:
    """Milliseconds of a take-over on one host and from queue to first step, seconds across hosts; medians."""
    for name, journals in (("sqlite", sqlite), ("postgres", postgres)):
        with journals() as fresh:
            if fresh is None:
                continue
            here = [takeover(fresh(), hosts=(None, None)) for _ in range(REPEATS)]
            yield Row("takeover", f"{name}_same_host", median(here) * 1000, "ms")
            yield Row("takeover", f"{name}_same_host_worst", max(here) * 1000, "ms")
            yield Row("takeover", f"{name}_pickup", pickup(fresh()) * 1000, "ms")
            yield Row("takeover", f"{name}_due_to_queue_p95", asyncio.run(lateness(fresh())) * 1000, "ms")
            if name == "postgres":
                across = [takeover(fresh(), hosts=("north", "south")) for _ in range(ACROSS)]
                yield Row("takeover", "postgres_across_hosts", median(across), "s")
                yield Row("takeover", "postgres_across_hosts_worst", max(across), "s")


Fresh = Callable[[], Journal]


@contextmanager
def sqlite() -> Iterator[Fresh | None]:
    with tempfile.TemporaryDirectory(prefix="mainstay-bench-") as scratch:
        yield lambda: sqlite_journal(Path(tempfile.mkdtemp(dir=scratch)))


@contextmanager
def postgres() -> Iterator[Fresh | None]:
    programs = wheel_binaries() or debian_binaries()
    if programs is None:
        yield None
        return
    server = PostgresServer(programs)
    try:
        yield lambda: Journal(server.dsn(server.create()), "postgres", server=server)
    finally:
        server.remove()


def takeover(journal: Journal, hosts: tuple[str | None, str | None]) -> float:
    """Seconds from SIGKILL to the first line that the next owner does."""
    with (
        tempfile.TemporaryDirectory(prefix="mainstay-bench-") as scratch,
        yard(journal, Path(scratch)) as made,
    ):
        made.hold("b")
        first = made.start(host=hosts[0], enqueue=1)
        made.reached("b")
        made.start(host=hosts[1])
        began = time.time()
        first.kill()
        return float(made.reached("b", 2)[3]) - began


def pickup(journal: Journal) -> float:
    """Seconds from one process's commit to the first line that a job in another process does; median."""
    with (
        tempfile.TemporaryDirectory(prefix="mainstay-bench-") as scratch,
        yard(journal, Path(scratch)) as made,
    ):
        made.start()
        return median(asyncio.run(pickups(journal, made)))


async def pickups(journal: Journal, made: Yard) -> list[float]:
    """The waits of single runs, one after another."""
    store = await open_store(journal.url, SystemClock())
    waits: list[float] = []
    for number in range(PICKUPS):
        now = time.time()
        queue = partial(enqueue, job="diary", key=f"diary@{number}", due_at=now, now=now)
        await store.write(queue)
        began = time.time()
        await asyncio.to_thread(made.reached, "end", number + 1)
        waits.append(float(made.reached("a", number + 1)[3]) - began)
    await store.close()
    return waits


async def lateness(journal: Journal) -> float:
    """Seconds from a due time until its run is on disk, the 95th percentile."""
    clock = SystemClock()
    store = await open_store(journal.url, clock)
    scheduler = Scheduler(store, clock, {"diary": Diary(directory="", every=0.2)})
    serving = asyncio.create_task(scheduler.serve())
    waits: list[float] = []
    while len(waits) < PICKUPS:
        await store.wait("runs", 5)
        now = time.time()
        (run,) = await store.read(partial(runs.latest, job="diary", limit=1))
        waits.append(now - run.due_at)
    serving.cancel()
    await store.close()
    return quantiles(waits, n=20)[18]
