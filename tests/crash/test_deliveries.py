"""The agent killed while it delivers webhooks: each arrives, and none twice at a target that honours the key."""

from __future__ import annotations

import json
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstay.ports.clock import SystemClock
from mainstay.store import inbox, inbox_delivery
from mainstay.store.base import Tx
from mainstay.store.open import open_store
from tests.edge.delivery.post import arrival
from tests.helpers import aeventually, bare_environment, command
from tests.servers.process import Engine
from tests.servers.recorder import Recorder

DEADLINE = 60.0
KILLS = int(os.environ.get("MAINSTAY_KILLS", "2"))


class Agent:
    """`mainstay up --only agent` with one source of webhooks, and the journal that the edge would write."""

    def __init__(self, directory: Path, target: Recorder) -> None:
        self.directory = directory
        self.engines: list[Engine] = []
        self.url = f"sqlite:///{directory}/state/journal.db"
        self.config = directory / "mainstay.yaml"
        source = {
            "secrets": [{"secret": "hook"}],
            "deliver_to": f"{target.url}/hook",
            "retry": {"delays": ["1s"] * 100},
            "breaker": {"longest_pause": "1s"},
        }
        whole = {"name": "crash", "state_dir": str(directory / "state"), "webhooks": {"bank": source}}
        self.config.write_text(json.dumps(whole))  # YAML is a superset of JSON

    def start(self, crash_at: str | None = None) -> Engine:
        env = bare_environment(MAINSTAY_CONFIG=str(self.config), MAINSTAY_HOOK="swordfish-swordfish")
        if crash_at:
            env["MAINSTAY_CRASH_AT"] = crash_at
        argv = [*command("--config", str(self.config), "up", "--only", "agent")]
        engine = Engine(argv, self.directory / f"agent{len(self.engines)}.log", env=env, cwd=self.directory)
        self.engines.append(engine)
        return engine

    async def take_in(self, many: int, **fields: object) -> list[str]:
        clock = SystemClock()
        arrivals = [arrival(clock.now(), b"%d" % n, **fields) for n in range(many)]
        (self.directory / "state").mkdir(exist_ok=True)
        store = await open_store(self.url, clock)
        try:
            await store.write(lambda tx: inbox.put_many(tx, arrivals))
        finally:
            await store.close()
        return [each.id for each in arrivals]

    async def states(self) -> Counter[str]:
        def read(tx: Tx) -> Counter[str]:
            return Counter(line.state for line in inbox_delivery.find(tx, limit=100_000))

        store = await open_store(self.url, SystemClock())
        try:
            return await store.read(read)
        finally:
            await store.close()


@pytest.fixture
def agent(tmp_path: Path, recorder: Recorder) -> Iterator[Agent]:
    made = Agent(tmp_path, recorder)
    yield made
    for engine in made.engines:
        engine.kill()


def keys(recorder: Recorder) -> list[str]:
    return [request.headers["idempotency-key"] for request in recorder.accepted]


@pytest.mark.parametrize("point", ["inbox.claimed@3", "inbox.sent@3", "inbox.kept@2"])
async def test_nothing_is_lost_or_doubled_by_a_death_at_any_point(
    agent: Agent, recorder: Recorder, point: str
) -> None:
    ids = await agent.take_in(40)
    first = agent.start(point)
    assert first.process.wait(DEADLINE) == -signal.SIGKILL
    agent.start()
    await aeventually(lambda: set(keys(recorder)) == set(ids), DEADLINE)

    async def done() -> bool:
        return await agent.states() == {"delivered": 40}

    await aeventually(done, DEADLINE)
    assert len(keys(recorder)) - len(ids) <= 4 * 16


async def test_order_holds_over_a_death(agent: Agent, recorder: Recorder) -> None:
    ids = await agent.take_in(12, order_key="one")
    first = agent.start("inbox.sent@5")
    assert first.process.wait(DEADLINE) == -signal.SIGKILL
    agent.start()
    await aeventually(lambda: set(keys(recorder)) == set(ids), DEADLINE)
    assert list(dict.fromkeys(keys(recorder))) == ids


async def test_killed_at_random_moments_every_event_arrives_under_one_key(
    agent: Agent, recorder: Recorder
) -> None:
    """`MAINSTAY_KILLS=200` for the long run."""
    draw = random.Random(7)
    recorder.answer(200, delay=0.002)
    ids: list[str] = []
    for _ in range(KILLS):
        ids += await agent.take_in(300)
        engine = agent.start()
        wanted = len(recorder.accepted) + draw.randint(1, 250)
        await aeventually(lambda wanted=wanted: len(recorder.accepted) >= wanted, DEADLINE)  # type: ignore[misc]
        os.kill(engine.process.pid, signal.SIGKILL)
        engine.process.wait(DEADLINE)
    agent.start()
    await aeventually(lambda: set(keys(recorder)) == set(ids), DEADLINE)
    sent = {request.headers["idempotency-key"]: request.body for request in recorder.accepted}
    assert Counter(sent.values()) == {b"%d" % n: KILLS for n in range(300)}
    assert len(keys(recorder)) - len(ids) <= KILLS * 4 * 16
