"""The listeners of an edge process, and how one configuration follows another without a request lost."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass

from mainstay.config.model import Config
from mainstay.core.errors import MainstayError
from mainstay.core.listen import split
from mainstay.edge.http.accesslog import AccessLog
from mainstay.edge.http.exchange import Handler
from mainstay.edge.http.meter import Meter
from mainstay.edge.http.server import Server
from mainstay.edge.http.settings import EdgeSettings
from mainstay.edge.http.tls import Certificates
from mainstay.edge.http.trust import Trust
from mainstay.edge.http.turn import Turn
from mainstay.edge.http.witness import DROPPED, Witness
from mainstay.ports.clock import Clock

logger = logging.getLogger(__name__)

ENDING = 5.0
"""Seconds that handlers which were replaced before have to close in the end."""
LOOK_EVERY = 0.1
"""Seconds between two looks whether a handler's last request is answered."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a handler is made of."""

    config: Config
    clock: Clock
    meter: Meter


Opening = Callable[[Surroundings], AbstractAsyncContextManager[Handler]]
"""Opens what a handler needs and gives the handler; it is left when the handler's last request is answered."""


class Tenure:
    """A handler from its opening to its closing, in a task of its own, as task groups want it."""

    def __init__(self, opening: AbstractAsyncContextManager[Handler]) -> None:
        self._opened: asyncio.Future[Handler] = asyncio.get_running_loop().create_future()
        self._over = asyncio.Event()
        self.task = asyncio.create_task(self._run(opening))

    async def handler(self) -> Handler:
        """Give it once it is open. Raises what the opening raised."""
        return await asyncio.shield(self._opened)

    async def end(self) -> None:
        """Close it, and wait until it is."""
        self._over.set()
        await self.task

    async def _run(self, opening: AbstractAsyncContextManager[Handler]) -> None:
        try:
            async with opening as handler:
                self._opened.set_result(handler)
                await self._over.wait()
        except Exception as fault:
            if self._opened.done():
                raise
            self._opened.set_exception(fault)


@dataclass(slots=True)
class Listener:
    """A server, what it was made of, and who answers."""

    server: Server
    witness: Witness
    address: str
    tenure: Tenure


class Edge:
    """All listeners of one process."""

    def __init__(
        self, clock: Clock, meter: Meter, openings: Callable[[Config], Mapping[str, Opening]]
    ) -> None:
        self.listeners: dict[str, Listener] = {}
        self._clock = clock
        self._meter = meter
        self._openings = openings
        self.config: Config | None = None
        self._certificates: Certificates | None = None
        self._log: AccessLog | None = None
        self._dropped = meter.cell(DROPPED)
        self._counted = 0
        self._leaving: set[asyncio.Task[None]] = set()

    async def apply(self, config: Config) -> None:
        """Serve what the configuration says from now on. Raises `MainstayError`, and has changed nothing then."""
        certificates = Certificates(config.edge.tls) if config.edge.tls else None
        context = certificates.context() if certificates else None
        openings = self._openings(config)
        with self._bound(config.edge, openings) as sockets:
            tenures = await self._open(config, openings)
            self._take_log(config)
            for name in openings:
                tls = context if config.edge.secures(name) else None
                await self._put(name, config, tenures[name], sockets.pop(name, None), tls)
        for name in self.listeners.keys() - openings.keys():
            self.listeners[name].server.deafen()
            self._later(self._retire(self.listeners.pop(name), config.edge.drain_timeout))
        self.config, self._certificates = config, certificates

    def tasks(self) -> set["asyncio.Task[None]"]:
        """Give what must go on as long as this process does."""
        return {listener.tenure.task for listener in self.listeners.values()}

    async def tend(self) -> None:
        """Do what has to be done now and then: write the log, count what it lost, look for new certificates."""
        if self._log is not None:
            self._log.flush()
            self._dropped.add(self._log.dropped - self._counted)
            self._counted = self._log.dropped
        if self._certificates is not None and self._certificates.changed():
            await self._renew(self._certificates)

    async def drain(self) -> None:
        """Take no more connections, let what is under way finish, and close the handlers."""
        patience = self.config.edge.drain_timeout if self.config else 0.0
        listeners, self.listeners = list(self.listeners.values()), {}
        retiring = [asyncio.create_task(self._retire(listener, patience)) for listener in listeners]
        if retiring:
            await asyncio.wait(retiring)
        if self._leaving:
            # Their last requests are answered or cut off, so this takes no longer than the handlers' own ends.
            await asyncio.wait(self._leaving, timeout=ENDING)

    async def close(self) -> None:
        """Let go of everything."""
        for listener in self.listeners.values():
            await listener.server.close()
            await listener.tenure.end()
        self.listeners.clear()
        if self._log is not None:
            self._log.close()
            self._log = None

    async def _open(self, config: Config, openings: Mapping[str, Opening]) -> dict[str, Tenure]:
        tenures: dict[str, Tenure] = {}
        try:
            for name, opening in openings.items():
                around = Surroundings(config, self._clock, self._meter)
                tenures[name] = Tenure(opening(around))
                await tenures[name].handler()
        except BaseException:
            for tenure in tenures.values():
                await tenure.end()
            raise
        return tenures

    async def _put(
        self,
        name: str,
        config: Config,
        tenure: Tenure,
        bound: socket.socket | None,
        context: ssl.SSLContext | None,
    ) -> None:
        body = config.edge.max_body if name == "webhooks" else config.edge.max_upload
        limits, trust = config.edge.limits(body), Trust(config.edge.trusted_proxies)
        listener = self.listeners.get(name)
        if listener is None:
            witness = Witness(name, self._meter, self._clock, self._log)
            alike = name != "webhooks"  # each of those is signed: no two have the same headers
            server = Server(await tenure.handler(), self._clock, limits, trust, witness, alike=alike)
            listener = self.listeners[name] = Listener(server, witness, "", tenure)
        else:
            before, listener.tenure = listener.tenure, tenure
            under_way = listener.server.under_way()
            listener.server.handler = await tenure.handler()
            self._later(self._leave(listener.server, under_way, before))
        listener.server.limits, listener.server.trust = limits, trust
        listener.witness.log = self._log
        if bound is not None:
            await listener.server.listen(bound, context)
        else:
            await listener.server.secure(context)
        listener.address = config.edge.address(name)

    async def _leave(self, server: Server, under_way: set[Turn], tenure: Tenure) -> None:
        """Close a handler once its last request is answered."""
        while under_way & server.under_way():
            await self._clock.sleep(LOOK_EVERY)
        await tenure.end()

    async def _retire(self, listener: Listener, patience: float) -> None:
        if not await listener.server.drain(patience):
            logger.warning("requests on %s did not end in time and were cut off", listener.address)
        await listener.tenure.end()

    def _later(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _renew(self, certificates: Certificates) -> None:
        try:
            context = certificates.context()
        except MainstayError as fault:
            logger.error("the new certificates are wrong, the old ones stay in force: %s", fault)
            return
        for name, listener in self.listeners.items():
            if self.config is None or self.config.edge.secures(name):
                await listener.server.secure(context)
        logger.info("the certificates were renewed")

    def _take_log(self, config: Config) -> None:
        path, size = config.edge.log_file(config.state_dir), config.edge.access_log_size
        if self._log is not None and (path, size) == (self._log.path, self._log.most):
            return
        if self._log is not None:
            self._log.close(patience=0.0)  # its thread writes what is left
        self._log = AccessLog(path, size) if path else None
        self._counted = 0

    @contextmanager
    def _bound(
        self, settings: EdgeSettings, names: Mapping[str, object]
    ) -> Iterator[dict[str, socket.socket]]:
        """Take the addresses that are new; those that nobody took out in the end are given back."""
        found: dict[str, socket.socket] = {}
        try:
            for name in names:
                address = settings.address(name)
                listener = self.listeners.get(name)
                if listener is None or listener.address != address:
                    found[name] = bind(name, address, shared=settings.processes > 1)
            yield found
        finally:
            for each in found.values():
                each.close()


def bind(name: str, address: str, shared: bool) -> socket.socket:
    """Take an address; `shared` with other processes of ours. Raises `MainstayError`."""
    host, port = split(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # Everybody's address in both families, when no host is said.
        if not host and socket.has_dualstack_ipv6():
            return socket.create_server(
                ("", port), family=socket.AF_INET6, dualstack_ipv6=True, reuse_port=shared
            )
        return socket.create_server((host, port), family=family, reuse_port=shared)
    except OSError as fault:
        raise MainstayError(
            f"the edge cannot listen on {address}: {fault.strerror or fault}",
            hint=f"something else may listen there; edge.{name} names another address",
        ) from None
