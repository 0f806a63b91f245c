"""What is done in a storage before and after a backup: may we keep house there, what was left behind, what may go."""

import asyncio
from typing import Any

from mainstay.backup.catalog import (
    adopt,
    delete,
    finish_deletions,
    retention,
    returned,
    survey,
    sweep_orphans,
    vanished,
)
from mainstay.backup.owner import enter
from mainstay.backup.ports import BackupPorts
from mainstay.core.errors import MainstayError
from mainstay.core.job import JobFailed, RunContext
from mainstay.core.units import format_size
from mainstay.ports.objects.base import Denied
from mainstay.ports.postgres.sandbox import end_leftovers
from mainstay.store.backups import Backup

AT_ONCE = 16
"""Backups that are deleted at a time."""


async def check(run: RunContext, ports: BackupPorts, database: str) -> dict[str, Any]:
    """Sweep what a killed process left; find out which storages take an object before anything is dumped.

    Gives the `ready` ones, by how many seconds their clocks are ahead of ours (`offsets`), and the `faults` of the
    others.
    Raises `MainstayError` when none is ready.
    """
    await asyncio.to_thread(ports.scratch.sweep, end_leftovers)
    offsets: dict[str, float | None] = {}
    faults: dict[str, MainstayError] = {}
    for name in ports.backup(database).storages:
        try:
            offsets[name] = await prepare(run, ports, database, name)
        except MainstayError as fault:
            run.log(f"{name} is left out: {fault}")
            faults[name] = fault
    if not offsets and len(faults) == 1:
        raise next(iter(faults.values()))
    if not offsets:
        raise JobFailed("; ".join(f"{name}: {fault.what}" for name, fault in faults.items()))
    return {
        "ready": list(offsets),
        "offsets": offsets,
        "faults": {name: fault.what for name, fault in faults.items()},
    }


async def prepare(run: RunContext, ports: BackupPorts, database: str, name: str) -> float | None:
    """Make sure that a storage is ours and takes objects; give by how many seconds its clock is ahead of ours.

    None when it has none of its own. Raises `MainstayError`.
    """
    storage = ports.storage(name)
    powers = await enter(ports, name)  # before the sweep: it says best what is wrong with a storage
    swept = await storage.sweep(ports.clock.now()) + await sweep_orphans(ports, database, name, run.id)
    told = [f"{name} ({storage.target()}) takes objects"]
    told += [f"{swept} leftovers swept"] if swept else []
    told += [] if powers.delete else ["nothing may be deleted there"]
    run.log(", ".join(told))
    return None if powers.now is None else powers.now - ports.clock.now()


async def retain(
    run: RunContext, ports: BackupPorts, database: str, name: str, offset: float | None = None
) -> int:
    """Delete from a storage what the rules let go; give how many. Raises `StorageError`.

    What the storage does not let us delete stays, and is said. `offset` is by how much its clock is ahead of ours.
    """
    await finish_deletions(ports, database, name)
    for lost in await vanished(ports, database, name):
        run.log(f"MISSING {lost.id}: somebody deleted it from {name}")
    for back in await returned(ports, database, name):
        run.log(f"{back.id} is in {name} again")
    for found in await adopt(ports, database, name):
        run.log(f"found {found.id} in {name}, which the journal did not know")
    plan, present = await retention(ports, database, name, offset)
    if plan.refused:
        run.log(f"nothing is deleted from {name}: {plan.refused}")
    gone = await _delete(run, ports, database, name, [present[each] for each in plan.delete])
    if gone and database in ports.data:
        await ports.data[database].tidy(run, ports, database, name)
    if plan.over:
        space = format_size(ports.backup(database).keep.space or 0)
        run.log(
            f"{name} holds {format_size(plan.over)} more than the {space} allowed; what is left must stay"
        )
    return gone


async def _delete(run: RunContext, ports: BackupPorts, database: str, name: str, old: list[Backup]) -> int:
    """Delete backups, the oldest first and some at a time; give how many went before the storage said no."""
    gone = 0
    lying = (
        {place.path: place.entries for place in await survey(ports.storage(name), database)} if old else {}
    )
    for start in range(0, len(old), AT_ONCE):
        some = old[start : start + AT_ONCE]
        done = await asyncio.gather(
            *(delete(ports, each, lying.get(each.path, [])) for each in some), return_exceptions=True
        )
        faults = [fault for fault in done if isinstance(fault, BaseException)]
        for each, fault in zip(some, done, strict=True):
            if fault is None:
                run.log(f"deleted {each.id} from {name}")
        gone += len(some) - len(faults)
        for fault in faults:
            if not isinstance(fault, Denied):
                raise fault
        if faults:
            run.log(
                f"{len(old) - gone} backups could go from {name}, which does not let us delete: {faults[0]}"
            )
            break
    return gone
