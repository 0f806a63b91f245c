"""A process that renews one certificate with the real runner, for tests that kill it.

    python -m tests.certs.agent '{"base": ..., "certificate": {...}, "key": "one"}'

Everything lies below `base`. It queues one run, if there is none of that key, and ends with it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from mainstay.certs.authority import Authority
from mainstay.certs.certbot import Certbot
from mainstay.certs.jobs import RenewSsl
from mainstay.certs.ports import CertPorts
from mainstay.certs.settings import CertificateSettings
from mainstay.core.run import RunState
from mainstay.engine.node import Node
from mainstay.engine.queue import enqueue
from mainstay.engine.runner import Runner
from mainstay.ports.clock import SystemClock
from mainstay.store import runs
from mainstay.store.open import open_store


async def here(host: str) -> list[str]:
    return ["127.0.0.1"]


async def main(options: dict[str, Any]) -> None:
    base, clock = Path(options["base"]), SystemClock()
    settings = CertificateSettings.model_validate(options["certificate"])
    store = await open_store(f"sqlite:///{base}/journal.db", clock)
    orders, words = Certbot(base / "certbot", clock), Authority(clock)
    ports = CertPorts(store, clock, {settings.called: settings}, base / "certs", orders, words, here)
    node = Node(store, clock, base / "state")
    await node.start()
    job = f"renew:{settings.called}"
    runner = Runner(store, clock, node, {job: RenewSsl(certificate=settings.called)}, {CertPorts: ports})
    now = clock.now()
    run = await store.write(lambda tx: enqueue(tx, job, key=options["key"], due_at=now, now=now))
    serving = asyncio.create_task(runner.serve())
    while True:
        seen = store.version("runs")
        found = await store.read(lambda tx: runs.require(tx, run.id))
        if found.state.ended or found.state is RunState.PARKED:
            break
        await store.wait("runs", 60 if store.version("runs") == seen else 0)
    print(json.dumps({"state": found.state.value, "error": found.error, **found.outcome}), flush=True)
    await runner.stop()
    await asyncio.gather(serving, return_exceptions=True)
    await node.stop()
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
