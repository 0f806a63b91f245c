"""The agent process: asks the checks, runs the jobs, opens incidents, sends what is owed."""

import asyncio
import importlib
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mainstay.app import certs
from mainstay.app.compose import App, jobs_of, open_app
from mainstay.app.ownership import own
from mainstay.app.vigil import Say, report
from mainstay.app.wal import keep_logs, known_logs
from mainstay.app.webhooks import bring_in
from mainstay.config import load
from mainstay.config.model import Config
from mainstay.core.errors import MainstayError
from mainstay.core.incident import Severity
from mainstay.core.service import Process
from mainstay.engine.lease import Lease
from mainstay.engine.patience import patiently
from mainstay.engine.scheduler import Scheduler
from mainstay.incidents.leftovers import Known, tidy
from mainstay.ports.clock import SystemClock
from mainstay.ports.services.process import ProcessControl
from mainstay.store import gateway
from mainstay.store.open import open_store

logger = logging.getLogger(__name__)

CONFIG_CONDITION = "config"
NEEDED_IN_A_HURRY = ("aiohttp", "psycopg")
"""What an alert or a second look would otherwise have to wait for: importing takes up to a second on a busy machine."""


async def serve(path: Path, say: Say = lambda line: None) -> None:
    """Serve until SIGTERM; read the file anew at SIGHUP and go on with the old plan when it is wrong.

    `say` tells the supervisor how the agent is.
    """
    wishes: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(sign, wishes.put_nowait, sign)
    config: Config | None = load(path)
    for library in NEEDED_IN_A_HURRY:
        await asyncio.to_thread(importlib.import_module, library)
    while config is not None:
        config = await _serve_one(config, path, wishes, say)


async def _serve_one(
    config: Config, path: Path, wishes: "asyncio.Queue[signal.Signals]", say: Say
) -> Config | None:
    """Serve one configuration; give the next one, or None when it is time to end."""
    async with open_app(config, role="agent") as app:
        await app.store.write(lambda tx: app.desk.clear_condition(tx, CONFIG_CONDITION, "the file is right"))
        if not _carries(config):
            await app.store.write(lambda tx: gateway.forget(tx, app.node.host))
        async with _working(app, say) as work:
            while not work.done():
                wish = asyncio.ensure_future(wishes.get())
                await asyncio.wait({wish, work}, return_when=asyncio.FIRST_COMPLETED)
                if not wish.done():
                    wish.cancel()
                    break
                if wish.result() is not signal.SIGHUP:
                    return None
                fresh = await _read_anew(app, path)
                if fresh is not None:
                    logger.info("%s was read anew and is in force", path)
                    return fresh
        work.result()
    return None


async def _read_anew(app: App, path: Path) -> Config | None:
    try:
        fresh = load(path)
        await _rehearse(app.config, fresh)
    except MainstayError as fault:
        words = str(fault)
        logger.error("the new configuration is wrong, the old one stays in force: %s", words)
        await app.store.write(
            lambda tx: app.desk.raise_condition(
                tx,
                CONFIG_CONDITION,
                service="mainstay",
                severity=Severity.WARNING,
                title="The changed configuration is wrong; the old one stays in force",
                detail=words,
                hint="mainstay config check",
            )
        )
        return None
    return fresh


async def _rehearse(old: Config, fresh: Config) -> None:
    """Make sure that what the file asks for can be had, while there is still an agent to say that it cannot."""
    jobs_of(fresh)
    own(fresh.state_dir)
    if fresh.journal_url != old.journal_url:
        await (await open_store(fresh.journal_url, SystemClock())).close()


@asynccontextmanager
async def _working(app: App, say: Say) -> "AsyncIterator[asyncio.Task[None]]":
    app.grace.give(await _start_processes(app))
    await certs.begin(app.config, app.clock, app.store)
    work = asyncio.create_task(_work(app, say))
    try:
        yield work
    finally:
        await app.runner.stop()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def _work(app: App, say: Say) -> None:
    """Everything the agent does, side by side; one part that falls over ends all, and the supervisor starts anew."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(app.runner.serve())
        tasks.create_task(Scheduler(app.store, app.clock, app.jobs, app.config.timezone).serve())
        tasks.create_task(_watch(app))
        tasks.create_task(report(app, say))
        tasks.create_task(bring_in(app))
        if app.config.webhooks:
            tasks.create_task(_deliver(app))
        if _carries(app.config):
            tasks.create_task(app.look_at_gateway())
        tasks.create_task(keep_logs(app))
        for sender in app.senders():
            tasks.create_task(sender.run())
        for control in app.controls.values():
            if isinstance(control, ProcessControl):
                tasks.create_task(control.tend())


async def _watch(app: App) -> None:
    """Ask the checks while this node holds the role; with several nodes on one journal one of them does."""
    config = app.config
    known = Known(
        {check for check, _, _ in config.checks()},
        set(app.jobs),
        set(config.notify),
        set(config.webhooks),
        gateway=_carries(config),
        logs=known_logs(config),
    )

    async def ask() -> None:
        await patiently(app.store, app.clock, lambda tx: tidy(tx, app.desk, known))
        await app.watch.serve()

    async with Lease(app.store, app.clock, app.node, "checks") as lease:
        await lease.keep(ask)


def _carries(config: Config) -> bool:
    """Whether there is a gateway of mainstay's own to look at; what another engine carries it does not see."""
    return config.gateway is not None and bool(config.gateway.carried)


async def _deliver(app: App) -> None:
    """Deliver webhooks while this node holds that role; who asks the checks is another matter."""
    async with Lease(app.store, app.clock, app.node, "deliveries") as lease:
        await lease.keep(app.deliver)


async def _start_processes(app: App) -> list[str]:
    """Start the services that mainstay itself runs and that do not run; give their names."""
    started: list[str] = []
    for name, service in app.config.services.items():
        if isinstance(service.runs_on, Process):
            try:
                if await app.controls[name].ensure_running():
                    logger.info("started %s", name)
                    started.append(name)
            except MainstayError as fault:
                logger.error("cannot start %s: %s", name, fault)
    return started
