"""The jobs of this lane: take a base backup, prove that a moment can be restored."""

import asyncio
from dataclasses import asdict
from typing import Any, ClassVar

from mainstay.backup.owner import enter
from mainstay.backup.physical.archive import Archive
from mainstay.backup.physical.base import take_base
from mainstay.backup.physical.branches import branches_of
from mainstay.backup.physical.layout import bases_folder, log_name
from mainstay.backup.physical.plan import follow
from mainstay.backup.physical.prove import prove
from mainstay.backup.physical.record import Base, bases_of, lineage, load, save
from mainstay.backup.physical.retain import prune
from mainstay.backup.physical.server import Server, name_of
from mainstay.backup.physical.source import Source, source, wal_of
from mainstay.backup.ports import BackupPorts
from mainstay.core.crash import point
from mainstay.core.job import Job, JobFailed, Outcome, RunContext
from mainstay.core.units import format_duration, format_size
from mainstay.ports.objects.base import NotThere
from mainstay.ports.postgres.sandbox import end_leftovers

LOG_PATIENCE = 180.0
"""Seconds in which the log of a base backup must have reached the storage."""
LOOK_EVERY, LONGEST_PAUSE = 1.0, 15.0
INCREMENTAL_SINCE = 17


class BaseBackup(Job, type="base_backup"):
    """Takes a base backup of a database's server, from which its log can be replayed to any later moment.

    With the argument `full` it is never an incremental one.
    """

    steps: ClassVar[tuple[str, ...]] = ("check", "base", "log", "retain")

    database: str
    """The database, by its name below `databases:`."""

    async def run(self, run: RunContext) -> Outcome:
        ports, name = run.get(BackupPorts), self.database
        with ports.clock.busy():
            await run.step("check", lambda: _check(run, ports, name))
            taken = await run.step("base", lambda: _base(run, ports, name))
        await run.step("log", lambda: _log(run, ports, name, taken["path"]))
        gone = await run.step("retain", lambda: _retain(run, ports, name))
        return _outcome(name, taken, gone)


class ProveLog(Job, type="prove_log"):
    """Restores a moment of the last two days into a throwaway server, compares the marker rows and checks every page.

    The moment lies between two marker rows and is another one each time. The time that it takes is the time that a
    restore takes.
    """

    steps: ClassVar[tuple[str, ...]] = ("prove",)

    database: str
    """The database, by its name below `databases:`."""

    async def run(self, run: RunContext) -> Outcome:
        ports, name = run.get(BackupPorts), self.database
        with ports.clock.busy():
            found = await run.step("prove", lambda: _prove(run, ports, name))
        if not found["bases"]:  # a storage that cannot be read from here
            why = found["unproven"]["markers"]
            return Outcome(f"{name}: nothing was restored: {why}", {"database": name, **found})
        return told_proof(name, found)


def told_proof(name: str, found: dict[str, Any]) -> Outcome:
    """Say what a proof came to."""
    words = ", ".join(f"{what} not looked at: {why}" for what, why in found["unproven"].items())
    told = f"{name} as it was at {found['target']} restored in {format_duration(found['restore_seconds'])}"
    markers = f"; {found['markers']:,} marker rows are exactly right" if found["proven"] else ""
    return Outcome(f"{told}{markers}{'; ' + words if words else ''}", {"database": name, **found})


async def _prove(run: RunContext, ports: BackupPorts, database: str) -> dict[str, Any]:
    await asyncio.to_thread(ports.scratch.sweep, end_leftovers)
    verdict = await prove(run, ports, database)
    run.log(verdict.soundness.summary())
    if verdict.faults:
        raise JobFailed(
            f"{database} cannot be restored as it was at {verdict.target}: {'; '.join(verdict.faults)}",
            hint=f"mainstay run base_backup:{database} begins anew; then prove again",
            retry=False,
        )
    return verdict.document()


async def _check(run: RunContext, ports: BackupPorts, database: str) -> None:
    await asyncio.to_thread(ports.scratch.sweep, end_leftovers)
    name = wal_of(ports, database).to
    await enter(ports, name)
    swept = await ports.storage(name).sweep(ports.clock.now())
    run.log(f"{ports.storage(name).target()} takes objects{f', {swept} leftovers swept' if swept else ''}")


def _path(run: RunContext, database: str) -> str:
    from datetime import UTC, datetime

    stamp = datetime.fromtimestamp(run.due_at, UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{bases_folder(database)}/{stamp}-{run.id}"


async def _base(run: RunContext, ports: BackupPorts, database: str) -> dict[str, Any]:
    settings, path = wal_of(ports, database), _path(run, database)
    storage = ports.storage(settings.to)
    try:
        base = await load(storage, path)  # an earlier try had finished it
    except NotThere:
        async with source(ports, database) as found:
            branch = await _branch(ports, found)
            parent = None
            may = found.facts.major >= INCREMENTAL_SINCE and found.facts.summarizes
            if may and not run.args.get("full") and not storage.unreadable():
                parent = await _parent(ports, database, log_name(found.facts.system, branch))
            run.log(
                f"{found.dsn}: PostgreSQL {found.facts.version}, {format_size(found.facts.bytes)}; "
                f"{'what changed since ' + parent.id if parent else 'all of it'}, by {found.tools}"
            )
            base = await take_base(run, found, storage, path, parent, branch, ports.clock.now)
        await save(storage, base)
    point("base.recorded")
    return {
        "base": base.id,
        "database": database,
        "path": path,
        "kind": "incremental" if base.parent else "full",
        "bytes": base.bytes,
        "raw_bytes": base.raw_bytes,
        "seconds": base.seconds,
    }


async def _branch(ports: BackupPorts, found: Source) -> int:
    """Give the branch of the log to which the server's belongs now, once the server sends it to our receiver.

    Before that nobody knows: the server may have been set back just now.
    """
    clock, server = ports.clock, Server(found.dsn, name_of(found.database))
    begun = clock.monotonic()
    try:
        while not (await server.look(synchronous=False)).streaming:
            if clock.monotonic() - begun > LOG_PATIENCE:
                raise JobFailed(
                    f"the log of {found.database} is not received, and a base backup is worth nothing without it",
                    hint="the agent receives it; mainstay incidents says what is wrong with it",
                )
            await clock.sleep(LOOK_EVERY)
    finally:
        await server.close()
    storage = ports.storage(found.settings.to)
    return (await branches_of(storage, found.database, found.facts.system))[-1].number


async def _parent(ports: BackupPorts, database: str, log: str) -> Base | None:
    """Give the backup on which an incremental one can stand; None when it is time for a full one."""
    settings = wal_of(ports, database)
    bases, _ = await bases_of(ports.storage(settings.to), database)
    own = [base for base in bases if base.log == log]
    if not own or own[-1].depth >= settings.incrementals:
        return None
    lineage(own[-1], {base.id: base for base in own})
    return own[-1]


async def _log(run: RunContext, ports: BackupPorts, database: str, path: str) -> None:
    """Wait until the storage has the log without which the backup is worth nothing."""
    clock = ports.clock
    storage = ports.storage(wal_of(ports, database).to)
    base = await load(storage, path)
    archive = Archive(storage, base.home)
    begun, pause = clock.monotonic(), LOOK_EVERY
    while True:
        contents = await archive.contents()
        segments, hole = follow(base, contents, base.timeline, await archive.forks(contents, base.timeline))
        if segments and segments[-1].number >= base.last.number:
            run.log(f"its log, {base.first.name} to {base.last.name}, is in {storage.target()}")
            return
        if clock.monotonic() - begun > LOG_PATIENCE:
            raise JobFailed(
                f"segment {hole or base.last.name} of its log is not in {storage.target()}",
                hint="the agent receives the log; mainstay incidents says what is wrong with it",
            )
        await clock.sleep(pause)
        pause = min(LONGEST_PAUSE, pause * 2)  # each look lists what may be many objects


async def _retain(run: RunContext, ports: BackupPorts, database: str) -> dict[str, Any]:
    settings = wal_of(ports, database)
    storage = ports.storage(settings.to)
    gone = await prune(ports.store, storage, database, ports.clock.now(), settings.keep, run.id)
    run.log(gone.refused or f"deleted {gone.bases} base backups and {gone.log} objects of the log")
    return asdict(gone)


def _outcome(database: str, taken: dict[str, Any], gone: dict[str, Any]) -> Outcome:
    size, stored = format_size(taken["raw_bytes"]), format_size(taken["bytes"])
    words = f"{database}: {taken['kind']}, {size}, {stored} stored in {format_duration(taken['seconds'])}"
    if gone["bases"]:
        words += f"; {gone['bases']} older ones deleted"
    return Outcome(words, {**taken, "deleted": gone["bases"], "kept_because": gone["refused"]})
