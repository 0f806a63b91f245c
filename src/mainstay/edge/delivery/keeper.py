"""Writes down what came of attempts: those of all sources that ended while one write was under way go into the next."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from mainstay.core import crash
from mainstay.engine.patience import patiently
from mainstay.ports.clock import Clock
from mainstay.store import inbox_delivery
from mainstay.store.base import Store, Tx
from mainstay.store.inbox_delivery import Ending

log = logging.getLogger(__name__)

Act = Callable[[Tx], object]
"""What else is to be written; it must be repeatable."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something to write down, and who is told when it is on disk."""

    ending: Ending | None
    act: Act | None
    kept: Callable[[], None] | None


class Keeper:
    """One task that writes for all lanes."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._notes: list[Note] = []
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def keep(
        self, ending: Ending | None = None, act: Act | None = None, kept: Callable[[], None] | None = None
    ) -> None:
        """Have something written; `kept` is called once it is on disk."""
        self._notes.append(Note(ending, act, kept))
        self._idle.clear()
        self._news.set()

    async def serve(self) -> None:
        """Write for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            notes, self._notes = self._notes, []
            await patiently(self._store, self._clock, partial(_write, notes=notes))
            crash.point("inbox.kept")
            for note in notes:
                if note.kept is not None:
                    note.kept()
            if not self._notes:
                self._idle.set()

    async def idle(self) -> None:
        """Wait until all is written."""
        await self._idle.wait()


def _write(tx: Tx, notes: Sequence[Note]) -> None:
    endings = [note.ending for note in notes if note.ending is not None]
    if endings:
        inbox_delivery.settle(tx, endings)
    for act in dict.fromkeys(note.act for note in notes):
        if act is not None:
            act(tx)
