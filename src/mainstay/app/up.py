"""What `mainstay up` does: supervise the agent, the web process and the edge, or be one of them."""

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from mainstay.app.compose import dashboard_url
from mainstay.app.ownership import alone, own
from mainstay.app.vigil import Vigil
from mainstay.config import load
from mainstay.config.model import Config
from mainstay.core.errors import MainstayError
from mainstay.core.listen import within
from mainstay.edge.gateway.envoy.program import find
from mainstay.engine.pulse import speaker
from mainstay.engine.supervise import Supervisor, follow
from mainstay.ports.clock import SystemClock
from mainstay.store import accounts
from mainstay.store.open import open_store

Part = Literal["agent", "web", "edge", "envoy"]


async def supervise(path: Path, say: Callable[[str], None]) -> None:
    """Check the configuration, prepare the journal, then keep all processes running until SIGTERM."""
    config = load(path)
    own(config.state_dir)
    with alone(config.state_dir):
        await _supervise(config, say)


async def _supervise(config: Config, say: Callable[[str], None]) -> None:
    if config.gateway is not None and config.gateway.engine == "envoy":
        find(config.gateway.envoy)  # told now, not by a process that falls again and again
    password = await _prepare(config)
    say(f"{config.title or config.name}: the dashboard is at {dashboard_url(config)}")
    for line in edge_lines(config):
        say(line)
    if password:
        say(f"log in as admin with the password {password} (shown once; mainstay password sets another)")
    clock = SystemClock()
    vigils: dict[str, Vigil] = {}
    keeping: list[asyncio.Task[None]] = []

    def watch() -> dict[str, list[str]]:
        """Give the commands of the children, each with a vigil but for the web process."""
        nonlocal config
        config = _read_anew(config)
        commands = _commands(config)
        for name in commands.keys() - vigils.keys() - {"web"}:
            vigils[name] = Vigil(clock, config, partial(supervisor.kill, name), name)
            keeping.append(asyncio.create_task(vigils[name].serve()))
        return commands

    supervisor = Supervisor(
        clock,
        _commands(config),
        heard=lambda name, line: vigils[name].hear(name, line) if name in vigils else None,
        wanted=watch,
    )
    watch()
    try:
        await supervisor.serve()
    finally:
        for task in keeping:
            task.cancel()


def edge_lines(config: Config) -> list[str]:
    """Say where the edge listens, if there is one."""
    edge = config.edge

    def at(listener: str) -> str:
        return within(edge.address(listener), tls=edge.secures(listener))

    lines = []
    if config.webhooks:
        lines.append(f"webhooks are taken at {at('webhooks')}/NAME")
    if config.gateway is not None:
        lines.append(f"the gateway is at {at('gateway')}")
        if config.gateway.asked is not None and config.gateway.engine == "built-in":
            lines.append(f"other proxies ask it at {at('decide')}/decide/")
    return lines


def _commands(config: Config) -> dict[str, list[str]]:
    return {
        name: [*_command(), "up", "--only", part, "--config", str(config.file)]
        for name, part in children_of(config).items()
    }


def _read_anew(before: Config) -> Config:
    """Read the file; where it is wrong, or there are edges already, it stays as it was before.

    The first edges may come by a changed file. More of them need a start: they share an address from the beginning.
    """
    try:
        fresh = load(before.file)
    except MainstayError:
        return before  # the agent tells people
    edges = [name for name, part in children_of(before).items() if part == "edge"]
    if not edges:
        return fresh
    # A gateway that was not there before may bring its Envoy.
    if before.gateway is None and fresh.gateway is not None:
        return before.model_copy(update={"gateway": fresh.gateway})
    return before


def children_of(config: Config) -> dict[str, Part]:
    """Name the processes that this configuration needs, each with the part that it plays."""
    edges = config.edge.processes if config.webhooks or config.gateway is not None else 0
    names = ["edge"] if edges == 1 else [f"edge-{number}" for number in range(1, edges + 1)]
    carried = config.gateway is not None and config.gateway.engine == "envoy"
    return {
        "agent": "agent",
        "web": "web",
        **dict.fromkeys(names, "edge"),
        **dict.fromkeys(["envoy"] if carried else [], "envoy"),
    }


async def _prepare(config: Config) -> str | None:
    """Open the journal once, so that faults show here and not in a child; give a fresh password if there is none."""
    clock = SystemClock()
    store = await open_store(config.journal_url, clock)
    try:
        return await store.write(lambda tx: accounts.ensure_admin(tx, clock.now()))
    finally:
        await store.close()


def _command() -> list[str]:
    return [sys.executable, "-m", "mainstay"]


def run_part(part: Part, path: Path) -> None:
    """Be the agent, the web process, an edge or the keeper of Envoy until SIGTERM."""
    supervised = follow()
    say = speaker()
    if part == "edge":
        import uvloop

        from mainstay.app import edge

        uvloop.run(edge.serve(path, say, idle=supervised))
        return
    if part == "envoy":
        from mainstay.app import envoy

        asyncio.run(envoy.serve(path, say))
        return
    from mainstay.app import agent, dashboard

    asyncio.run(agent.serve(path, say) if part == "agent" else dashboard.serve(path))
