"""A process that backs up one database with the real runner, for tests that kill it.

    python -m tests.backup.agent '{"base": ..., "dsn": ..., "keep": {...}, "s3": {...}}'

Journal, vault and scratch directory live below `base`. It queues one run, if there is none, and ends with it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from mainstay.backup.jobs import BackupPostgres
from mainstay.backup.ports import BackupPorts
from mainstay.backup.settings import BackupSettings, DatabaseSettings, Keep
from mainstay.core.run import RunState
from mainstay.core.secret import Secret, SecretUrl
from mainstay.engine.node import Node
from mainstay.engine.queue import enqueue
from mainstay.engine.runner import Runner
from mainstay.ports.clock import SystemClock
from mainstay.ports.objects import Storage, s3
from mainstay.ports.objects.directory import Directory
from mainstay.ports.objects.s3 import S3
from mainstay.ports.postgres.tools import Tools
from mainstay.ports.scratch import Scratch
from mainstay.store import runs
from mainstay.store.open import open_store


def storage(options: dict[str, Any]) -> Storage:
    if "s3" in options:
        s3.PART = options.get("part", s3.PART)
        return S3(
            **options["s3"],
            access_key=Secret("key", "testing"),
            secret_key=Secret("secret", "testing-secret"),
        )
    return Directory(path=Path(options["base"]) / "vault")


async def main(options: dict[str, Any]) -> None:
    base = Path(options["base"])
    clock = SystemClock()
    store = await open_store(f"sqlite:///{base}/journal.db", clock)
    settings = BackupSettings(to="vault", keep=Keep(**options.get("keep", {})))
    ports = BackupPorts(
        store=store,
        clock=clock,
        storages={"vault": storage(options)},
        databases={"shop": DatabaseSettings(dsn=SecretUrl("dsn", options["dsn"]), backup=settings)},
        scratch=Scratch(base / "scratch"),
        tools=Tools(),
    )
    node = Node(store, clock, base / "state")
    await node.start()
    runner = Runner(
        store, clock, node, {"backup:shop": BackupPostgres(database="shop")}, {BackupPorts: ports}
    )
    now = clock.now()
    key = options.get("key", "one")
    run = await store.write(lambda tx: enqueue(tx, "backup:shop", key=key, due_at=now, now=now))
    serving = asyncio.create_task(runner.serve())
    while True:
        seen = store.version("runs")
        found = await store.read(lambda tx: runs.require(tx, run.id))
        if found.state.ended or found.state is RunState.PARKED:
            break
        await store.wait("runs", 60 if store.version("runs") == seen else 0)
    print(
        json.dumps({"state": found.state.value, "id": run.id, "error": found.error, **found.outcome}),
        flush=True,
    )
    await runner.stop()
    await asyncio.gather(serving, return_exceptions=True)
    await node.stop()
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
