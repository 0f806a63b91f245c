"""The web process: the dashboard, the JSON API and the metrics."""

from pathlib import Path

from mainstay.app.compose import jobs_of
from mainstay.app.plan import plan_of
from mainstay.config import load
from mainstay.ports.clock import SystemClock
from mainstay.store.open import open_store


async def serve(path: Path) -> None:
    """Serve until SIGTERM. The configuration is read at the start."""
    from mainstay.web.app import create_app
    from mainstay.web.serve import serve as serve_web

    config = load(path)
    clock = SystemClock()
    store = await open_store(config.journal_url, clock)
    try:
        app = create_app(store, clock, config.web, plan_of(config, jobs_of(config)))
        await serve_web(app, config.web)
    finally:
        await store.close()
