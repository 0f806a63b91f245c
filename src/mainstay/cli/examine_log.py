"""What `mainstay doctor` says of the log of webhooks."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from mainstay.cli.words import ago
from mainstay.core.amounts import format_size
from mainstay.edge.inbox.drain import LATE
from mainstay.edge.inbox.harvest import waiting
from mainstay.edge.inbox.log import DAMAGED, DIRECTORY, ENDING, REFUSED, segments
from mainstay.store import inbox

if TYPE_CHECKING:
    from mainstay.app import App


async def waiting_in_log(app: "App") -> tuple[str, bool]:
    """Tell what the edge of this machine has acknowledged that is not in the journal yet, and whether that is long."""
    directory = app.config.state_dir / DIRECTORY
    size, since = await asyncio.to_thread(waiting, directory, await app.store.read(inbox.imported))
    now = app.clock.now()
    if aside := await asyncio.to_thread(_aside, directory):
        return f"{aside} in {directory} could not be imported: what ends with {REFUSED}, {DAMAGED}", True
    if since is None:
        return "all is in the journal", False
    told = f"{format_size(size)} in {directory} wait for the journal, the first came {ago(since, now)}"
    return told, now - since >= LATE


def _aside(directory: Path) -> str:
    """Say how many files lie beside the log; nothing when none do."""
    if not directory.is_dir():
        return ""
    count = sum(not name.endswith(ENDING) for name in segments(directory, REFUSED, DAMAGED))
    return f"{count} {'file' if count == 1 else 'files'}" if count else ""
