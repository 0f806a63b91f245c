"""A process that keeps the log of one server, backs it up, proves and restores it, for tests that kill it.

    python -m tests.backup.physical.lane '{"base": ..., "dsn": ..., "do": "run", "job": "base_backup:shop"}'

Journal, vault, spool and scratch directory live below `base`. `do` is `run` (a job, beside the stream, then until the
position `until` is in the storage), `restore`, `tables`, `database` or `prune`; what came of it is printed as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mainstay.backup.physical import base as bases
from mainstay.backup.physical import stream as streams
from mainstay.backup.physical import watchdog
from mainstay.backup.physical.alarms import Alarms
from mainstay.backup.physical.jobs import BaseBackup, ProveLog
from mainstay.backup.physical.restore import plan, restore_server
from mainstay.backup.physical.retain import prune
from mainstay.backup.physical.stream import Stream
from mainstay.backup.physical.tables import restore_database, restore_tables
from mainstay.backup.physical.target import LATEST
from mainstay.backup.ports import BackupPorts
from mainstay.engine.node import Node
from mainstay.engine.queue import enqueue
from mainstay.engine.runner import Runner
from mainstay.ports.clock import SystemClock
from mainstay.ports.postgres.dsn import Dsn
from mainstay.store import runs
from mainstay.store.open import open_store
from tests.backup.house import Run
from tests.backup.physical.house import Board, ports_of
from tests.helpers import aeventually

JOBS = {"base_backup:shop": BaseBackup(database="shop"), "prove_log:shop": ProveLog(database="shop")}


async def main(options: dict[str, Any]) -> dict[str, Any]:
    bases.PART = 4 << 20
    streams.LOOK_EVERY, watchdog.RETURN_AFTER = 0.1, 0.3
    base = Path(options["base"])
    store = await open_store(f"sqlite:///{base}/journal.db", SystemClock())
    ports = ports_of(store, base, options["dsn"], **options.get("wal", {}))
    try:
        return await DO[options["do"]](ports, base, options)
    finally:
        await store.close()


async def _run(ports: BackupPorts, base: Path, options: dict[str, Any]) -> dict[str, Any]:
    async with _streaming(ports, base) as stream, _runner(ports, base):
        done: dict[str, Any] = {}
        if options.get("job"):
            done = await _job(ports, options["job"], options.get("key", "one"))
        if until := options.get("until"):
            await aeventually(lambda: stream.current and (stream.current.tip or 0) >= until - 256, 60)
        return done


async def _job(ports: BackupPorts, job: str, key: str) -> dict[str, Any]:
    store, now = ports.store, ports.clock.now()
    run = await store.write(lambda tx: enqueue(tx, job, key=key, due_at=now, now=now))
    while True:
        seen = store.version("runs")
        found = await store.read(lambda tx: runs.require(tx, run.id))
        if found.state.ended:
            return {"state": found.state.value, "id": run.id, "error": found.error, **found.outcome}
        await store.wait("runs", 60 if store.version("runs") == seen else 0)


@asynccontextmanager
async def _streaming(ports: BackupPorts, base: Path) -> AsyncIterator[Stream]:
    stream = Stream(ports, Alarms(ports.store, ports.clock, Board(), "shop"), "shop", base / "spool")
    serving = asyncio.create_task(stream.serve())
    try:
        yield stream
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


@asynccontextmanager
async def _runner(ports: BackupPorts, base: Path) -> AsyncIterator[None]:
    node = Node(ports.store, ports.clock, base / "state")
    await node.start()
    runner = Runner(ports.store, ports.clock, node, JOBS, {BackupPorts: ports})
    serving = asyncio.create_task(runner.serve())
    try:
        yield
    finally:
        await runner.stop()
        await asyncio.gather(serving, return_exceptions=True)
        await node.stop()


async def _restore(ports: BackupPorts, base: Path, options: dict[str, Any]) -> dict[str, Any]:
    found = await plan(ports, "shop", LATEST)
    done = await restore_server(Run(ports, "restore:shop"), ports, found, Path(options["into"]))
    return {"data": str(done.data), "faults": done.soundness.faults}


async def _tables(ports: BackupPorts, base: Path, options: dict[str, Any]) -> dict[str, Any]:
    found = await plan(ports, "shop", LATEST)
    target = Dsn.parse(options["into"])
    done = await restore_tables(Run(ports, "restore:shop"), ports, found, ["ledger"], target)
    return {"schema": done.schema, "rows": done.rows}


async def _database(ports: BackupPorts, base: Path, options: dict[str, Any]) -> dict[str, Any]:
    found = await plan(ports, "shop", LATEST)
    done = await restore_database(Run(ports, "restore:shop"), ports, found, Dsn.parse(options["into"]))
    return {"rows": done.rows}


async def _prune(ports: BackupPorts, base: Path, options: dict[str, Any]) -> dict[str, Any]:
    gone = await prune(ports.store, ports.storage("vault"), "shop", options["now"], options["keep"], "now")
    return {"refused": gone.refused, "bases": gone.bases, "log": gone.log, "orphans": gone.orphans}


DO: dict[str, Callable[[BackupPorts, Path, dict[str, Any]], Awaitable[dict[str, Any]]]] = {
    "run": _run, "restore": _restore, "tables": _tables, "database": _database, "prune": _prune,
}  # fmt: skip

if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(json.loads(sys.argv[1])))), flush=True)
