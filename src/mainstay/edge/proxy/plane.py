"""All routes' origins, with their clock: what the gateway's handler carries requests with, and what swaps them."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from mainstay.core.errors import MainstayError
from mainstay.edge.gateway.settings import RouteSettings
from mainstay.edge.proxy.control import no_swap
from mainstay.edge.proxy.group import Group
from mainstay.edge.proxy.kept import Kept
from mainstay.edge.proxy.ticker import Ticker
from mainstay.ports.clock import Clock

logger = logging.getLogger(__name__)


class Plane:
    """The groups of origins, by route."""

    def __init__(self, routes: Sequence[RouteSettings], clock: Clock, kept: Kept | None = None) -> None:
        self.ticker = Ticker(clock)
        self._kept = kept or Kept()
        self.groups = {_key(route): self._group(route) for route in routes}
        self._by_route = {id(group.route): group for group in self.groups.values()}
        self._others: list[RouteSettings] = []
        self._leaving: set[Group] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def _group(self, route: RouteSettings) -> Group:
        return Group(route, self.ticker, self._kept.origins(route.label, route.origin))

    def start(self) -> None:
        """Begin to keep time-outs and to ask origins how they are."""
        self.ticker.start()
        for group in self.groups.values():
            group.start()

    async def stop(self) -> None:
        """Cut everything; the server has drained before."""
        for task in list(self._tasks):
            task.cancel()
        for group in [*self.groups.values(), *self._leaving]:
            await group.stop()
        await self.ticker.stop()

    def group(self, route: RouteSettings) -> Group | None:
        """Give the origins of a route that the policy has chosen."""
        return self._by_route.get(id(route)) or self._same(route)

    def _same(self, route: RouteSettings) -> Group | None:
        """Find a route of another reading of the configuration; look only once."""
        group = self.groups.get(_key(route))
        if group is not None:
            self._others.append(route)  # its identity is its own as long as it lives
            self._by_route[id(route)] = group
        return group

    def named(self, route: str) -> Group:
        """Give the origins of the route with this name (or path); raises `MainstayError`."""
        if not self.groups:
            raise no_swap(route)
        found = [group for group in self.groups.values() if group.route.label == route]
        if len(found) != 1:
            known = ", ".join(sorted({group.route.label for group in self.groups.values()}))
            what = "no route" if not found else "more than one route"
            raise MainstayError(f"{what} is called {route}", hint=f"known are: {known}; give routes a `name`")
        return found[0]

    async def swap(self, route: str, origins: Sequence[str], *, within: float = 30.0) -> None:
        """Send all further requests of a route to other origins, once these answer; see `Group.swap`.

        The file of `kept` has them outlive this process.
        """
        group = self.named(route)
        await group.swap(origins, within=within)
        try:
            self._kept.keep(route, group.route.origin, [origin.url for origin in group.origins])
        except OSError as fault:
            logger.error("the switch of %s is in force, but will not outlive this process: %s", route, fault)

    def welcome(self, routes: Sequence[RouteSettings]) -> list[RouteSettings]:
        """Have origins of further routes at hand before the policy sends anybody there; gives those that are new."""
        added = [route for route in routes if _key(route) not in self.groups]
        for route in added:
            group = self.groups[_key(route)] = self._group(route)
            group.start()
        return added

    def dismiss(self, routes: Sequence[RouteSettings]) -> None:
        """Let go of the origins of routes that were welcomed and are not wanted after all."""
        for route in routes:
            if (group := self.groups.pop(_key(route), None)) is not None:
                self._by_route = {key: each for key, each in self._by_route.items() if each is not group}
                self._later(self._leave(group))

    def reload(self, routes: Sequence[RouteSettings]) -> None:
        """Take over a changed configuration. Routes that only got other origins change to them once these answer."""
        before, self.groups = self.groups, {}
        for route in routes:
            group = before.pop(_key(route), None)
            if group is None or not group.fits(route):
                if group is not None:
                    self._later(self._leave(group))
                group = self._group(route)
                group.start()
            else:
                wants = group.route.origin != route.origin
                group.adopt(route)
                if wants:
                    self._later(self._change(group))
            self.groups[_key(route)] = group
        for group in before.values():
            self._later(self._leave(group))
        self._others.clear()
        self._by_route = {id(group.route): group for group in self.groups.values()}

    async def _leave(self, group: Group) -> None:
        self._leaving.add(group)
        await group.leave()
        self._leaving.discard(group)

    async def _change(self, group: Group) -> None:
        try:
            await group.swap(group.route.origin)
        except MainstayError as fault:
            logger.error("the changed origins are not used: %s", fault)

    def _later(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def look(self) -> list[dict[str, Any]]:
        """Give the same to who has to wait for it elsewhere."""
        return self.state()

    def state(self) -> list[dict[str, Any]]:
        """Give what is known of every route's origins, for people and programs."""
        return [group.state() for group in self.groups.values()]


def _key(route: RouteSettings) -> tuple[str, ...]:
    """What makes a route the same one after a change of the configuration."""
    return (route.name or "", route.path, *sorted(route.hosts), "|", *sorted(route.methods))
