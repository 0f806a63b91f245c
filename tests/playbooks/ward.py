"""A ward: services that can be broken, their controls, and everything that heals them, on one journal and one clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from mainstay.core.check import Result, Verdict
from mainstay.core.incident import Event, Incident
from mainstay.core.run import Run
from mainstay.engine.node import Node
from mainstay.engine.runner import Runner
from mainstay.incidents.from_run import hook
from mainstay.incidents.machine import Rules
from mainstay.incidents.recorder import Recorder
from mainstay.incidents.routing import Channel, Routing
from mainstay.playbooks import fallen
from mainstay.playbooks.heal import Heal, HealPorts, HealTarget
from mainstay.playbooks.reaction import job_of, reaction
from mainstay.playbooks.settings import HealSettings
from mainstay.ports.clock import FakeClock
from mainstay.ports.services import ServiceError, ServiceState, Standing
from mainstay.store import incidents, outbox
from mainstay.store.base import Store


class Patient:
    """A service whose cure the test chooses: `cure` is awaited at every restart and may raise."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.well = True
        self.held = False
        self.standing = Standing.RUNNING
        self.restarts: list[float] = []
        self.cure: Callable[[], Awaitable[None]] = self.recover

    async def recover(self) -> None:
        await self.clock.sleep(1.5)
        self.well = True

    async def stay_ill(self) -> None:
        await self.clock.sleep(1.5)

    async def refuse(self) -> None:
        raise ServiceError("the unit is masked", hint="unmask it")

    async def state(self) -> ServiceState:
        return ServiceState(self.standing, "stopped on purpose" if self.held else "as ever", held=self.held)

    async def start(self) -> None:
        await self.restart()

    async def stop(self) -> None:
        self.well, self.held = False, True

    async def restart(self) -> None:
        self.restarts.append(self.clock.now())
        await self.cure()

    async def ensure_running(self) -> bool:
        return False


class Ward:
    """Patients `api` (which needs `db`), `db` and `blog`; a round of checks is asked every five seconds."""

    def __init__(self, store: Store, clock: FakeClock, directory: Path, **options: object) -> None:
        self.store = store
        self.clock = clock
        self.directory = directory
        self.patients = {name: Patient(clock) for name in ("api", "db", "blog")}
        settings = HealSettings.model_validate({"restart": options})
        self.settings = {"api": settings, "db": settings, "blog": settings}
        needs = {"api": ("db",)}
        self.recorder = Recorder(
            store,
            clock,
            Routing([Channel("slack"), Channel("pager", "critical")]),
            [reaction(self.settings, clock)],
            {"api": Rules(critical=True), "db": Rules(critical=True), "blog": Rules()},
        )
        targets = {
            name: HealTarget(patient, self.settings[name], needs.get(name, ()))
            for name, patient in self.patients.items()
        }
        self.ports = HealPorts(targets, self.probe, store, clock, self.recorder.desk)
        self.ended: list[Run] = []

    async def probe(self, service: str) -> list[Result]:
        patient = self.patients[service]
        verdict = Verdict.OK if patient.well else Verdict.FAIL
        detail = "200" if patient.well else "connection refused"
        return [Result(f"{service}/http", service, verdict, detail, self.clock.now(), 0.01, confirmed=True)]

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Runner]:
        """The runner at work, and the checks asked every five seconds."""
        node = Node(self.store, self.clock, self.directory)
        await node.start()
        desk = self.recorder.desk
        hooks = [hook(desk), fallen.hook(desk), lambda tx, run: self.ended.append(run)]
        jobs = {job_of(name): Heal() for name in self.patients}
        runner = Runner(self.store, self.clock, node, jobs, {HealPorts: self.ports}, hooks)
        tasks = [asyncio.create_task(runner.serve()), asyncio.create_task(self._rounds())]
        try:
            yield runner
        finally:
            tasks[1].cancel()
            await self._finish(runner.stop())
            await self._finish(asyncio.gather(*tasks, return_exceptions=True))
            await self._finish(node.stop())

    async def _finish(self, what: Awaitable[object]) -> None:
        ending = asyncio.ensure_future(what)
        while not ending.done():
            await self.clock.advance(1)
        await ending

    async def _rounds(self) -> None:
        while True:
            for service in self.patients:
                await self.recorder.record(await self.probe(service))
            await self.clock.sleep(5)

    async def incidents(self) -> list[Incident]:
        found = await self.store.read(lambda tx: incidents.recent(tx, 100))
        return sorted(found, key=lambda incident: incident.id)

    async def timeline(self, incident: str) -> list[Event]:
        return await self.store.read(lambda tx: incidents.events(tx, incident))

    async def told(self, incident: str, channel: str) -> list[str]:
        rows = await self.store.read(lambda tx: outbox.of_incident(tx, incident))
        return [row.message.kind.value for row in rows if row.channel == channel]
