"""The jobs where pgBackRest keeps the log: take a backup, look after the archive, prove a moment."""

import asyncio
from typing import Any, ClassVar

from mainstay.backup.pgbackrest.prove import prove
from mainstay.backup.pgbackrest.restore import opened
from mainstay.backup.pgbackrest.watch import look_after
from mainstay.backup.physical.jobs import told_proof
from mainstay.backup.physical.source import wal_of
from mainstay.backup.ports import BackupPorts
from mainstay.core.job import Job, JobFailed, Outcome, RunContext
from mainstay.core.units import format_duration, format_size
from mainstay.ports.postgres.sandbox import end_leftovers


class PgBackRestBackup(Job, type="pgbackrest_backup"):
    """Has pgBackRest take a backup of a database's server: incremental, and full after so many of these.

    With the argument `full` it is a full one. pgBackRest keeps and expires by its own configuration.
    """

    steps: ClassVar[tuple[str, ...]] = ("backup",)

    database: str
    """The database, by its name below `databases:`."""

    async def run(self, run: RunContext) -> Outcome:
        ports, name = run.get(BackupPorts), self.database
        taken = await run.step("backup", lambda: _backup(run, ports, name))
        size, stored = format_size(taken["raw_bytes"]), format_size(taken["bytes"])
        words = f"{name}: {taken['kind']}, {size}, {stored} stored in {format_duration(taken['seconds'])}"
        return Outcome(words, taken)


class PgBackRestCheck(Job, type="pgbackrest_check"):
    """Looks whether log reaches pgBackRest's repository, and whether there is a backup that is not too old.

    It writes a marker row first, by which proofs see that a restore stopped at the right moment.
    """

    steps: ClassVar[tuple[str, ...]] = ("check",)

    database: str
    """The database, by its name below `databases:`."""

    async def run(self, run: RunContext) -> Outcome:
        ports, name = run.get(BackupPorts), self.database
        found = await run.step("check", lambda: look_after(run, ports, name))
        return Outcome(f"{name}: {found['says']}", {"database": name, **found})


class PgBackRestProof(Job, type="pgbackrest_proof"):
    """Has pgBackRest restore a moment of the last two days into a throwaway server, compares the marker rows and checks
    every page.
    """

    steps: ClassVar[tuple[str, ...]] = ("prove",)

    database: str
    """The database, by its name below `databases:`."""

    async def run(self, run: RunContext) -> Outcome:
        ports, name = run.get(BackupPorts), self.database
        with ports.clock.busy():
            found = await run.step("prove", lambda: _prove(run, ports, name))
        return told_proof(name, found)


async def _backup(run: RunContext, ports: BackupPorts, database: str) -> dict[str, Any]:
    settings = wal_of(ports, database)
    async with opened(ports, database) as rest:
        before = await rest.info()
        since = before.since_full()
        full = bool(run.args.get("full")) or since is None or since >= settings.incrementals
        with ports.clock.busy():
            await rest.run("backup", f"--type={'full' if full else 'incr'}", on_line=run.log)
        after = await rest.info()
    taken = after.backups[-1] if after.backups else None
    if taken is None or taken.label in [each.label for each in before.backups]:
        raise JobFailed("pgbackrest backup ended well, but there is no new backup", hint="pgbackrest info")
    kind = "full" if taken.type == "full" else "incremental"
    return {
        "base": taken.label,
        "database": database,
        "kind": kind,
        "bytes": taken.bytes,
        "raw_bytes": taken.raw_bytes,
        "seconds": round(taken.taken_at - taken.begun_at, 3),
    }


async def _prove(run: RunContext, ports: BackupPorts, database: str) -> dict[str, Any]:
    await asyncio.to_thread(ports.scratch.sweep, end_leftovers)
    verdict = await prove(run, ports, database)
    run.log(verdict.soundness.summary())
    if verdict.faults:
        raise JobFailed(
            f"{database} cannot be restored as it was at {verdict.target}: {'; '.join(verdict.faults)}",
            hint=f"mainstay run base_backup:{database} --arg full=true begins anew; then prove again",
            retry=False,
        )
    return verdict.document()
