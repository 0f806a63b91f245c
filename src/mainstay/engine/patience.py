"""Writing what must not be lost while the journal is away for a while."""

import asyncio
import logging
from typing import Literal, TypeVar

from mainstay.core.errors import JournalError
from mainstay.ports.clock import Clock
from mainstay.store.base import Conflict, Store, Unit

logger = logging.getLogger(__name__)

T = TypeVar("T")


async def patiently(store: Store, clock: Clock, unit: Unit[T], *, reading: bool = False) -> T:
    """Write (or read), again and again while the journal cannot be reached.

    A commit whose answer was lost may be repeated, so the unit must give the same when it has happened already.
    """
    pause = 0.1
    while True:
        try:
            return await (store.read(unit) if reading else store.write(unit))
        except Conflict:
            raise
        except JournalError as fault:
            logger.warning("waiting for the journal: %s", fault)
        await clock.sleep(pause)
        pause = min(10.0, pause * 2)


async def rest(clock: Clock, woken: asyncio.Event, seconds: float | None) -> None:
    """Wait until `woken` is set, at most `seconds` (None: as long as it takes)."""
    waiting = {asyncio.ensure_future(woken.wait())}
    if seconds is not None:
        waiting.add(asyncio.ensure_future(_sleep(clock, seconds)))
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()


async def _sleep(clock: Clock, seconds: float) -> Literal[True]:
    await clock.sleep(seconds)
    return True
