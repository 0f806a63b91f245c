"""What every page shares: the journal, the clock, the plan, the templates."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from mainstay import __version__
from mainstay.config.web import WebSettings
from mainstay.ports.clock import Clock
from mainstay.store import views
from mainstay.store.base import Row, Store, Tx
from mainstay.web.bars import Bars
from mainstay.web.live import Live
from mainstay.web.plan import Plan
from mainstay.web.security import Guesses, mask
from mainstay.web.words import Moments

STALE = 15.0
"""Seconds without a beat of the agent after which what is shown is called old."""


class Site:
    """Built once; `plan` may be replaced while it runs."""

    def __init__(
        self, store: Store, clock: Clock, settings: WebSettings, plan: Plan, meters: Path | None = None
    ) -> None:
        from mainstay.web.render import environment

        self.store = store
        self.clock = clock
        self.settings = settings
        self.plan = plan
        self.meters = meters
        self.live = Live(store, clock)
        self.bars = Bars(store, clock)
        self.latencies = Latencies()
        self.card: Any = None
        self.guesses = Guesses(clock)
        self.hashing = asyncio.Semaphore(2)
        self.templates = environment()

    def moments(self) -> Moments:
        """Write times as seen from now."""
        return Moments(self.clock.now(), self.plan.timezone)

    @property
    def checks(self) -> list[str]:
        """Every configured check."""
        return [check.id for service in self.plan.services for check in service.checks]


class Latencies:
    """Each check's p95, kept a while; see `mainstay.web.latencies`."""

    def __init__(self) -> None:
        self.known: dict[str, float] = {}
        self.read_at = float("-inf")


class Beat:
    """Whether the agent is alive, and since when not: what is shown is only as good as that."""

    def __init__(self, frame: Row, now: float) -> None:
        self.at: float | None = frame.get("beat_at")
        self.measured_at: float | None = frame.get("measured_at")
        self.age = None if self.at is None else max(0.0, now - self.at)
        self.alive = self.age is not None and self.age < STALE

    @property
    def since(self) -> float | None:
        """When the agent was last heard of: its beat, or else its last answer."""
        return self.at if self.at is not None else self.measured_at


def site_of(request: Request) -> Site:
    """The site that a request is for."""
    site: Site = request.app.state.site
    return site


async def show(
    request: Request, template: str, look: Callable[[Tx], dict[str, Any]], *, status: int = 200, **more: Any
) -> Response:
    """Answer with a page made from one consistent look at the journal."""
    site = site_of(request)

    def unit(tx: Tx) -> tuple[Row, dict[str, Any]]:
        return views.frame(tx), look(tx)

    frame, found = await site.store.read(unit)
    return page(request, template, frame, found | more, status)


def page(request: Request, template: str, frame: Row, context: dict[str, Any], status: int = 200) -> Response:
    """Render a page."""
    site = site_of(request)
    login = getattr(request.state, "login", None)
    now = site.clock.now()
    theme = request.cookies.get("mainstay_theme")
    context = {
        "plan": site.plan,
        "frame": frame,
        "beat": Beat(frame, now),
        "login": login,
        "scored": site.plan.readiness is not None,
        "carries": bool(site.plan.routes) or request.url.path.startswith("/gateway"),
        "receives": bool(site.plan.sources) or request.url.path.startswith("/inbox"),
        "certified": bool(site.plan.certificates) or request.url.path == "/certificates",
        "csrf": mask(login.csrf) if login else "",
        "theme": theme if theme in ("light", "dark") else None,
        "path": request.url.path,
        "here": request.url.path + (f"?{request.url.query}" if request.url.query else ""),
        "m": site.moments(),
        "now": now,
        "version": __version__,
        **context,
    }
    return HTMLResponse(site.templates.get_template(template).render(context), status)


async def missing(
    request: Request, what: str, hint: str = "It may have been renamed or pruned.", *, status: int = 404
) -> Response:
    """Answer that something is not there."""
    return await show(request, "error.html", lambda tx: {"what": what, "hint": hint}, status=status)
