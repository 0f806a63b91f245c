"""Senders that write down what was acknowledged, and the comparison of that with the journal."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from mainstay.edge.inbox.log import DIRECTORY, segments
from mainstay.store import inbox, inbox_delivery
from mainstay.store.base import Store, Tx
from mainstay.store.inbox_delivery import Event
from tests.edge.inbox.sender import Sender
from tests.helpers import aeventually


class Ledger:
    """Senders at work on one or more ports. An event whose answer never came is sent again, as real senders do."""

    def __init__(self, ports: Iterable[int], senders: int = 16, size: int = 600) -> None:
        self.acknowledged: dict[str, str] = {}
        """By the sender's id, the id that we answered with."""
        self.refused = 0
        self.broken = 0
        """Answers that never came."""
        self.up = asyncio.Event()
        """Cleared by who takes the edge away, so that nobody knocks meanwhile."""
        self.up.set()
        self._numbers = itertools.count()
        self._size = size
        self._stop = False
        ways = [Sender(port) for port in ports]
        self._senders = [
            Sender(way.port) for way, _ in zip(itertools.cycle(ways), range(senders), strict=False)
        ]
        self._tasks = [asyncio.create_task(self._send(sender)) for sender in self._senders]

    async def _send(self, sender: Sender) -> None:
        while not self._stop:
            await self._until_taken(sender, f"evt-{next(self._numbers):08}")

    async def _until_taken(self, sender: Sender, name: str) -> None:
        body = name.encode() * (self._size // len(name))
        while True:
            try:
                answer = await sender.send(body, ("X-Event-Id", name))
            except (OSError, EOFError):
                self.broken += 1
                await asyncio.sleep(0)
                await self.up.wait()
                continue
            if answer.status in (200, 202):
                self.acknowledged[name] = answer.id
                return
            assert answer.status == 503
            assert int(answer.headers["retry-after"]) > 0
            self.refused += 1
            await asyncio.sleep(0)

    async def more(self, count: int) -> None:
        """Wait until so many more are acknowledged."""
        wanted = len(self.acknowledged) + count
        async with asyncio.timeout(60):
            while len(self.acknowledged) < wanted:
                self._look()
                await asyncio.sleep(0)

    def _look(self) -> None:
        for task in self._tasks:
            if task.done():
                task.result()

    async def end(self) -> None:
        """Let every sender finish what it is at."""
        self._stop = True
        async with asyncio.timeout(60):
            await asyncio.gather(*self._tasks)
        for sender in self._senders:
            sender.close()


def everything(tx: Tx) -> list[Event]:
    """Every event that is kept, whole, the first one first."""
    found = inbox_delivery.find(tx, limit=10_000_000)
    whole = (inbox_delivery.get(tx, line.id) for line in reversed(found))
    return [event for event in whole if event is not None]


async def imported(store: Store, directory: Path) -> None:
    """Wait until all of the log below `directory` is in the journal."""

    async def done() -> bool:
        upto = await store.read(inbox.imported)
        found = segments(directory / DIRECTORY) if (directory / DIRECTORY).exists() else {}
        return all(size <= upto.get(name, 0) for name, size in found.items())

    assert await aeventually(done, 30)


async def compare(store: Store, ledger: Ledger) -> None:
    """Fail unless the journal holds every acknowledged event once, under the id that was answered, whole."""

    kept = [(event.event_id or "", event.id, event.body) for event in await store.read(everything)]
    doubled = [name for name, count in Counter(name for name, _, _ in kept).items() if count > 1]
    ids = {name: id_ for name, id_, _ in kept}
    lost = [name for name in ledger.acknowledged if name not in ids]
    wrong = [name for name, id_ in ledger.acknowledged.items() if ids.get(name, id_) != id_]
    assert (lost, doubled, wrong) == ([], [], [])
    assert all(name.encode() * (len(body) // len(name)) == body for name, _, body in kept)
