"""Two agents on one PostgreSQL journal: one asks the checks, and the other goes on when it dies."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mainstay.ports.clock import SystemClock
from mainstay.store import nodes
from mainstay.store.base import Store, Tx
from mainstay.store.open import open_store
from tests.helpers import aeventually, command
from tests.journeys.house import free_port
from tests.servers.recorder import Answer, Recorder

FILE = """
name: pair
journal: {{secret: journal}}
state_dir: {state}
services:
  shop: {{critical: true, checks: [{{http: {{url: "{url}/health", every: 1s, timeout: 1s}}}}]}}
notify:
  pagerduty: {{routing_key: {{secret: pagerduty_key}}, url: "{url}/v2/enqueue"}}
web: {{listen: "127.0.0.1:{web}"}}
"""


class Pair:
    """Two agents with state directories of their own."""

    def __init__(self, home: Path, journal: str, recorder: Recorder, stack: ExitStack) -> None:
        self.recorder = recorder
        self.journal = journal
        environment = {**os.environ, "MAINSTAY_JOURNAL": journal, "MAINSTAY_PAGERDUTY_KEY": "0" * 32}
        # One state directory: on one host, nodes know the dead by their lock files.
        self.agents = []
        for name in ("left", "right"):
            file = home / f"{name}.yaml"
            file.write_text(FILE.format(state=home / "state", url=recorder.url, web=free_port()))
            log = stack.enter_context((home / f"{name}.log").open("wb"))
            agent = subprocess.Popen(
                command("up", "--only", "agent", "--config", str(file)),
                env=environment,
                stdout=log,
                stderr=log,
            )
            stack.callback(agent.wait, 30)
            stack.callback(agent.terminate)
            self.agents.append(agent)

    async def asker(self, store: Store) -> int | None:
        """The process that asks the checks."""

        def look(tx: Tx) -> int | None:
            lease, _ = nodes.standing(tx, "checks")
            owner = lease.owner if lease else None
            return next((row.pid for row in nodes.everyone(tx) if row.id == owner), None)

        return await store.read(look)


@pytest.fixture
def pair(tmp_path: Path, database: str, recorder: Recorder) -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(tmp_path, database, recorder, stack)


async def test_when_the_asking_node_dies_the_other_asks_and_tells_once(pair: Pair) -> None:
    await aeventually(lambda: pair.recorder.to("/health"), 30)
    store = await open_store(pair.journal, SystemClock())
    try:
        first = await aeventually(lambda: pair.asker(store), 20)
        assert first in [agent.pid for agent in pair.agents]
        os.kill(int(first), signal.SIGKILL)
        pair.recorder.behave(Answer(500), path="/health")
        await aeventually(lambda: pair.recorder.to("/v2/enqueue"), 30)
        pair.recorder.behave(Answer(200), path="/health")
        await aeventually(lambda: len(pair.recorder.to("/v2/enqueue")) >= 2, 30)
        assert await pair.asker(store) not in (None, first)
    finally:
        await store.close()
    actions = [each.json()["event_action"] for each in pair.recorder.to("/v2/enqueue")]
    assert actions == ["trigger", "resolve"]
