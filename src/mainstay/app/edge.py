"""The edge process: takes webhooks and carries the gateway. Several may share the work of one machine."""

import asyncio
import gc
import logging
import resource
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from mainstay.app.gateway import House
from mainstay.app.listeners import Edge, Opening, Surroundings
from mainstay.app.ownership import own
from mainstay.app.vigil import Say
from mainstay.config import load
from mainstay.config.model import Config
from mainstay.core.errors import ConfigError, MainstayError
from mainstay.edge.http.exchange import Handler
from mainstay.edge.http.meter import DIRECTORY, Meter
from mainstay.edge.http.witness import PROCESSES
from mainstay.edge.inbox.log import DIRECTORY as DIRECTORY_OF_LOG
from mainstay.edge.inbox.open import open_intake
from mainstay.engine.pulse import FINE
from mainstay.ports.clock import Clock, SystemClock
from mainstay.store.open import open_store

logger = logging.getLogger(__name__)

GATEWAY = House()
"""That of this process."""
TICK = 0.5
"""Seconds between two looks at the log and the certificates."""
SWITCH = 0.0002
"""Seconds after which the journal's thread, or the event loop, lets the other one go on: an answer waits for both."""
SAY_EVERY = 5.0
"""Seconds between two words to the supervisor."""


def handlers_of(config: Config) -> Mapping[str, Opening]:
    """Say who answers on which listener (`webhooks`, `gateway`, `decide`), as far as the configuration asks for it."""
    openings: dict[str, Opening] = {}
    if config.webhooks:
        openings["webhooks"] = _webhooks
    if config.gateway is not None:
        if config.gateway.engine == "built-in":
            openings["gateway"] = GATEWAY.carry
        if config.gateway.asked is not None:
            openings["decide"] = GATEWAY.decide
    return openings


@asynccontextmanager
async def _webhooks(around: Surroundings) -> AsyncIterator[Handler]:
    config, url = around.config, around.config.journal_url
    connect, directory = partial(open_store, url, around.clock), config.state_dir / DIRECTORY_OF_LOG
    opened = open_intake(
        config.webhooks, connect, directory, around.clock, around.meter, config.edge.webhooks_log
    )
    async with opened as intake:
        yield intake


async def serve(
    path: Path,
    say: Say = lambda line: None,
    handlers: Callable[[Config], Mapping[str, Opening]] = handlers_of,
    idle: bool = False,
) -> None:
    """Serve until SIGTERM, which lets requests under way finish; read the file anew at SIGHUP.

    A wrong file is reported and changes nothing. `say` tells the supervisor that this process is well. With
    `idle` it waits for work when the file asks for none.
    """
    wishes: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(sign, wishes.put_nowait, sign)
    config = load(path)
    if not idle and not handlers(config):
        raise ConfigError(
            "there are neither webhooks nor a gateway in this configuration",
            hint="add `webhooks:` or `gateway:`, or leave the edge out",
        )
    own(config.state_dir)
    sys.setswitchinterval(SWITCH)
    allow_many_connections()
    clock = SystemClock()
    meter = Meter(config.state_dir / DIRECTORY)
    meter.cell(PROCESSES).set(1.0)
    edge = Edge(clock, meter, handlers)
    try:
        await edge.apply(config)
        _settle_memory()
        await _obey(wishes, edge, path, asyncio.create_task(_tend(edge, meter, clock, say)))
        await edge.drain()
    finally:
        await edge.close()
        meter.close()


async def _obey(
    wishes: "asyncio.Queue[signal.Signals]", edge: Edge, path: Path, tending: "asyncio.Task[None]"
) -> None:
    """Follow signals until one says to end, or something that must not end has ended."""
    try:
        while True:
            wish = asyncio.ensure_future(wishes.get())
            await asyncio.wait({wish, tending, *edge.tasks()}, return_when=asyncio.FIRST_COMPLETED)
            if not wish.done():
                wish.cancel()
                for task in (tending, *edge.tasks()):
                    if task.done():
                        task.result()
            elif wish.result() is signal.SIGHUP:
                await _read_anew(edge, path)
            else:
                return
    finally:
        tending.cancel()


async def _read_anew(edge: Edge, path: Path) -> None:
    try:
        # In a thread: a large file takes a tenth of a second, in which nobody would be answered.
        await edge.apply(same_engine(await asyncio.to_thread(load, path), edge.config))
    except MainstayError as fault:
        # The agent raises the incident; here the old plan simply stays.
        logger.error("the changed configuration is wrong, the old one stays in force: %s", fault)
    except Exception:
        # To end here would cut everybody off, and a start with the same file would end the same way.
        logger.exception("the changed configuration cannot be put in force, the old one stays")


def same_engine(fresh: Config, before: Config | None) -> Config:
    """Give a changed configuration. Raises `ConfigError` when it wants another engine: two would share an address."""
    old = before.gateway if before else None
    if fresh.gateway and old and fresh.gateway.engine != old.engine:
        raise ConfigError("the gateway's engine changes at a restart only", hint="restart mainstay")
    return fresh


async def _tend(edge: Edge, meter: Meter, clock: Clock, say: Say) -> None:
    said = clock.monotonic() - SAY_EVERY
    while True:
        meter.beat(clock.now())
        await edge.tend()
        if clock.monotonic() - said >= SAY_EVERY:
            said = clock.monotonic()
            say(FINE)
        await clock.sleep(TICK)


def allow_many_connections() -> None:
    """Use as many descriptors as the system lets us have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _settle_memory() -> None:
    """What was made so far stays: the collector need not look at it again, nor so often at what comes."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
