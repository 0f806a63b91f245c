"""Real processes of the engine: started, killed, frozen, thawed; and what they have written down."""

from __future__ import annotations

import itertools
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.helpers import ROOT, bare_environment, eventually
from tests.journals import Journal
from tests.servers.process import Engine

DEADLINE = 20.0


@dataclass
class Yard:
    """Processes on one journal. Those that are given a `state` name share the machine, the others do not."""

    journal: Journal
    directory: Path
    agents: list[Engine] = field(default_factory=list)
    count: Iterator[int] = field(default_factory=itertools.count)

    def start(self, *, host: str | None = None, crash_at: str | None = None, **options: Any) -> Engine:
        """Start a process; it is ready when this returns, unless it was to crash on the way."""
        state = self.directory / (host or "here")
        given = {"url": self.journal.url, "state": str(state), "dir": str(self.directory), **options}
        if host:
            given["host"] = host
        env = bare_environment(PYTHONPATH=str(ROOT), PYTHONUNBUFFERED="1")
        if crash_at:
            env["MAINSTAY_CRASH_AT"] = crash_at
        log = self.directory / f"agent-{next(self.count)}.log"
        argv = [sys.executable, "-m", "tests.engine.agent", json.dumps(given)]
        agent = Engine(argv, log, env=env, cwd=ROOT)
        self.agents.append(agent)
        if not crash_at:
            agent.ready(lambda: "ready" in agent.said() or "Traceback" in agent.said())
        return agent

    def hold(self, step: str) -> None:
        (self.directory / f"hold-{step}").touch()

    def let_go(self, step: str) -> None:
        (self.directory / f"hold-{step}").unlink()

    def did(self) -> list[list[str]]:
        """What was written down: [step, run, pid, time]; a trailing `!` at the step says that its work was finished."""
        path = self.directory / "did"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def count_of(self, what: str) -> int:
        return sum(entry[0] == what for entry in self.did())

    def reached(self, what: str, times: int = 1) -> list[str]:
        """Wait until something was written down as often as that; the entry."""
        eventually(lambda: self.count_of(what) >= times, DEADLINE)
        return [entry for entry in self.did() if entry[0] == what][times - 1]

    def freeze(self, agent: Engine) -> None:
        agent.process.send_signal(signal.SIGSTOP)

    def thaw(self, agent: Engine) -> None:
        agent.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        for agent in self.agents:
            agent.kill()


@contextmanager
def yard(journal: Journal, directory: Path) -> Iterator[Yard]:
    """A yard whose processes are gone afterwards."""
    made = Yard(journal, directory)
    try:
        yield made
    finally:
        made.close()
