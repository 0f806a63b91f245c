"""Puts the rooms together: one `App` per process, made from one configuration."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from mainstay.app import certs, wal
from mainstay.app.backup import database_jobs
from mainstay.app.grace import Grace
from mainstay.app.ownership import own
from mainstay.app.upkeep import ailments_hook, holes_hook, upkeep_ports
from mainstay.backup.jobs import BackupData, BackupPostgres, ProveBackup
from mainstay.backup.keeping import VerifyBackups
from mainstay.backup.ports import BackupPorts
from mainstay.certs.ports import CertPorts
from mainstay.config.model import Config
from mainstay.core.check import Result
from mainstay.core.errors import ConfigError
from mainstay.core.incident import Severity
from mainstay.core.job import Job
from mainstay.core.run import Run, RunState
from mainstay.edge.delivery.courier import Courier
from mainstay.edge.delivery.repair.auto import Repairer
from mainstay.edge.delivery.targets import Tools as DeliveryTools
from mainstay.edge.http.meter import DIRECTORY
from mainstay.edge.sight.lookout import Lookout
from mainstay.engine.journal_jobs import JournalBackup, JournalPorts, JournalPrune
from mainstay.engine.node import Node
from mainstay.engine.runner import RunHook, Runner
from mainstay.engine.watch import Watch, Watched
from mainstay.incidents.blind import Sight
from mainstay.incidents.desk import Desk
from mainstay.incidents.from_run import hook, key_of
from mainstay.incidents.machine import Rules
from mainstay.incidents.outbox import Sender
from mainstay.incidents.recorder import Recorder
from mainstay.incidents.routing import Channel, Routing
from mainstay.playbooks import fallen
from mainstay.playbooks.heal import Heal, HealPorts, HealTarget
from mainstay.playbooks.reaction import job_of, reaction
from mainstay.ports.clock import Clock, SystemClock
from mainstay.ports.place import LocalPlace
from mainstay.ports.postgres.tools import Tools
from mainstay.ports.resolver import Resolver
from mainstay.ports.scratch import Scratch
from mainstay.ports.services import ServiceControl, control_for
from mainstay.store import gateway, outbox, runs
from mainstay.store.base import Store, Tx
from mainstay.store.open import open_store, sqlite_path
from mainstay.upkeep.health.job import HealthCheck, HealthPorts
from mainstay.upkeep.own.base import OwnJob
from mainstay.upkeep.ports import UpkeepPorts

MESSAGES_KEPT = 90 * 86400.0
"""Seconds for which delivered messages are remembered."""
RUNS_KEPT = 400 * 86400.0
"""Seconds for which ended runs, with their steps and logs, are remembered."""

T = TypeVar("T")


@dataclass(slots=True)
class App:
    """Everything one process needs. `node` owns work only in processes that run jobs."""

    config: Config
    clock: Clock
    store: Store
    node: Node
    jobs: dict[str, Job]
    runner: Runner
    recorder: Recorder
    watch: Watch
    grace: Grace
    controls: dict[str, ServiceControl]
    ports: Mapping[type, object]

    def port(self, kind: type[T]) -> T:
        """Give a room's ports, as jobs are given them."""
        found = self.ports[kind]
        assert isinstance(found, kind)  # noqa: S101 - it is keyed by its own type
        return found

    @property
    def desk(self) -> Desk:
        """Where incidents change."""
        return self.recorder.desk

    async def deliver(self) -> None:
        """Deliver webhooks and repair their gaps, for ever."""
        tools = DeliveryTools(self.clock, Resolver(self.clock).resolve)
        sources = {
            name: (settings, settings.repair)
            for name, settings in self.config.webhooks.items()
            if settings.repair is not None and settings.repair.auto
        }
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Courier(self.store, tools, self.config.webhooks, self.desk).serve())
            tasks.create_task(Repairer(self.store, tools, sources, self.desk).serve())

    async def look_at_gateway(self) -> None:
        """Look at the gateway of this machine, for ever."""
        directory = self.config.state_dir / DIRECTORY
        await Lookout(self.store, self.clock, self.node.host, directory, self.desk).serve()

    def senders(self) -> list[Sender]:
        """Make one sender per channel."""
        return [
            Sender(self.store, self.clock, self.desk, name, notifier, owner=self.node.id)
            for name, notifier in self.config.notify.items()
        ]


@asynccontextmanager
async def open_app(config: Config, clock: Clock | None = None, role: str = "cli") -> AsyncIterator[App]:
    """Open the journal, become a node, put everything together; close it in order at the end.

    `role` names the process in the journal: `agent`, `web` or `cli`.
    """
    clock = clock or SystemClock()
    own(config.state_dir)
    async with AsyncExitStack() as stack:
        store = await open_store(config.journal_url, clock)
        stack.push_async_callback(store.close)
        node = Node(store, clock, config.state_dir, role)
        await node.start()
        stack.push_async_callback(node.stop)
        yield _compose(config, clock, store, node)


def _compose(config: Config, clock: Clock, store: Store, node: Node) -> App:
    jobs = jobs_of(config)
    controls = _controls(config)
    recorder = _recorder(config, clock, store)
    sight = Sight(recorder, lambda service: config.services[service].critical)
    grace = Grace(clock, controls, sight.record)
    watch = Watch(
        clock,
        LocalPlace(clock, Resolver(clock), journal=store.read),
        [Watched(*each) for each in config.checks()],
        grace.record,
        config.watch,
    )
    heal = _heal_ports(config, controls, watch, recorder)
    health = HealthPorts(
        [name for name, _, _ in config.checks()], lambda one: watch.once([one]), grace.record
    )
    ports = _ports(config, clock, store, heal, health)
    desk = recorder.desk
    hooks = [
        certs.hook(desk),
        hook(desk, lambda job: _severity(job, jobs)),
        _superseded(desk),
        wal.healed(desk),
        fallen.hook(desk),
        holes_hook(desk),
        ailments_hook(desk),
    ]
    runner = Runner(store, clock, node, jobs, ports, hooks)
    return App(config, clock, store, node, jobs, runner, recorder, watch, grace, controls, ports)


def jobs_of(config: Config) -> dict[str, Job]:
    """Make every job by its name: those that databases and the journal need, then those under `jobs:`."""
    jobs: dict[str, Job] = {}
    for name, database in config.databases.items():
        if database.backup is not None:
            jobs |= database_jobs(name, database.backup)
        if database.wal is not None:
            jobs |= wal.jobs_of(name, database.wal)
    for name, dataset in config.data.items():
        jobs |= database_jobs(name, dataset.backup, BackupData)
    jobs |= certs.jobs_of(config.certificates)
    for name, service in config.services.items():
        if service.heal is not None:
            jobs[job_of(name)] = Heal()
    if _in_a_file(config):
        jobs["journal_backup"] = JournalBackup()
    jobs["journal_prune"] = JournalPrune()
    if any(service.checks for service in config.services.values()):
        jobs["health_check"] = HealthCheck()
    for name, job in config.jobs.items():
        if name in jobs and type(jobs[name]) is not type(job):
            raise ConfigError(
                f"jobs.{name}: this name belongs to a job of mainstay's own", hint="choose another"
            )
        jobs[name] = job
    return jobs


def _in_a_file(config: Config) -> bool:
    """Whether the journal is a file to be copied; one in PostgreSQL is backed up like any database."""
    return config.journal is None or (config.journal.resolved and config.journal_url.startswith("sqlite:"))


def _superseded(desk: Desk) -> RunHook:
    """A newer backup that is proven ends the incident of an older one that was found damaged."""

    def ended(tx: Tx, run: Run) -> None:
        kind, _, database = run.job.partition(":")
        if kind == "backup" and run.state is RunState.DONE and run.outcome.get("proven"):
            desk.clear_condition(tx, key_of(f"prove:{database}"), f"a newer backup of {database} is proven")

    return ended


def _severity(job: str, jobs: Mapping[str, Job]) -> Severity:
    found = jobs.get(job)
    critical = isinstance(found, BackupPostgres | ProveBackup | VerifyBackups | wal.CRITICAL)
    critical = critical or (isinstance(found, OwnJob) and found.critical)
    return Severity.CRITICAL if critical else Severity.WARNING


def _recorder(config: Config, clock: Clock, store: Store) -> Recorder:
    channels = [Channel(name, notifier.when) for name, notifier in config.notify.items()]
    targets = {name: service.heal for name, service in config.services.items() if service.heal}
    return Recorder(
        store,
        clock,
        Routing(channels, dashboard_url(config)),
        reactions=[reaction(targets, clock, _incurable(config))],
        rules={name: _rules(name, config) for name in config.services},
    )


def _incurable(config: Config) -> set[str]:
    return {name for name, _, check in config.checks() if not check.cured_by_restart}


def dashboard_url(config: Config) -> str:
    """Give the address of the dashboard for people: the configured one, else where it listens."""
    host = config.web.host if config.web.host not in ("", "0.0.0.0", "::") else "localhost"  # noqa: S104
    return config.web.url or f"http://{host}:{config.web.port}"


def _rules(name: str, config: Config) -> Rules:
    service = config.services[name]
    warn_after = service.warn_after if service.warn_after is not None else config.watch.warn_after
    return Rules(
        critical=service.critical,
        title=service.title,
        warn_after=warn_after,
        oks=config.watch.recover_after,
        needs=tuple(service.depends_on),
    )


def _controls(config: Config) -> dict[str, ServiceControl]:
    return {
        name: control_for(name, service.runs_on, config.state_dir, config.file.parent)
        for name, service in config.services.items()
        if service.runs_on is not None
    }


def _heal_ports(
    config: Config, controls: Mapping[str, ServiceControl], watch: Watch, recorder: Recorder
) -> HealPorts:
    async def probe(service: str) -> list[Result]:
        """Ask, and record what was answered: a recovery that healing saw is told at once."""
        curable = [
            name for name, owner, check in config.checks() if owner == service and check.cured_by_restart
        ]
        found = await watch.once(curable)
        await recorder.record(found)
        return found

    targets = {
        name: HealTarget(controls[name], service.heal, tuple(service.depends_on))
        for name, service in config.services.items()
        if name in controls and service.heal is not None
    }
    return HealPorts(targets, probe, recorder.store, recorder.desk.clock, recorder.desk)


def _ports(
    config: Config, clock: Clock, store: Store, heal: HealPorts, health: HealthPorts
) -> dict[type, object]:
    scratch = Scratch(config.state_dir / "scratch")
    tools = Tools(npm=config.state_dir / "npm")
    backup = BackupPorts(
        store, clock, config.storage, config.databases, scratch, tools, config.timezone, config.data
    )
    path = sqlite_path(config.journal_url) if store.dialect == "sqlite" else None
    prunes = (
        lambda tx, now: outbox.forget(tx, now - MESSAGES_KEPT),
        lambda tx, now: runs.prune(tx, now - RUNS_KEPT),
        gateway.prune,
    )
    journal = JournalPorts(store, path, config.state_dir / "journal-copies", prunes)
    return {
        Store: store,
        Clock: clock,
        BackupPorts: backup,
        CertPorts: certs.ports_of(config, clock, store),
        HealPorts: heal,
        JournalPorts: journal,
        UpkeepPorts: upkeep_ports(config, clock, store),
        HealthPorts: health,
    }
