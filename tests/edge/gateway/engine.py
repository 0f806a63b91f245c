"""An Envoy run by its keeper, in the place of the one that `mainstay up` would run."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mainstay.edge.gateway.envoy.keeper import Keeper
from mainstay.edge.gateway.envoy.plan import Plan, plan_of
from mainstay.edge.gateway.envoy.shelf import Shelf
from mainstay.edge.gateway.export import Site
from mainstay.edge.gateway.settings import GatewaySettings
from mainstay.edge.http.settings import EdgeSettings
from mainstay.ports.clock import SystemClock
from tests.edge.gateway.fronts import envoy
from tests.helpers import aeventually
from tests.servers.process import free_port


class Engine:
    """It listens on `port` and asks at `asked`."""

    kind = "envoy"

    def __init__(self, directory: Path, asked: int) -> None:
        self.port, self.asked = free_port(), asked
        self.log = directory / "envoy.log"
        self.shelf = Shelf(directory)
        self.keeper = Keeper(Path(envoy()), self.shelf, SystemClock(), 1)

    def plan(self, settings: GatewaySettings, **edge: Any) -> Plan:
        """What it would do by a configuration."""
        given = {
            "gateway": f"127.0.0.1:{self.port}", "decide": f"127.0.0.1:{self.asked}", "trusted_proxies": [], **edge,
        }  # fmt: skip
        made = EdgeSettings.model_validate(given)
        site = Site(made, settings, False, made.gateway, "/", supervised=True)
        return plan_of(site, self.shelf.directory, self.log)

    async def take(self, settings: GatewaySettings, **edge: Any) -> None:
        """Have it do that."""
        await self.keeper.take(self.plan(settings, **edge))

    def kill(self) -> None:
        """Kill the program itself, as a crash would."""
        os.kill(self.pid, signal.SIGKILL)

    @property
    def pid(self) -> int:
        """The process that is Envoy."""
        program = os.path.realpath(envoy())
        for process in Path("/proc").glob("[0-9]*"):
            try:
                mine = str(self.shelf.directory).encode() in (process / "cmdline").read_bytes()
                if mine and os.path.realpath(process / "exe") == program:
                    return int(process.name)
            except OSError:
                continue
        raise LookupError("it does not run")


@asynccontextmanager
async def running(
    directory: Path, asked: int, settings: GatewaySettings, **edge: Any
) -> AsyncIterator[Engine]:
    """Run it until the block ends."""
    engine = Engine(directory, asked)
    await engine.take(settings, **edge)
    task = asyncio.create_task(engine.keeper.run())
    try:
        await serves(engine)
        yield engine
    finally:
        await engine.keeper.end(0.0)
        await task


async def serves(engine: Engine) -> None:
    """Wait until it does its work."""
    await aeventually(lambda: engine.keeper.trouble is None, 30)
