"""The agent killed in the middle of healing: the next one goes on, the service runs once, and its attempt counts."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mainstay.core.incident import Event, Incident, IncidentState
from mainstay.core.run import Run, RunState
from mainstay.ports.clock import SystemClock
from mainstay.ports.services import procs
from mainstay.store import incidents, runs
from mainstay.store.base import Tx
from mainstay.store.open import open_store
from tests.helpers import aeventually, bare_environment, command, eventually
from tests.servers.process import Engine, accepts, free_port
from tests.servers.recorder import Recorder

DEADLINE = 60.0
SERVER = (
    "import http.server, sys\n"
    "http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), http.server.SimpleHTTPRequestHandler)"
    ".serve_forever()\n"
)


class Agent:
    """`mainstay up --only agent` on a configuration with one service, which mainstay itself runs."""

    def __init__(self, directory: Path, provider: Recorder) -> None:
        self.directory = directory
        self.engines: list[Engine] = []
        self.port = free_port()
        (directory / "server.py").write_text(SERVER)
        self.config = directory / "mainstay.yaml"
        process = {"command": [sys.executable, str(directory / "server.py"), str(self.port)]}
        check = {"http": {"url": f"http://127.0.0.1:{self.port}/", "every": "500ms", "timeout": "500ms"}}
        service = {
            "critical": True,
            "runs_on": {"process": process},
            "checks": [check],
            "heal": {"restart": {"cooldown": "1s", "within": "20s"}},
        }
        whole = {
            "name": "crash",
            "state_dir": str(directory / "state"),
            "services": {"api": service},
            "notify": {"webhook": {"url": f"{provider.url}/hook"}},
        }
        self.config.write_text(json.dumps(whole))  # YAML is a superset of JSON

    def start(self, crash_at: str | None = None) -> Engine:
        env = bare_environment(MAINSTAY_CONFIG=str(self.config))
        if crash_at:
            env["MAINSTAY_CRASH_AT"] = crash_at
        argv = [*command("--config", str(self.config), "up", "--only", "agent")]
        engine = Engine(argv, self.directory / f"agent{len(self.engines)}.log", env=env, cwd=self.directory)
        self.engines.append(engine)
        return engine

    def servers(self) -> list[int]:
        """The processes that serve, by their own mark."""
        return procs.marked(f"{(self.directory / 'state').resolve()}:api")

    def answers(self) -> bool:
        assert self.engines[-1].alive(), self.engines[-1].said()
        return accepts(self.port)

    async def journalled(self) -> tuple[list[Incident], list[Event], list[Run]]:
        def read(tx: Tx) -> tuple[list[Incident], list[Event], list[Run]]:
            found = sorted(incidents.recent(tx), key=lambda incident: incident.id)
            events = [event for incident in found for event in incidents.events(tx, incident.id)]
            return found, events, runs.latest(tx, "heal:api")

        store = await open_store(f"sqlite:///{self.directory}/state/journal.db", SystemClock())
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
    for pid in made.servers():
        os.kill(pid, signal.SIGKILL)


def kinds(recorder: Recorder) -> list[str]:
    return [request.json()["type"] for request in recorder.to("/hook")]


async def test_a_killed_service_is_detected_told_restarted_and_confirmed(
    agent: Agent, recorder: Recorder
) -> None:
    agent.start()
    eventually(agent.answers, DEADLINE)
    (server,) = agent.servers()
    os.kill(server, signal.SIGKILL)
    await aeventually(lambda: kinds(recorder) == ["incident.opened", "incident.resolved"], DEADLINE)
    await aeventually(_healed(agent), DEADLINE)
    (again,) = agent.servers()
    assert again != server
    (incident,), events, (run,) = await agent.journalled()
    assert incident.state is IncidentState.RESOLVED
    assert [event.kind.value for event in events if event.kind.value != "note"] == [
        "failed",
        "opened",
        "action",
        "resolved",
    ]
    assert (run.state, run.outcome["confirmed"]) == (RunState.DONE, True)


@pytest.mark.parametrize("point", ["heal.announced", "service.spawned", "heal.acted", "heal.concluded"])
async def test_it_goes_on_after_a_death_at_every_point(agent: Agent, recorder: Recorder, point: str) -> None:
    first = agent.start(crash_at=f"{point}@2" if point == "service.spawned" else point)
    eventually(agent.answers, DEADLINE)
    (server,) = agent.servers()
    os.kill(server, signal.SIGKILL)
    assert first.process.wait(DEADLINE) == -signal.SIGKILL
    agent.start()
    await aeventually(_healed(agent), DEADLINE)
    await aeventually(lambda: kinds(recorder)[-1:] == ["incident.resolved"], DEADLINE)
    assert len(agent.servers()) == 1
    found, events, made = await agent.journalled()
    assert all(incident.state is IncidentState.RESOLVED for incident in found)
    assert 1 <= [event.kind.value for event in events].count("action") <= 2
    assert all(run.state is RunState.DONE for run in made)
    assert len(set(kinds(recorder))) == 2
    assert kinds(recorder).count("incident.opened") - len(found) <= 1


def _healed(agent: Agent) -> Callable[[], object]:
    async def healed() -> bool:
        found, _, made = await agent.journalled()
        over = all(incident.state is IncidentState.RESOLVED for incident in found)
        return over and bool(made) and all(run.state.ended for run in made)

    return healed
