"""What `mainstay up` does: supervise the agent and the web process, or be one of them."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from mainstay.app.compose import dashboard_url
from mainstay.app.ownership import alone, own
from mainstay.app.vigil import Vigil
from mainstay.config import load
from mainstay.config.model import Config
from mainstay.engine.pulse import speaker
from mainstay.engine.supervise import Supervisor, follow
from mainstay.ports.clock import SystemClock
from mainstay.store import accounts
from mainstay.store.open import open_store

Part = Literal["agent", "web"]
PARTS: tuple[Part, ...] = ("agent", "web")


async def supervise(path: Path, say: Callable[[str], None]) -> None:
    """Check the configuration, prepare the journal, then keep both processes running until SIGTERM."""
    config = load(path)
    own(config.state_dir)
    with alone(config.state_dir):
        await _supervise(config, say)


async def _supervise(config: Config, say: Callable[[str], None]) -> None:
    password = await _prepare(config)
    say(f"{config.title or config.name}: the dashboard is at {dashboard_url(config)}")
    if password:
        say(f"log in as admin with the password {password} (shown once; mainstay password sets another)")
    children: dict[str, list[str]] = {
        part: [*_command(), "up", "--only", part, "--config", str(config.file)] for part in PARTS
    }
    clock = SystemClock()
    vigil = Vigil(clock, config, lambda: supervisor.kill("agent"))
    supervisor = Supervisor(clock, children, heard=vigil.hear)
    keeping = asyncio.create_task(vigil.serve())
    try:
        await supervisor.serve()
    finally:
        keeping.cancel()


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
    """Be the agent or the web process until SIGTERM."""
    follow()
    say = speaker()
    from mainstay.app import agent, dashboard

    asyncio.run(agent.serve(path, say) if part == "agent" else dashboard.serve(path))
