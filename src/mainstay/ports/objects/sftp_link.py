"""One SSH connection that several operations share, opened by the first and closed some seconds after the last."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from asyncssh import SFTPClient

LINGER = 5.0
"""Seconds for which a connection that nobody uses is kept: a handshake costs more than most operations."""

Connect = Callable[[], Awaitable[tuple[Any, "SFTPClient"]]]


class Link:
    """A connection of one event loop. A task of its own keeps it, so that it is closed when the loop ends, too."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._users = 0
        self._idle = asyncio.Event()
        self._busy = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._opened: asyncio.Future[SFTPClient] | None = None

    @asynccontextmanager
    async def use(self) -> "AsyncIterator[SFTPClient]":
        """Give the open client. Raises what connecting raises."""
        if self._keeper is None or self._keeper.done():
            self._opened = asyncio.get_running_loop().create_future()
            self._keeper = asyncio.create_task(self._keep(self._opened))
        self._users += 1
        self._busy.set()
        assert self._opened is not None  # noqa: S101 - made above
        try:
            yield await asyncio.shield(self._opened)
        finally:
            self._users -= 1
            if self._users == 0:
                self._busy.clear()
                self._idle.set()

    async def _keep(self, opened: "asyncio.Future[SFTPClient]") -> None:
        try:
            connection, client = await self._connect()
        except BaseException as fault:
            if isinstance(fault, Exception):
                opened.set_exception(fault)
                opened.exception()  # whoever waited may have been cancelled meanwhile
                return
            opened.cancel()
            raise
        opened.set_result(client)
        closed = asyncio.ensure_future(connection.wait_closed())
        try:
            while not closed.done():
                await self._wait(closed)
                if not self._users and not closed.done() and not await self._again(closed):
                    return
        finally:
            self._keeper = None
            closed.cancel()
            client.exit()
            connection.abort()

    async def _wait(self, closed: "asyncio.Future[None]") -> None:
        """Wait until nobody uses it, or it is closed."""
        if self._users:
            self._idle.clear()
            idle = asyncio.ensure_future(self._idle.wait())
            await asyncio.wait((idle, closed), return_when=asyncio.FIRST_COMPLETED)
            idle.cancel()

    async def _again(self, closed: "asyncio.Future[None]") -> bool:
        """Wait whether somebody uses it soon."""
        busy = asyncio.ensure_future(self._busy.wait())
        await asyncio.wait((busy, closed), timeout=LINGER, return_when=asyncio.FIRST_COMPLETED)
        busy.cancel()
        return bool(self._users)


class Links:
    """The links of one storage, one per event loop."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._links: WeakKeyDictionary[asyncio.AbstractEventLoop, Link] = WeakKeyDictionary()

    def use(self) -> Any:
        """Give a context with the open client."""
        loop = asyncio.get_running_loop()
        link = self._links.get(loop)
        if link is None:
            link = self._links[loop] = Link(self._connect)
        return link.use()
