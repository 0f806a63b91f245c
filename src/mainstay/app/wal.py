"""The streams of the databases whose log is kept, put together: one per database, on one node at a time."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mainstay.backup.pgbackrest.jobs import PgBackRestBackup, PgBackRestCheck, PgBackRestProof
from mainstay.backup.physical.alarms import GAP, STREAM, Alarm, Alarms, key_of
from mainstay.backup.physical.jobs import BaseBackup, ProveLog
from mainstay.backup.physical.release import release
from mainstay.backup.physical.settings import WalSettings
from mainstay.backup.physical.stream import Stream
from mainstay.backup.ports import BackupPorts
from mainstay.config.model import Config
from mainstay.core.errors import MainstayError
from mainstay.core.incident import Severity
from mainstay.core.job import Job
from mainstay.core.run import Run, RunState
from mainstay.engine.lease import Lease
from mainstay.engine.runner import RunHook
from mainstay.incidents.desk import Desk
from mainstay.store.base import Tx

if TYPE_CHECKING:
    from mainstay.app.compose import App

CRITICAL = BaseBackup | ProveLog | PgBackRestBackup | PgBackRestCheck | PgBackRestProof
"""The jobs whose failure wakes people."""


def jobs_of(name: str, wal: WalSettings) -> Mapping[str, Job]:
    """Make the jobs of a database whose log is kept."""
    if wal.engine == "pgbackrest":
        return {
            f"base_backup:{name}": PgBackRestBackup(
                database=name, at=wal.base, timezone=wal.timezone, timeout=wal.timeout
            ),
            f"prove_log:{name}": PgBackRestProof(
                database=name, at=wal.prove, timezone=wal.timezone, timeout=wal.timeout
            ),
            f"check_log:{name}": PgBackRestCheck(
                database=name, at=wal.check, timezone=wal.timezone, timeout=600.0
            ),
        }
    return {
        f"base_backup:{name}": BaseBackup(
            database=name, at=wal.base, timezone=wal.timezone, timeout=wal.timeout
        ),
        f"prove_log:{name}": ProveLog(
            database=name, at=wal.prove, timezone=wal.timezone, timeout=wal.timeout
        ),
    }


def healed(desk: Desk) -> RunHook:
    """A base backup with its log in the storage ends the incident of a gap before it."""

    def ended(tx: Tx, run: Run) -> None:
        kind, _, database = run.job.partition(":")
        if kind == "base_backup" and run.state is RunState.DONE:
            desk.clear_condition(tx, key_of(GAP, database), "there is a base backup behind the gap")

    return ended


async def keep_logs(app: "App") -> None:
    """Keep the log of every database that wants it, for ever."""
    async with asyncio.TaskGroup() as tasks:
        for name, database in app.config.databases.items():
            if database.wal is not None and database.wal.engine == "mainstay":
                tasks.create_task(_keep(app, name))
            elif name in known_logs(app.config):
                tasks.create_task(_release(app, name))


def known_logs(config: Config) -> set[str]:
    """Give the databases whose log is kept, or was kept here once, so that their servers may still keep it for us."""
    return {
        name
        for name, database in config.databases.items()
        if database.wal is not None or _folder(config, name).is_dir()
    }


def _folder(config: Config, name: str) -> Path:
    return config.state_dir / "wal" / name


async def _release(app: "App", name: str) -> None:
    alarms = Alarms(app.store, app.clock, app.desk, name)
    async with Lease(app.store, app.clock, app.node, f"wal:{name}") as lease:
        await lease.keep(lambda: release(app.port(BackupPorts), alarms))


async def _keep(app: "App", name: str) -> None:
    alarms = Alarms(app.store, app.clock, app.desk, name)
    try:
        stream = Stream(app.port(BackupPorts), alarms, name, _folder(app.config, name))
    except MainstayError as fault:
        await alarms.say(_unusable(name, fault))
        return
    async with Lease(app.store, app.clock, app.node, f"wal:{name}") as lease:
        await lease.keep(stream.serve)


def _unusable(name: str, fault: MainstayError) -> Alarm:
    return Alarm(
        STREAM,
        Severity.CRITICAL,
        f"The log of {name} is not received",
        str(fault),
        "mend the file, then mainstay up reads it at SIGHUP",
    )
