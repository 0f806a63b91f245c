"""What `mainstay doctor` says of a log that is kept: the server, the programs, and the stream as it was seen last."""

import asyncio
from typing import TYPE_CHECKING

from mainstay.core.errors import MainstayError

if TYPE_CHECKING:
    from mainstay.app import App


async def log_of(app: "App", name: str) -> tuple[str, str, str]:
    """Give the state (ok, warn or fail), what was seen and what helps. Raises `MainstayError`."""
    from mainstay.backup.physical.source import address, facts_of, unfit, wal_of
    from mainstay.backup.ports import BackupPorts

    ports = app.port(BackupPorts)
    dsn = address(ports, name)
    facts = await facts_of(dsn)
    if wal_of(ports, name).engine == "pgbackrest":
        return await _pgbackrest(app, name, facts.system)
    if fault := unfit(dsn, facts):
        raise fault
    await asyncio.to_thread(ports.tools.replication, facts.major)
    told = f"PostgreSQL {facts.version} may be received"
    try:
        await asyncio.to_thread(ports.tools.recovery, facts.major)
    except MainstayError as fault:
        return "warn", f"{told}, but moments cannot be restored here: {fault.what}", fault.hint or ""
    state, says, hint = await _stream(app, name)
    return state, f"{told}; {says}", hint


async def _pgbackrest(app: "App", name: str, system: str) -> tuple[str, str, str]:
    from mainstay.backup.pgbackrest.restore import opened
    from mainstay.backup.pgbackrest.watch import unwell
    from mainstay.backup.physical.source import wal_of
    from mainstay.backup.ports import BackupPorts

    ports = app.port(BackupPorts)
    async with opened(ports, name) as rest:
        info = await rest.info()
    if wrong := unwell(info, system, wal_of(ports, name), app.clock.now()):
        return "fail", wrong, f"pgbackrest --stanza={info.stanza} check says more"
    state, says, hint = await _stream(app, name)
    return state, f"{len(info.backups)} backups in stanza {info.stanza}; {says}", hint


async def _stream(app: "App", name: str) -> tuple[str, str, str]:
    from mainstay.backup.physical.picture import pictures
    from mainstay.cli.words import ago

    now = app.clock.now()
    wal = app.config.databases[name].wal
    storage = wal.place if wal else ""
    found = (await app.store.read(lambda tx: pictures(tx, {name: storage}, now)))[name]
    seen = f" (seen {ago(found.at, now)})" if found.at else ""
    if found.state == "ok":
        return "ok", f"{found.says}{seen}", ""
    hint = (
        "mainstay up" if found.state == "unknown" else "mainstay incidents; the runbook knows what each means"
    )
    return "warn" if found.state != "fail" else "fail", f"{found.says}{seen}", hint
