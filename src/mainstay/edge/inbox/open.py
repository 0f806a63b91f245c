"""Puts the inbox together: sources, the group commit, the journal and, where that is on a server, the spool."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from mainstay.edge.http.meter import Meter
from mainstay.edge.inbox.counts import Counts
from mainstay.edge.inbox.gather import Gather
from mainstay.edge.inbox.intake import Intake
from mainstay.edge.inbox.keep import Connect, JournalKeeper, SpoolingKeeper
from mainstay.edge.inbox.settings import IntakeSettings
from mainstay.edge.inbox.spool import open_spool
from mainstay.ports.clock import Clock

FIRST_LOOK = 3.0
"""Seconds that a start waits for a journal on a server before the spool stands in for it."""


@asynccontextmanager
async def open_intake(
    sources: Mapping[str, IntakeSettings],
    connect: Connect,
    spool_dir: Path | None,
    clock: Clock,
    meter: Meter,
) -> AsyncIterator[Intake]:
    """Open an inbox on a journal of its own. What was taken in is on disk when the block ends.

    `connect` opens the journal. `spool_dir` is where the spool is kept; None when the journal is a file, which needs
    none. Raises `JournalError` when nothing could be kept at all.
    """
    counts = Counts(meter)
    if spool_dir is None:
        store = await connect()
        gather = Gather(JournalKeeper(store), clock, counts)
        intake, closing = Intake(sources, gather, clock, counts), store.close
    else:
        keeper = SpoolingKeeper(connect, await open_spool(spool_dir, clock), clock, counts)
        gather = Gather(keeper, clock, counts)
        intake, closing = Intake(sources, gather, clock, counts), keeper.close
        keeper.settings = intake.settings
        await keeper.settled(FIRST_LOOK)
    try:
        yield intake
    finally:
        await gather.close()
        await closing()
