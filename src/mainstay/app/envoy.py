"""The process beside the edge that runs Envoy, when that is the gateway's engine: it carries, and asks the edge."""

import asyncio
import logging
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mainstay.app.edge import TICK, allow_many_connections, same_engine
from mainstay.app.ownership import own
from mainstay.app.vigil import Say
from mainstay.config import load
from mainstay.config.model import Config
from mainstay.core.errors import ConfigError, MainstayError
from mainstay.edge.gateway.contact import Contact
from mainstay.edge.gateway.envoy.counts import STARTS, UP
from mainstay.edge.gateway.envoy.keeper import Keeper
from mainstay.edge.gateway.envoy.plan import NOTHING, Plan, plan_of
from mainstay.edge.gateway.envoy.program import find
from mainstay.edge.gateway.envoy.shelf import DIRECTORY, Shelf
from mainstay.edge.gateway.export import Site
from mainstay.edge.http import meter
from mainstay.edge.http.meter import Meter
from mainstay.edge.http.tls import Certificates
from mainstay.edge.proxy.control import controlled, no_swap
from mainstay.engine.pulse import FINE
from mainstay.ports.clock import Clock, SystemClock

logger = logging.getLogger(__name__)

LOOK_EVERY = 5.0
"""Seconds between two questions whether Envoy is well."""


async def serve(path: Path, say: Say = lambda line: None) -> None:
    """Run Envoy until SIGTERM, which lets requests under way finish; have it take the file over anew at SIGHUP.

    A wrong file is reported and changes nothing.
    """
    wishes: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(sign, wishes.put_nowait, sign)
    config = load(path)
    program = _wanted(config)
    own(config.state_dir)
    allow_many_connections()
    clock = SystemClock()
    shelf = Shelf(config.state_dir / DIRECTORY)
    runner = Runner(Keeper(program, shelf, clock, config.edge.processes), shelf, clock, config)
    await runner.serve(path, wishes, say)


def _wanted(config: Config) -> Path:
    if config.gateway is None or config.gateway.engine != "envoy":
        raise ConfigError(
            "the gateway's engine is not envoy",
            hint="add `engine: envoy` under `gateway:`, or leave it out",
        )
    return find(config.gateway.envoy)


class Runner:
    """A keeper with what it is made for: signals, certificates, the access log, people's questions."""

    def __init__(self, keeper: Keeper, shelf: Shelf, clock: Clock, config: Config) -> None:
        self._keeper = keeper
        self._shelf = shelf
        self._clock = clock
        self._config = config
        self._certificates: Certificates | None = None
        self._contact = Contact("envoy", config.edge.gateway, clock, grave=True)

    async def serve(self, path: Path, wishes: "asyncio.Queue[signal.Signals]", say: Say) -> None:
        """Follow signals until one says to end."""
        await self._take(self._config)
        directory = self._config.state_dir / meter.DIRECTORY
        directory.mkdir(parents=True, exist_ok=True)
        counted = Meter(directory)
        async with controlled(self, directory, self._clock, lambda: [self._contact]):
            tasks = [asyncio.create_task(self._keeper.run()), asyncio.create_task(self._tend(counted, say))]
            try:
                await self._obey(path, wishes, tasks)
                if not await self._keeper.end(self._config.edge.drain_timeout):
                    logger.warning("requests through Envoy did not end in time and were cut off")
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                counted.close()

    async def _obey(
        self, path: Path, wishes: "asyncio.Queue[signal.Signals]", tasks: "list[asyncio.Task[None]]"
    ) -> None:
        while True:
            wish = asyncio.ensure_future(wishes.get())
            await asyncio.wait({wish, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            if not wish.done():
                wish.cancel()
                for task in tasks:
                    if task.done():
                        task.result()
            elif wish.result() is signal.SIGHUP:
                await self._read_anew(path)
            else:
                return

    async def _read_anew(self, path: Path) -> None:
        try:
            await self._take(same_engine(load(path), self._config))
        except MainstayError as fault:
            # The agent raises the incident of a wrong file; here the old plan simply stays.
            logger.error("Envoy does not follow the changed configuration: %s", fault)

    async def _take(self, config: Config) -> None:
        certificates = Certificates(config.edge.tls) if config.edge.tls else None
        if certificates is not None:
            certificates.context()  # what is wrong with them is said in our words
        await self._keeper.take(self._plan(config))
        self._config, self._certificates = config, certificates

    def _plan(self, config: Config) -> Plan:
        if config.gateway is None:
            return NOTHING
        site = Site(config.edge, config.gateway, False, config.edge.gateway, "/", supervised=True)
        return plan_of(site, self._shelf.directory, log_of(config))

    async def _tend(self, counted: Meter, say: Say) -> None:
        """Do what has to be done now and then."""
        up, starts = counted.cell(UP), counted.cell(STARTS)
        looked, told = self._clock.monotonic(), 0
        while True:
            counted.beat(self._clock.now())
            if self._clock.monotonic() - looked >= LOOK_EVERY:
                looked = self._clock.monotonic()
                await self._keeper.look()
                say(FINE)  # it is the agent that tells people how Envoy is
                if self._keeper.trouble is None:
                    self._contact.good()
                else:
                    self._contact.bad(self._keeper.trouble)
            up.set(0.0 if self._keeper.trouble else 1.0)
            starts.add(self._keeper.starts - told)
            told = self._keeper.starts
            self._look_at_certificates()
            await self._look_at_log()
            await self._clock.sleep(TICK)

    def _look_at_certificates(self) -> None:
        certificates = self._certificates
        if certificates is None or not certificates.changed():
            return
        try:
            certificates.context()
        except MainstayError as fault:
            logger.error("the new certificates are wrong, the old ones stay in force: %s", fault)
            return
        self._keeper.renew_certificates()
        logger.info("the certificates were renewed")

    async def _look_at_log(self) -> None:
        """Begin the access log anew when it is large; the one before is kept beside it."""
        log = log_of(self._config)
        try:
            if log is None or log.stat().st_size < self._config.edge.access_log_size:
                return
            log.replace(log.with_name(f"{log.name}.1"))
            await self._keeper.reopen_log()
        except (OSError, MainstayError) as fault:
            logger.debug("the access log of Envoy is as it was: %s", fault)

    # --- what people ask (`mainstay gateway`)

    async def look(self) -> Sequence[Mapping[str, Any]]:
        """Give how the origins of every route are."""
        return await self._keeper.origins()

    async def swap(self, route: str, origins: Sequence[str], *, within: float) -> None:
        """Say that it cannot be done. Raises `MainstayError`."""
        raise no_swap(route)


def log_of(config: Config) -> Path | None:
    """Give the path of Envoy's access log: beside that of the edge, and called after it."""
    path = config.edge.log_file(config.state_dir)
    return path.with_name(f"envoy-{path.name}") if path else None
