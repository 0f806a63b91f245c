"""Puts the inbox together: sources, the group commit, the log, and what brings the log into the journal."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from mainstay.core.errors import JournalError
from mainstay.edge.http.meter import Meter
from mainstay.edge.inbox.counts import Counts
from mainstay.edge.inbox.drain import Drain
from mainstay.edge.inbox.former import take_over
from mainstay.edge.inbox.gather import Gather
from mainstay.edge.inbox.harvest import remembered
from mainstay.edge.inbox.intake import Intake
from mainstay.edge.inbox.keep import Connect, LogKeeper, Older
from mainstay.edge.inbox.known import Known
from mainstay.edge.inbox.log import MOST, Log, make, told
from mainstay.edge.inbox.settings import IntakeSettings
from mainstay.edge.inbox.turn import Turn
from mainstay.ports.clock import Clock

log = logging.getLogger(__name__)

FIRST_LOOK = 3.0
"""Seconds that a start waits for the journal, which knows older events, before it goes on without."""
LAST_IMPORT = 5.0
"""Seconds that an end takes to bring what is left into the journal."""


@asynccontextmanager
async def open_intake(
    sources: Mapping[str, IntakeSettings],
    connect: Connect,
    directory: Path,
    clock: Clock,
    meter: Meter,
    most: int = MOST,
) -> AsyncIterator[Intake]:
    """Open an inbox. What was taken in is on disk when the block ends, and in the journal if that can be reached.

    `connect` opens the journal. `directory` is where the log is kept, and `most` how many bytes it may have. Raises
    `JournalError` when nothing could be kept at all.
    """
    counts = Counts(meter)
    known = Known()
    with clock.busy():
        await asyncio.to_thread(_remember, known, directory, sources, clock)
    older = Older(connect, clock, counts)
    await asyncio.wait([older.open()], timeout=FIRST_LOOK)
    drain, turn = Drain(directory, clock), Turn(directory)
    importing = asyncio.create_task(_import(older, drain, turn), name="inbox-import")
    keeper = LogKeeper(Log(directory, clock, most), known, older, clock)
    gather = Gather(keeper, clock, counts)
    try:
        yield Intake(sources, gather, clock, counts)
    finally:
        await gather.close()
        await keeper.close()
        importing.cancel()
        await asyncio.wait([importing])
        await _last_import(older, drain, turn)
        await older.close()


def _remember(known: Known, directory: Path, sources: Mapping[str, IntakeSettings], clock: Clock) -> None:
    """Know again what lies in the log, or was left by an earlier version. Raises `JournalError`."""
    try:
        take_over(directory, sources, clock)
        make(directory)
        for segment, events in remembered(directory):
            known.learn(segment, known.judge(events, {})[1])
    except OSError as fault:
        raise told(fault, directory) from fault


async def _import(older: Older, drain: Drain, turn: Turn) -> None:
    await older.reached.wait()
    if older.store is not None:
        await drain.serve(older.store, turn)


async def _last_import(older: Older, drain: Drain, turn: Turn) -> None:
    if older.store is None or older.away:
        return
    with suppress(TimeoutError):
        try:
            async with asyncio.timeout(LAST_IMPORT):
                await drain.empty(older.store, turn)
        except JournalError as fault:
            log.warning("what is in the log is brought into the journal at the next start: %s", fault)
