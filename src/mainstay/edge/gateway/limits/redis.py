"""Asks one Redis for requests out of a bucket; many questions go in one round trip."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Protocol

from mainstay.core.secret import Secret
from mainstay.edge.gateway.limits.gcra import Want


class StoreDown(Exception):
    """The store of limits did not answer as it should."""


@dataclass(slots=True)
class Grant:
    """What the store gave. Times are nanoseconds, counted from the moment that it was asked."""

    took: int
    debt: int
    wait: int


class Central(Protocol):
    """Where all hosts count together."""

    async def fetch(self, wishes: Sequence[tuple[Want, int]]) -> list[Grant]:
        """Take up to so many requests from each bucket. Raises `StoreDown`."""
        ...

    async def ping(self) -> None:
        """See whether it answers. Raises `StoreDown`."""
        ...

    async def close(self) -> None:
        """Close the connection."""
        ...


@cache
def script() -> str:
    """Give the script that counts, in Redis itself."""
    return files("mainstay.edge.gateway.limits").joinpath("lease.lua").read_text("utf-8")


class RedisCentral:
    """A Redis, reached by one connection."""

    def __init__(self, url: Secret, timeout: float, prefix: str = "mainstay:limit:") -> None:
        self._url = url
        self._timeout = timeout
        self._prefix = prefix
        self._client: Any = None
        self._sha = ""

    async def fetch(self, wishes: Sequence[tuple[Want, int]]) -> list[Grant]:
        """Take up to so many requests from each bucket. Raises `StoreDown`."""
        from redis.exceptions import NoScriptError, RedisError

        try:
            async with asyncio.timeout(self._timeout):
                try:
                    found = await self._ask(wishes)
                except NoScriptError:  # it was restarted; nothing was counted, since not one of them ran
                    self._sha = ""
                    found = await self._ask(wishes)
        except (RedisError, OSError, TimeoutError) as fault:
            await self.close()
            raise StoreDown(str(fault) or type(fault).__name__) from fault
        return [Grant(int(took), int(debt) * 1000, int(wait) * 1000) for took, debt, wait in found]

    async def ping(self) -> None:
        """See whether it answers. Raises `StoreDown`."""
        from redis.exceptions import RedisError

        try:
            async with asyncio.timeout(self._timeout):
                await self._connected().ping()
        except (RedisError, OSError, TimeoutError) as fault:
            await self.close()
            raise StoreDown(str(fault) or type(fault).__name__) from fault

    async def _ask(self, wishes: Sequence[tuple[Want, int]]) -> list[list[int]]:
        client = self._connected()
        if not self._sha:
            self._sha = await client.script_load(script())
        pipe = client.pipeline(transaction=False)
        for (key, rule), want in wishes:
            pipe.evalsha(self._sha, 1, self._prefix + key, rule.interval // 1000, rule.full // 1000, want)
        found: list[list[int]] = await pipe.execute()
        return found

    def _connected(self) -> Any:
        if self._client is None:
            from redis.asyncio import Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff

            self._client = Redis.from_url(
                self._url.reveal(), retry=Retry(NoBackoff(), 0), socket_connect_timeout=self._timeout
            )
        return self._client

    async def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
