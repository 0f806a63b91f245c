"""A lease: a role that one node at a time has, such as asking the checks."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Self

from mainstay.core.errors import JournalError
from mainstay.engine.node import Node
from mainstay.engine.patience import rest
from mainstay.ports.clock import Clock
from mainstay.store import nodes
from mainstay.store.base import Store, Tx

logger = logging.getLogger(__name__)


class Lease:
    """Wants the role `name` for `node`, and has it when nobody living has it.

    Use it as a context manager: inside, it is wanted; afterwards it is given back. `keep` runs work while it is
    held. A node holds a role for as long as it lives; the rules of death are those of `Node`.
    """

    def __init__(self, store: Store, clock: Clock, node: Node, name: str, poll: float = 5.0) -> None:
        self.name = name
        self.fence = 0
        """Grows with every change of owner; 0 when the role was never held."""
        self._store = store
        self._clock = clock
        self._node = node
        self._poll = poll
        self._have = asyncio.Event()
        self._lost = asyncio.Event()
        self._lost.set()
        self._news = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []
        node.listen(self._news.set)

    @property
    def held(self) -> bool:
        """Whether this node has the role at this moment; ask before every act. False while its own beat is late."""
        return self._have.is_set() and self._node.fresh

    async def wait_held(self) -> None:
        """Wait until this node has the role."""
        await self._have.wait()

    async def wait_lost(self) -> None:
        """Wait until this node does not have the role."""
        await self._lost.wait()

    async def __aenter__(self) -> Self:
        self._loops = [asyncio.create_task(self._want()), asyncio.create_task(self._signals())]
        return self

    async def __aexit__(self, *exc: object) -> None:
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        self._set(False)
        await self._store.write(self._give_back)

    async def keep(self, work: Callable[[], Awaitable[object]]) -> None:
        """Do `work` whenever the role is held; it is cancelled when the role is lost. Ends with the work."""
        while True:
            await self.wait_held()
            doing = asyncio.ensure_future(work())
            losing = asyncio.ensure_future(self.wait_lost())
            try:
                await asyncio.wait([doing, losing], return_when=asyncio.FIRST_COMPLETED)
                if doing.done():
                    await doing
                    return
            finally:
                losing.cancel()
                doing.cancel()
                await asyncio.gather(doing, losing, return_exceptions=True)

    def _give_back(self, tx: Tx) -> None:
        if nodes.drop_lease(tx, self.name, self._node.id):
            tx.signal("nodes")

    async def _signals(self) -> None:
        while True:
            await self._store.wait("nodes", self._poll)
            self._news.set()

    async def _want(self) -> None:
        while True:
            self._news.clear()
            try:
                await self._ask()
            except JournalError as fault:
                logger.warning("the role %s waits for the journal: %s", self.name, fault)
            await rest(self._clock, self._news, max(0.1, self._node.fresh_for))

    async def _ask(self) -> None:
        lease, free = await self._store.read(lambda tx: nodes.standing(tx, self.name))
        if free:
            now = self._clock.now()
            lease = await self._store.write(lambda tx: nodes.take_lease(tx, self.name, self._node.id, now))
        mine = lease is not None and lease.owner == self._node.id
        if lease is not None and mine:
            self.fence = lease.fence
        self._set(mine and self._node.fresh)

    def _set(self, mine: bool) -> None:
        if mine != self._have.is_set():
            logger.info("this node %s the role %s", "has" if mine else "does not have", self.name)
        (self._have.set if mine else self._have.clear)()
        (self._lost.clear if mine else self._lost.set)()
