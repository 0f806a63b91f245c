"""The agent's part of the inbox: it brings what the edges of its machine have logged into the journal."""

import asyncio
import logging
import socket
from typing import TYPE_CHECKING

from mainstay.core.errors import JournalError
from mainstay.core.incident import Severity
from mainstay.core.units import format_duration, format_size
from mainstay.edge.inbox.drain import LATE, Drain
from mainstay.edge.inbox.log import DIRECTORY
from mainstay.edge.inbox.turn import Turn

if TYPE_CHECKING:
    from mainstay.app.compose import App
    from mainstay.incidents.desk import Desk
    from mainstay.ports.clock import Clock
    from mainstay.store.base import Store, Tx

log = logging.getLogger(__name__)

EVERY = 5.0
"""Seconds between two looks at how far it is."""


async def bring_in(app: "App") -> None:
    """Bring events into the journal, and tell people when that does not work, for ever."""
    directory = app.config.state_dir / DIRECTORY
    if not app.config.webhooks and not directory.exists():
        return
    drain, turn = Drain(directory, app.clock), Turn(directory, agent=True)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(drain.serve(app.store, turn))
            tasks.create_task(tell(app.store, app.desk, app.clock, drain))
    finally:
        turn.end()


async def tell(store: "Store", desk: "Desk", clock: "Clock", drain: Drain) -> None:
    """Keep one incident about the log of this machine, for ever."""
    key = f"webhook_log:{socket.gethostname()}"
    calm = False

    def note(tx: "Tx") -> None:
        if trouble is None:
            desk.clear_condition(tx, key, "every webhook is in the journal")
            return
        desk.raise_condition(
            tx,
            key,
            service="webhooks",
            severity=Severity.CRITICAL,
            title="Webhooks that were taken in do not get into the journal",
            detail=trouble,
            hint="mainstay doctor; they are safe on the disk of the edge, and are not delivered meanwhile",
        )

    while True:
        trouble = trouble_of(drain, clock.now())
        try:
            if trouble is not None or not calm:  # nobody needs to read again and again that all is well
                await store.write(note)
            calm = trouble is None
        except JournalError as fault:
            log.warning("how far the log of webhooks is read is not written down: %s", fault)
        await clock.sleep(EVERY)


def trouble_of(drain: Drain, now: float) -> str | None:
    """Say what is wrong with the import; None when all is well. `now` is in seconds since 1970."""
    if drain.refused:
        aside = "they lie beside the log, and are tried again when mainstay starts"
        return f"the journal will not have {drain.refused} of them; {aside}"
    if drain.fault is None and (drain.oldest is None or now - drain.oldest < LATE):
        return None
    behind = f", the first for {format_duration(round(now - drain.oldest))}" if drain.oldest else ""
    return f"{drain.fault or 'the import is behind'}; {format_size(drain.waiting)} wait{behind}"
