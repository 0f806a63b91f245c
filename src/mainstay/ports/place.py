"""Where probes run: this machine, with its clock and its names."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from mainstay.ports.clock import Clock
from mainstay.ports.resolver import Resolver

T = TypeVar("T")
Read = Callable[[Callable[[Any], Any]], Awaitable[Any]]
"""Runs a function of the store on the journal; `Store.read` is one."""


class LocalPlace:
    """This process's own vantage; implements `core.check.Place`."""

    def __init__(
        self,
        clock: Clock,
        resolver: Resolver,
        name: str = "here",
        *,
        fresh: bool = False,
        journal: Read | None = None,
    ) -> None:
        self.name = name
        self._clock = clock
        self._resolver = resolver
        self._fresh = fresh
        self._journal = journal

    def now(self) -> float:
        """Wall time, seconds since 1970."""
        return self._clock.now()

    def monotonic(self) -> float:
        """Seconds on a clock that never steps."""
        return self._clock.monotonic()

    async def resolve(self, host: str, port: int) -> list[str]:
        """Give the addresses of a host; raises `ResolveError`."""
        return await self._resolver.resolve(host, fresh=self._fresh)

    async def read(self, unit: Callable[[Any], T]) -> T:
        """Look at the journal; raises `LookupError` where there is none."""
        if self._journal is None:
            raise LookupError("there is no journal here")
        return cast("T", await self._journal(unit))

    def fresh(self) -> "LocalPlace":
        """Give the same place with names looked up anew: for a second look, which must not repeat an old mistake."""
        return LocalPlace(self._clock, self._resolver, self.name, fresh=True, journal=self._journal)
