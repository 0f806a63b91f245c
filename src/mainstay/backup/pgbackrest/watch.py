"""Whether the archive of pgBackRest gets what the server writes, and whether its backups are young enough."""

import socket
from typing import Any

from mainstay.backup.pgbackrest.info import Info
from mainstay.backup.pgbackrest.restore import opened
from mainstay.backup.physical.server import mark
from mainstay.backup.physical.settings import WalSettings
from mainstay.backup.physical.source import facts_of, wal_of
from mainstay.backup.ports import BackupPorts
from mainstay.backup.session import one, session
from mainstay.core.errors import MainstayError
from mainstay.core.job import JobFailed, RunContext
from mainstay.core.units import format_duration
from mainstay.ports.postgres.dsn import Dsn
from mainstay.store import wal
from mainstay.store.wal import Seen

ARCHIVER = """
SELECT last_archived_wal, extract(epoch FROM last_archived_time)::float8, last_failed_wal,
       last_failed_time > COALESCE(last_archived_time, '-infinity'),
       extract(epoch FROM clock_timestamp())::float8
FROM pg_catalog.pg_stat_archiver
"""


async def look_after(run: RunContext, ports: BackupPorts, database: str) -> dict[str, Any]:
    """Look, write down what was seen, and raise `JobFailed` when log or backups are missing."""
    settings, dsn = wal_of(ports, database), ports.dsn(database)
    if settings.markers:
        await mark(dsn)
    wrong = ""
    info: Info | None = None
    try:
        async with opened(ports, database) as rest:
            info = await rest.info()
            await rest.run("check", on_line=run.log)
            info = await rest.info()
            wrong = unwell(info, (await facts_of(dsn)).system, settings, ports.clock.now())
    except MainstayError as fault:
        wrong = str(fault)
    await _note(ports, database, settings, info, await archived(dsn), wrong)
    if wrong:
        raise JobFailed(
            f"{database}: {wrong}", hint="the log waits on the server's disk until it is archived"
        )
    assert info is not None  # noqa: S101 - else something was wrong
    newest = info.backups[-1]
    return {"says": f"archived up to {info.newest}, last backup {newest.label}", "segment": info.newest}


def unwell(info: Info, system: str, settings: WalSettings, now: float) -> str:
    """Say what is wrong with a stanza, or nothing."""
    if info.system != system:
        return f"stanza {info.stanza} is that of another server"
    if info.wrong:
        return f"pgbackrest says of stanza {info.stanza}: {info.wrong}"
    sound = [each for each in info.backups if not each.damaged]
    if not sound:
        return f"there is no backup in stanza {info.stanza}"
    age = now - sound[-1].taken_at
    if age > settings.oldest:
        return f"the last backup is {format_duration(round(age))} old"
    return ""


async def archived(dsn: Dsn) -> tuple[str | None, float | None, str]:
    """Give the last segment that the server archived, when, and what failed since. Raises `PostgresError`."""
    async with session(dsn) as connection:
        name, at, failed, failing, _ = await one(connection, ARCHIVER)
    return name, at, f"{failed} could not be archived" if failing else ""


async def _note(
    ports: BackupPorts,
    database: str,
    settings: WalSettings,
    info: Info | None,
    last: tuple[str | None, float | None, str],
    wrong: str,
) -> None:
    now, (name, at, failing) = ports.clock.now(), last
    behind = 0.0 if not wrong or at is None else max(0.0, now - at)
    state = {
        "host": socket.gethostname(), "log": settings.stanza, "mode": "archived", "waits": False,
        "streaming": not (wrong or failing), "late": behind, "said": wrong or failing,
        "receive_lag_bytes": None, "receive_lag_seconds": behind, "storage_lag_bytes": None,
        "storage_lag_seconds": behind, "stored_at": at, "segment": info.newest if info else name, "segment_at": at,
        "retained_bytes": None, "most_retained": settings.most_retained, "every": CHECKED,
    }  # fmt: skip
    await ports.store.write(lambda tx: wal.put(tx, Seen(database, now, state)))


CHECKED = 900.0
"""Seconds after which a look at an archive is old; it is looked after every five minutes unless the file says else."""
