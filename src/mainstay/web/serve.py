"""Serve the application until it is told to stop."""

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette

from mainstay.config.web import WebSettings
from mainstay.core.errors import MainstayError

PATIENCE = 5
"""Seconds that open requests get to finish after the signal to stop."""


class Server(uvicorn.Server):
    """A server that ends its live streams first, so that stopping takes no longer than the slowest page."""

    def __init__(
        self, config: uvicorn.Config, app: Starlette, *, signals: bool, ready: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._starlette = app
        self._signals = signals
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    def stop(self) -> None:
        """Take no more requests, finish those under way."""
        self._starlette.state.site.live.end()
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if not self._signals:
            yield
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)


async def serve(
    app: Starlette,
    settings: WebSettings,
    *,
    ready: Callable[[str], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve until `stop` is set or, without one, until SIGTERM or SIGINT. `ready` is told the address.

    Raises `MainstayError` when the address cannot be had.
    """
    listening = bind(settings)
    host, port = listening.getsockname()[:2]
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=True,
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=PATIENCE,
        timeout_keep_alive=30,
        h11_max_incomplete_event_size=32 * 1024,
    )
    tell = ready or (lambda url: None)
    server = Server(config, app, signals=stop is None, ready=lambda: tell(address(host, port)))
    watcher = asyncio.create_task(_stop_when(server, stop)) if stop else None
    try:
        await server.serve(sockets=[listening])
    finally:
        listening.close()
        if watcher:
            watcher.cancel()


def bind(settings: WebSettings) -> socket.socket:
    """Take the address to listen on. Raises `MainstayError`."""
    host = settings.host or "0.0.0.0"  # noqa: S104 - somebody wrote `:8420`
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, settings.port), family=family, backlog=256)
    except OSError as error:
        raise MainstayError(
            f"the dashboard cannot listen on {settings.listen}: {_reason(error)}",
            hint="something else may listen there; set web.listen to another port",
        ) from error


def _reason(error: OSError) -> str:
    """What the system says; Python adds an address in its own spelling, which is the one just named."""
    return (error.strerror or str(error)).partition(" (while attempting")[0]


def address(host: str, port: int) -> str:
    """The URL that a browser on this machine can open."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - said, not bound
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _stop_when(server: Server, stop: asyncio.Event) -> None:
    await stop.wait()
    server.stop()
