"""Where a receiver begins: on the branch of the log that is kept, where the storage ends, or the spool."""

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path

from mainstay.backup.physical.branches import branches_of
from mainstay.backup.physical.layout import log_name
from mainstay.backup.physical.shipper import Shipper, Spool, plant, systems
from mainstay.backup.physical.source import Facts
from mainstay.core.errors import MainstayError
from mainstay.ports.objects.base import Storage

logger = logging.getLogger(__name__)


@dataclass
class State:
    """What the parts of a stream tell each other."""

    system: str | None = None
    log: str | None = None
    """What the log is called that is received: a branch of the server's."""
    said: str = ""
    """Why the receiver ended last."""
    broken: bool = False
    """The log cannot be followed from where the spool ends: begin anew."""
    set_back: bool = False
    """The server does not have what we received of it: what it writes from now on is another log."""
    slot_dropped: bool = False


async def newest_log(storage: Storage, database: str, system: str, folder: Path) -> str:
    """Find out on which branch a server's log is kept; by the spools, when the storage cannot be asked.

    Raises `StorageError` when neither says it.
    """
    try:
        return log_name(system, (await branches_of(storage, database, system))[-1].number)
    except MainstayError:
        here = await asyncio.to_thread(systems, folder)
        numbers = [int(name.partition(".")[2] or 0) for name in here if name.split(".")[0] == system]
        if not numbers and not storage.unreadable():
            raise
        return log_name(system, max(numbers, default=0))


async def is_ahead(shipper: Shipper, facts: Facts, *, look_there: bool) -> bool:
    """Whether we have more of a server's log than the server itself, which never happens unless it was set back.

    With `look_there` the storage is asked, too: another node may have received the log.
    """
    if facts.timeline is None:
        return False
    spool = await asyncio.to_thread(Spool.look, shipper.folder)
    end = await asyncio.to_thread(spool.end, facts.timeline, facts.segment)
    if look_there:
        try:
            end = max(end, (await shipper.archive.contents()).end(facts.timeline, facts.segment))
        except MainstayError as fault:
            logger.warning("where the log ends in the storage is not known: %s", fault)
    return end > facts.flushed


async def resume(shipper: Shipper, size: int) -> str:
    """Begin where the storage ends; where the spool ends, when the storage cannot be asked. `size` is a segment's.

    Gives why log may be missing, or nothing. Raises `StorageError` when neither says where to begin.
    """
    storage = shipper.archive.storage
    try:
        await _seed(shipper, size)
    except MainstayError as fault:
        if storage.unreadable():
            return f"where the storage ends cannot be gone on from: {fault}"
        if (await asyncio.to_thread(Spool.look, shipper.folder)).tip is None:
            raise  # to begin anywhere would leave a hole; the server keeps its log meanwhile
        logger.warning("the log goes on from the spool: %s", fault)
    return ""


async def _seed(shipper: Shipper, size: int) -> None:
    """Let the receiver go on behind the newest segment of the storage, when that is further than our spool.

    Another node may have had this role, or this machine lost its disk.
    """
    newest = (await shipper.archive.contents()).newest()
    spool = await asyncio.to_thread(Spool.look, shipper.folder)
    if newest is None or (spool.tip is not None and (spool.tip > newest or spool.whole[-1:] == [newest])):
        return
    await shipper.ship()
    contents = await shipper.archive.contents()
    kept = contents.whole[contents.newest() or newest][0]
    data = await shipper.archive.read(kept)
    if len(data) == size:
        await asyncio.to_thread(plant, shipper.folder, kept.name, data)
