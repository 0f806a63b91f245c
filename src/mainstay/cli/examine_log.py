"""What `mainstay doctor` says of the log of webhooks."""

import asyncio
from typing import TYPE_CHECKING

from mainstay.cli.words import ago
from mainstay.core.amounts import format_size
from mainstay.edge.inbox.harvest import waiting
from mainstay.edge.inbox.log import DIRECTORY
from mainstay.store import inbox

if TYPE_CHECKING:
    from mainstay.app import App

LATE = 30.0
"""Seconds after which a webhook should long be in the journal."""


async def waiting_in_log(app: "App") -> tuple[str, bool]:
    """Tell what the edge of this machine has acknowledged that is not in the journal yet, and whether that is long."""
    directory = app.config.state_dir / DIRECTORY
    size, since = await asyncio.to_thread(waiting, directory, await app.store.read(inbox.imported))
    now = app.clock.now()
    if since is None:
        return "all is in the journal", False
    told = f"{format_size(size)} in {directory} wait for the journal, the first came {ago(since, now)}"
    return told, now - since >= LATE
