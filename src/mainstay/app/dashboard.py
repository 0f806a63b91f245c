"""The web process: the dashboard, the JSON API and the metrics."""

import asyncio
import logging
import signal
from pathlib import Path

from starlette.applications import Starlette

from mainstay.app.compose import jobs_of
from mainstay.app.plan import plan_of
from mainstay.config import load
from mainstay.config.model import Config
from mainstay.core.errors import ConfigError
from mainstay.edge.http.meter import DIRECTORY
from mainstay.ports.clock import SystemClock
from mainstay.store.open import open_store
from mainstay.web.app import create_app
from mainstay.web.plan import Plan
from mainstay.web.serve import serve as serve_web

logger = logging.getLogger(__name__)


async def serve(path: Path) -> None:
    """Serve until SIGTERM. SIGHUP reads the file anew; a wrong one leaves what is shown as it was."""
    config = load(path)
    clock = SystemClock()
    store = await open_store(config.journal_url, clock)
    try:
        app = create_app(store, clock, config.web, _plan(config), config.state_dir / DIRECTORY)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _read_anew, app, path)
        await serve_web(app, config.web)
    finally:
        await store.close()


def _plan(config: Config) -> Plan:
    return plan_of(config, jobs_of(config))


def _read_anew(app: Starlette, path: Path) -> None:
    try:
        app.state.site.plan = _plan(load(path))
    except ConfigError as fault:
        # The agent raises the incident; here the old plan simply stays.
        logger.warning("the changed configuration is wrong: %s", fault)
