"""A process of its own that records results and sends what is owed: `python -m tests.crash.office '{"url": ...}'`.

It feeds the given rounds of verdicts of the service `api`, says `fed`, delivers until nothing is owed and says `done`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from mainstay.core.check import Result, Verdict
from mainstay.core.secret import Secret, SecretUrl
from mainstay.engine.node import Node
from mainstay.incidents.machine import Rules
from mainstay.incidents.outbox import Senders
from mainstay.incidents.recorder import Recorder
from mainstay.incidents.routing import Channel, Routing
from mainstay.notifiers.pagerduty import PagerDuty
from mainstay.notifiers.webhook import Webhook
from mainstay.ports.clock import SystemClock
from mainstay.store import outbox
from mainstay.store.base import Store
from mainstay.store.open import open_store


async def main(given: dict[str, Any]) -> None:
    clock = SystemClock()
    store = await open_store(given["url"], clock)
    node = Node(store, clock, Path(given["state"]))
    await node.start()
    routing = Routing([Channel("hook"), Channel("pager", "critical")])
    recorder = Recorder(store, clock, routing, rules={"api": Rules(critical=True, most_oks=2)})
    senders = Senders(
        store,
        clock,
        recorder.desk,
        {
            "hook": Webhook(url=SecretUrl("hook", f"{given['provider']}/hook")),
            "pager": PagerDuty(routing_key=Secret("key", "K" * 32), url=f"{given['provider']}/v2/enqueue"),
        },
        owner=node.id,
    )
    print("ready", flush=True)
    sending = asyncio.create_task(senders.run()) if given.get("send_while_feeding") else None
    for verdict in given.get("feed", []):
        await recorder.record([_result(Verdict(verdict), clock.now())])
    print("fed", flush=True)
    sending = sending or asyncio.create_task(senders.run())
    await _until_nothing_is_owed(store)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await node.stop()
    await store.close()
    print("done", flush=True)


def _result(verdict: Verdict, at: float) -> Result:
    return Result("api/http", "api", verdict, f"answered {verdict}", at, confirmed=True)


async def _until_nothing_is_owed(store: Store) -> None:
    while True:
        signal = store.wait("outbox", 5)
        standings = await store.read(outbox.standings)
        if not any(standing.owed for standing in standings):
            signal.close()
            return
        await signal


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
