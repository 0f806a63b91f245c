"""Offices on one journal and one provider: started, killed at named points, and followed by the next one."""

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

from mainstay.core.incident import Event, Incident
from mainstay.store import incidents, outbox
from mainstay.store.base import Tx
from mainstay.store.outbox import Owed
from tests.helpers import ROOT, bare_environment, eventually
from tests.journals import Journal
from tests.servers.process import Engine
from tests.servers.recorder import PAGERDUTY, Recorder

DEADLINE = 40.0


@dataclass
class Offices:
    """Each `start` is a process of its own."""

    journal: Journal
    directory: Path
    provider: Recorder
    engines: list[Engine] = field(default_factory=list)
    count: Iterator[int] = field(default_factory=itertools.count)

    def start(self, *feed: str, crash_at: str | None = None, **options: Any) -> Engine:
        given = {
            "url": self.journal.url,
            "state": str(self.directory),
            "provider": self.provider.url,
            "feed": feed,
        }
        env = bare_environment(PYTHONPATH=str(ROOT), PYTHONUNBUFFERED="1")
        if crash_at:
            env["MAINSTAY_CRASH_AT"] = crash_at
        log = self.directory / f"office-{next(self.count)}.log"
        argv = [sys.executable, "-m", "tests.crash.office", json.dumps({**given, **options})]
        engine = Engine(argv, log, env=env, cwd=ROOT)
        self.engines.append(engine)
        return engine

    def dies(self, *feed: str, at: str, **options: Any) -> None:
        """Start one that is killed by itself at a point; it is dead when this returns."""
        engine = self.start(*feed, crash_at=at, **options)
        assert engine.process.wait(DEADLINE) == -signal.SIGKILL, engine.said()

    def works(self, *feed: str) -> None:
        """Start one that does its work and ends."""
        engine = self.start(*feed)
        eventually(lambda: not engine.alive(), DEADLINE)
        assert engine.said().endswith("done\n"), engine.said()

    def keys(self) -> list[str]:
        """The keys of all messages that the webhook's receiver has accepted, in the order of their arrival."""
        return [request.headers["webhook-id"] for request in self.provider.to("/hook") if request.accepted]

    def actions(self) -> list[str]:
        """What the pager was told, in order."""
        return [request.json()["event_action"] for request in self.provider.to(PAGERDUTY) if request.accepted]

    async def journalled(self) -> tuple[list[Incident], list[Event], list[Owed]]:
        """The incidents, their events and their messages, oldest first."""

        def read(tx: Tx) -> tuple[list[Incident], list[Event], list[Owed]]:
            found = sorted(incidents.recent(tx, 100), key=lambda incident: incident.id)
            return (
                found,
                [event for incident in found for event in incidents.events(tx, incident.id)],
                [row for incident in found for row in outbox.of_incident(tx, incident.id)],
            )

        async with self.journal.opened() as store:
            return await store.read(read)


@contextmanager
def offices(journal: Journal, directory: Path, provider: Recorder) -> Iterator[Offices]:
    """Offices that are gone afterwards."""
    made = Offices(journal, directory, provider)
    try:
        yield made
    finally:
        for engine in made.engines:
            engine.kill()


def without_repeats(keys: list[str]) -> list[str]:
    """The keys in the order of their first arrival."""
    return list(dict.fromkeys(keys))
