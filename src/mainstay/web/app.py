"""The web application: routes, guards, life."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from mainstay.config.web import WebSettings
from mainstay.core.errors import MainstayError
from mainstay.ports.clock import Clock
from mainstay.store.base import Store
from mainstay.web import api, metrics
from mainstay.web.pages import (
    account,
    backups,
    certificates,
    channels,
    gateway,
    inbox,
    incidents,
    jobs,
    overview,
    readiness,
    service,
    stream,
)
from mainstay.web.plan import Plan
from mainstay.web.security import Guard, Headers, action, problem
from mainstay.web.site import Site, missing
from mainstay.web.static import static


def create_app(
    store: Store, clock: Clock, settings: WebSettings, plan: Plan, meters: Path | None = None
) -> Starlette:
    """Make the application. `app.state.site.plan` may be replaced when the configuration is read anew.

    `meters` is the directory where the edge's processes keep what they count.
    """
    site = Site(store, clock, settings, plan, meters)

    @asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        site.live.start()
        try:
            yield
        finally:
            await site.live.close()

    app = Starlette(
        routes=routes(),
        middleware=[
            Middleware(Headers),
            Middleware(GZipMiddleware, minimum_size=1000, compresslevel=5),
            Middleware(Guard, store=store, clock=clock, settings=settings),
        ],
        exception_handlers={HTTPException: _http_error, MainstayError: _expected},
        lifespan=life,
    )
    app.state.site = site
    return app


def routes() -> list[BaseRoute]:
    """Every address there is."""
    return [
        Route("/", overview.overview),
        Route("/services/{name}", service.service),
        Route("/services/{name}/silence", action(service.silence), methods=["POST"]),
        Route("/silences/{id}/end", action(service.end_silence), methods=["POST"]),
        Route("/incidents", incidents.listing),
        Route("/incidents/{id}.md", incidents.post_mortem),
        Route("/incidents/{id}", incidents.incident),
        Route("/incidents/{id}/acknowledge", action(incidents.acknowledge), methods=["POST"]),
        Route("/incidents/{id}/resolve", action(incidents.resolve), methods=["POST"]),
        Route("/incidents/{id}/note", action(incidents.note), methods=["POST"]),
        Route("/jobs", jobs.listing),
        Route("/jobs/{name}", jobs.job),
        Route("/jobs/{name}/run", action(jobs.run_now), methods=["POST"]),
        Route("/runs/{id}", jobs.run),
        Route("/runs/{id}/log", stream.log),
        Route("/runs/{id}/cancel", action(jobs.cancel), methods=["POST"]),
        Route("/runs/{id}/retry", action(jobs.retry), methods=["POST"]),
        Route("/backups", backups.listing),
        Route("/backups/{database}", backups.database),
        Route("/certificates", certificates.listing),
        Route("/channels", channels.listing),
        Route("/gateway", gateway.overview),
        Route("/inbox", inbox.listing),
        Route("/inbox/replay", action(inbox.replay_many), methods=["POST"]),
        Route("/inbox/{id}", inbox.event),
        Route("/inbox/{id}/body", inbox.raw),
        Route("/inbox/{id}/replay", action(inbox.replay_one), methods=["POST"]),
        Route("/readiness", readiness.scorecard),
        Route("/help", account.keyboard),
        Route("/theme", action(account.theme), methods=["POST"]),
        Route("/login", account.login_page),
        Route("/login", account.login, methods=["POST"]),
        Route("/logout", action(account.logout), methods=["POST"]),
        Route("/events", stream.events),
        Route("/healthz", metrics.healthz),
        Route("/metrics", metrics.metrics),
        Route("/static/{version}/{name:path}", static),
        *api.routes(),
    ]


async def _http_error(request: Request, error: Exception) -> Response:
    fault = cast(HTTPException, error)
    if _for_programs(request):
        return problem(fault.status_code, fault.detail)
    if fault.status_code == 404 and request.state.login:
        return await missing(
            request, "There is no such page", "Look at the address, or begin at the overview."
        )
    return Response(f"{fault.detail}\n", fault.status_code, fault.headers, media_type="text/plain")


async def _expected(request: Request, error: Exception) -> Response:
    """A fault that a person can do something about is told in its own words."""
    fault = cast(MainstayError, error)
    if _for_programs(request):
        return problem(409, fault.what, fault.hint)
    return await missing(request, fault.what, fault.hint or "", status=409)


def _for_programs(request: Request) -> bool:
    return request.url.path.startswith("/api/") or "text/html" not in request.headers.get("accept", "")
