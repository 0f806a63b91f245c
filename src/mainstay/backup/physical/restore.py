"""A whole server back from the storage, at a moment: planned, fetched, replayed, checked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from mainstay.backup.look import Narrator
from mainstay.backup.physical.checks import Soundness, check_indexes, check_pages
from mainstay.backup.physical.cluster import FAST, Cluster, Owner
from mainstay.backup.physical.plan import Route, route
from mainstay.backup.physical.recover import finish, recover
from mainstay.backup.physical.source import wal_of
from mainstay.backup.physical.target import Target
from mainstay.backup.physical.unpack import Progress, materialise
from mainstay.backup.ports import BackupPorts
from mainstay.core.crash import point
from mainstay.core.errors import MainstayError


@dataclass(frozen=True, slots=True)
class NewServer:
    """A restored server: where it lies, as whom and with which program it runs, what the checks found."""

    data: Path
    owner: str
    program: str
    soundness: Soundness
    seconds: float


async def plan(ports: BackupPorts, database: str, target: Target, timeline: int | None = None) -> Route:
    """Find the way to a moment; nothing is changed. Raises `MainstayError`."""
    return await route(ports.storage(wal_of(ports, database).to), database, target, timeline)


async def restore_server(told_to: Narrator, ports: BackupPorts, found: Route, data: Path) -> NewServer:
    """Restore into a directory that is empty, or in which this restore was begun before. Raises `MainstayError`.

    The server there is shut down; nothing in it leads to the original.
    """
    begun = ports.clock.monotonic()
    data = await asyncio.to_thread(data.absolute)
    tools = await asyncio.to_thread(ports.tools.recovery, found.base.major)
    progress = Progress.open(data, found)
    if progress.begun:
        told_to.log("taking up the restore that was begun here")
    owner = Owner.find(lasting=True)
    soundness = Soundness()
    with ports.scratch.workspace() as space:
        usable = await asyncio.to_thread(owner.usable, tools, space.path)
        cluster = Cluster(data, usable, found.base.superuser, owner, space)
        await cluster.alone(ports.clock)
        await materialise(told_to, found, cluster, progress)
        await recover(told_to, found, cluster, progress, {})
        await check_pages(cluster, soundness)
        point("restore.checked")
        async with cluster.running({}):
            await check_indexes(cluster, soundness)
    told_to.log(soundness.summary())
    if soundness.faults:
        raise MainstayError(
            f"what was restored into {data} is damaged: {soundness.summary()}",
            hint="restore to an earlier moment into another directory",
        )
    await asyncio.to_thread(finish, found, cluster)
    seconds = round(ports.clock.monotonic() - begun, 3)
    return NewServer(data, owner.name, tools.program("postgres"), soundness, seconds)


@asynccontextmanager
async def throwaway(told_to: Narrator, ports: BackupPorts, found: Route) -> AsyncIterator[Cluster]:
    """Restore into a server that is gone afterwards; it is shut down when it is given. Raises `MainstayError`."""
    tools = await asyncio.to_thread(ports.tools.recovery, found.base.major)
    owner = Owner.find(lasting=False)
    with ports.scratch.workspace() as space:
        home = owner.home(space)
        usable = await asyncio.to_thread(owner.usable, tools, home)
        cluster = Cluster(home / "data", usable, found.base.superuser, owner, space)
        progress = Progress.open(cluster.data, found)
        await materialise(told_to, found, cluster, progress)
        await recover(told_to, found, cluster, progress, FAST)
        yield cluster
