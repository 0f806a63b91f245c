"""Opens the origins for the process that serves them, and keeps them while one configuration follows another."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mainstay.edge.gateway.settings import RouteSettings
from mainstay.edge.http.meter import Meter
from mainstay.edge.proxy.control import Contacts, controlled, nobody
from mainstay.edge.proxy.counts import Counts
from mainstay.edge.proxy.kept import Kept
from mainstay.edge.proxy.origin import context_of
from mainstay.edge.proxy.plane import Plane
from mainstay.ports.clock import Clock

KEPT = "gateway-origins.json"


@dataclass(frozen=True, slots=True)
class Carrying:
    """What requests are carried with."""

    plane: Plane
    counts: Counts


class Standing:
    """The origins of one process. Connections, and what is known of origins, outlive a change of configuration."""

    def __init__(self) -> None:
        self._carrying: Carrying | None = None
        self._stack = AsyncExitStack()
        self._holders = 0

    @asynccontextmanager
    async def hold(
        self,
        routes: Sequence[RouteSettings],
        clock: Clock,
        meter: Meter,
        directory: Path,
        contacts: Contacts = nobody,
    ) -> AsyncIterator[Carrying]:
        """Have these routes' origins at hand; all is closed when nobody holds them any more.

        In `directory`, which exists, are the control socket and the origins that requests were switched to. `contacts`
        gives those whom the gateway itself needs, at any time. Raises `MainstayError`.
        """
        carrying = self._carrying
        if carrying is None:
            carrying = self._carrying = await self._open(routes, clock, meter, directory, contacts)
        else:
            carrying.plane.reload(routes)
        self._holders += 1
        try:
            yield carrying
        finally:
            self._holders -= 1
            if not self._holders:
                self._carrying = None
                await self._stack.aclose()

    @contextmanager
    def expecting(self, routes: Sequence[RouteSettings]) -> Iterator[None]:
        """Change the policy within this: nobody may be sent to a route before its origins are known."""
        plane = self._carrying.plane if self._carrying is not None else None
        added = [] if plane is None else plane.welcome(routes)
        try:
            yield
        except BaseException:
            if plane is not None:
                plane.dismiss(added)
            raise

    @staticmethod
    def check(routes: Sequence[RouteSettings]) -> None:
        """Try what may fail of these routes before anything is changed. Raises `ConfigError`."""
        for route in routes:
            if route.carry.ca is not None:
                context_of(route.carry)

    async def _open(
        self,
        routes: Sequence[RouteSettings],
        clock: Clock,
        meter: Meter,
        directory: Path,
        contacts: Contacts,
    ) -> Carrying:
        plane = Plane(routes, clock, Kept(directory / KEPT))
        counts = Counts(meter)
        self._stack = AsyncExitStack()
        plane.start()
        self._stack.push_async_callback(plane.stop)
        plane.ticker.call(counts, lambda now: counts.look(plane, contacts()))
        try:
            await self._stack.enter_async_context(controlled(plane, directory, clock, contacts))
        except BaseException:
            await self._stack.aclose()
            raise
        return Carrying(plane, counts)
