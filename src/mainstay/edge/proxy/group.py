"""The origins of one route: which one gets a request, and how they are changed for others while requests go on."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

from mainstay.core.errors import MainstayError
from mainstay.edge.gateway.settings import RouteSettings
from mainstay.edge.gateway.settings_origin import check_origin
from mainstay.edge.proxy.health import Doctor, answers
from mainstay.edge.proxy.origin import Origin
from mainstay.edge.proxy.ticker import Ticker
from mainstay.edge.proxy.way import Way

PAUSE = 0.1


class NotHealthy(MainstayError):
    """An origin that requests were to be switched to does not answer."""


class Group:
    """Some origins behind one route."""

    def __init__(self, route: RouteSettings, ticker: Ticker, origins: Sequence[str]) -> None:
        self.route = route
        self.ticker = ticker
        self.origins: tuple[Origin, ...] = tuple(self._make(url) for url in origins)
        self.way = Way(route)
        self.tunnels = 0
        """WebSockets that are open."""
        self.swaps = 0
        self.draining: list[Origin] = []
        self._turn = 0
        self._doctor = Doctor(route.health, ticker.clock)
        self.swapped_at: float | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def _make(self, url: str) -> Origin:
        return Origin(url, self.route.carry, self.ticker)

    def start(self) -> None:
        """Begin to ask the origins how they are."""
        self._doctor.watch(lambda: self.origins)

    async def stop(self) -> None:
        """Cut everything."""
        await self._doctor.stop()
        for task in list(self._tasks):
            task.cancel()
        for origin in [*self.origins, *self.draining]:
            origin.close()

    def choose(self, tried: Collection[Origin] = ()) -> Origin | None:
        """Give the origin with the fewest requests among those that nothing speaks against.

        When something speaks against every one of them they are used all the same: a health check that is wrong must
        not take down a service that works. None when all are full or were tried.
        """
        origins = self.origins
        if len(origins) == 1 and not tried:
            return None if origins[0].full else origins[0]
        now = self.ticker.now
        rest = [origin for origin in origins if origin not in tried and not origin.full]
        if not rest:
            return None
        self._turn += 1
        turn = self._turn % len(rest)
        rest = rest[turn:] + rest[:turn]
        good = [origin for origin in rest if origin.usable(now)]
        return min(good or rest, key=_load)

    def fits(self, route: RouteSettings) -> bool:
        """Whether a changed route can go on with these connections."""
        return (route.carry, route.health) == (self.route.carry, self.route.health)

    def adopt(self, route: RouteSettings) -> None:
        """Go on as the same route with other options."""
        self.route = route
        self.way = Way(route)

    async def leave(self) -> None:
        """Take no more requests; end when those under way have ended, or `drain` is over."""
        await self._doctor.stop()
        self._switch(())
        await asyncio.wait(self._tasks) if self._tasks else None

    async def swap(self, urls: Sequence[str], *, within: float = 30.0) -> None:
        """Send all further requests to `urls`, once every one of them answers; those under way end where they are.

        Raises `NotHealthy`, and changes nothing, when one of them does not answer within `within` seconds.
        """
        urls = list(dict.fromkeys(_checked(url) for url in urls))
        if not urls:
            raise MainstayError("no origin is named", hint="give one, like http://127.0.0.1:8001")
        present = {origin.url: origin for origin in self.origins}
        fresh = [present.get(url) or self._make(url) for url in urls]
        new = [origin for origin in fresh if origin.url not in present]
        try:
            await asyncio.gather(*(self._wait_for(origin, within) for origin in new))
        except NotHealthy:
            for origin in new:
                origin.close()
            raise
        self._switch(tuple(fresh))

    def _switch(self, fresh: tuple[Origin, ...]) -> None:
        """Change them in one step of the event loop."""
        left = [origin for origin in self.origins if origin not in fresh]
        self.origins = fresh
        self.swaps += 1
        self.swapped_at = self.ticker.clock.now()
        for origin in left:
            origin.retire()
            self.draining.append(origin)
            task = asyncio.get_running_loop().create_task(self._drain(origin))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _wait_for(self, origin: Origin, within: float) -> None:
        """Wait until an origin answers its health check, or takes a connection when there is none."""
        clock = self.ticker.clock
        end = clock.monotonic() + within
        while why := await answers(origin, self.route.health):
            if clock.monotonic() >= end:
                raise NotHealthy(
                    f"{origin.url} is not fit for requests: {why}; requests go where they went before",
                    where=f"gateway route {self.route.label}",
                    hint="look at its log; the health check is the route's `health`",
                )
            await clock.sleep(PAUSE)
        origin.healthy = True if self.route.health else None

    async def _drain(self, origin: Origin) -> None:
        """Wait for the requests of an origin that was taken away, then cut what is left."""
        clock = self.ticker.clock
        end = clock.monotonic() + self.route.carry.drain
        while origin.active and clock.monotonic() < end:
            await clock.sleep(PAUSE)
        self.draining.remove(origin)
        origin.close()

    def state(self) -> dict[str, Any]:
        """Give what is known of the origins, for people and programs."""
        return {
            "route": self.route.label,
            "swaps": self.swaps,
            "swapped_at": self.swapped_at,
            "configured": self.route.origin,
            "websockets": self.tunnels,
            "origins": [_described(origin) for origin in (*self.origins, *self.draining)],
        }


def _described(origin: Origin) -> dict[str, Any]:
    return {
        "url": origin.url,
        "state": origin.state(),
        "since": origin.since,
        "at": origin.at,
        "failed_at": origin.failed_at,
        "detail": "" if origin.state() == "up" else origin.detail,
        "active": origin.active,
        "connections": origin.connections,
        **asdict(origin.tally),
    }


def _load(origin: Origin) -> int:
    return origin.active


def _checked(url: str) -> str:
    try:
        return check_origin(url)
    except ValueError as error:
        what, _, remedy = str(error).partition("; ")
        raise MainstayError(what, hint=remedy) from None
