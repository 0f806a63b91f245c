"""A server brought back by `pgbackrest restore`: up to a moment, replayed, checked, and handed over shut down."""

import asyncio
import json
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mainstay.backup.look import Narrator
from mainstay.backup.pgbackrest.info import Info, Taken
from mainstay.backup.pgbackrest.program import PROGRAM, Account, PgBackRest
from mainstay.backup.physical.checks import Soundness, check_indexes, check_pages
from mainstay.backup.physical.cluster import FAST, Cluster
from mainstay.backup.physical.recover import complete, unhook
from mainstay.backup.physical.restore import NewServer
from mainstay.backup.physical.source import address, facts_of, settings_of, wal_of
from mainstay.backup.physical.target import Kind, Target
from mainstay.backup.ports import BackupPorts
from mainstay.core.crash import point
from mainstay.core.errors import MainstayError
from mainstay.core.units import format_size
from mainstay.ports.postgres.dsn import PostgresError

MARK = ".mainstay-restore"
"""Ends the name of the file beside a directory that says which restore was begun in it."""


@dataclass(frozen=True, slots=True)
class Way:
    """The way to a moment: the stanza as it is, and the backup at which pgBackRest begins."""

    target: Target
    info: Info
    backup: Taken

    def explain(self, argv: list[str]) -> list[str]:
        """Say it in lines."""
        one = self.backup
        taken = f"{one.type} backup {one.label}, {format_size(one.bytes)} of its own in the repository"
        return [
            f"{taken}, {format_size(one.raw_bytes)} unpacked",
            f"then the log of its archive, which reaches to segment {self.info.newest}",
            f"by {shlex.join(argv)}",
        ]


@asynccontextmanager
async def opened(ports: BackupPorts, database: str) -> AsyncIterator[PgBackRest]:
    """Give pgBackRest for a database's stanza. Raises `MainstayError`."""
    settings = wal_of(ports, database)
    with ports.scratch.workspace() as space:
        yield PgBackRest(settings, Account.of(settings), space)


async def plan(rest: PgBackRest, target: Target) -> Way:
    """Find the way to a moment; nothing is changed. Raises `MainstayError`."""
    info = await rest.info()
    backup = info.before(target.at if target.kind is Kind.TIME else None)
    if backup is None:
        first = min((each.taken_at for each in info.backups), default=None)
        hint = (
            f"the first moment is {Target(Kind.TIME, at=first)}" if first else "pgbackrest backup takes one"
        )
        raise MainstayError(f"no backup of stanza {info.stanza} is old enough for {target}", hint=hint)
    return Way(target, info, backup)


def command(rest: PgBackRest, data: Path, target: Target, *, again: bool = False) -> list[str]:
    """Give the command line of a restore; `again` goes on in a directory where it was cut off."""
    return rest.argv("restore", *_options(data, target, again=again))


def _options(data: Path, target: Target, *, again: bool) -> list[str]:
    options = [f"--pg1-path={data}", "--archive-mode=off", *(["--delta"] if again else [])]
    kinds = {Kind.TIME: "time", Kind.NAME: "name", Kind.LSN: "lsn"}
    if target.kind in kinds:
        options += [f"--type={kinds[target.kind]}", f"--target={_target(target)}", "--target-action=promote"]
    return options


def _target(target: Target) -> str:
    if target.kind is Kind.TIME:
        return datetime.fromtimestamp(target.at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")
    (value,) = target.settings().values()
    return value


async def restore_server(
    told_to: Narrator, ports: BackupPorts, rest: PgBackRest, database: str, way: Way, data: Path
) -> NewServer:
    """Restore into a directory that is empty, or in which this was begun before. Raises `MainstayError`."""
    begun = ports.clock.monotonic()
    data = await asyncio.to_thread(data.absolute)
    mark = data.with_name(f"{data.name}{MARK}")
    again = await asyncio.to_thread(_begin, data, mark, f"{way.info.stanza} at {way.target}")
    superuser, settings = await _original(ports, database, mark, f"{way.info.stanza} at {way.target}")
    rest.account.take(data)
    cluster = await _cluster(ports, rest, way, data, superuser)
    try:
        await cluster.alone(ports.clock)
        await _replay(told_to, rest, way, cluster, {}, again=again)
        soundness = await _sound(cluster, {})
        if soundness.faults:
            raise MainstayError(
                f"what was restored into {data} is damaged: {soundness.summary()}",
                hint="restore to an earlier moment into another directory",
            )
        await asyncio.to_thread(unhook, data)
        await asyncio.to_thread(complete, cluster, settings)
    finally:
        cluster.close()
    mark.unlink()
    seconds = round(ports.clock.monotonic() - begun, 3)
    return NewServer(data, rest.account.name, cluster.tools.program("postgres"), soundness, seconds)


async def _original(ports: BackupPorts, database: str, mark: Path, what: str) -> tuple[str, dict[str, str]]:
    """Give the superuser and the settings of the original, and write down what is restored; it may be gone later."""
    noted = _noted(mark)
    superuser, settings = noted.get("superuser", "postgres"), noted.get("settings", {})
    if not noted:
        try:
            dsn = address(ports, database)
            superuser, settings = (await facts_of(dsn)).superuser, await settings_of(dsn)
        except PostgresError:
            pass  # it is gone, which may be why it is restored
        _note(mark, {"what": what, "superuser": superuser, "settings": settings})
    return superuser, settings


@asynccontextmanager
async def throwaway(
    told_to: Narrator, ports: BackupPorts, rest: PgBackRest, way: Way, superuser: str
) -> AsyncIterator[Cluster]:
    """Restore into a server that is gone afterwards; it is shut down when it is given. Raises `MainstayError`."""
    home = rest.account.home(rest.space)
    data = home / "data"
    data.mkdir(mode=0o700)
    rest.account.take(data)
    cluster = await _cluster(ports, rest, way, data, superuser)
    try:
        await _replay(told_to, rest, way, cluster, FAST, again=False)
        yield cluster
    finally:
        cluster.close()


async def _cluster(ports: BackupPorts, rest: PgBackRest, way: Way, data: Path, superuser: str) -> Cluster:
    tools = await asyncio.to_thread(ports.tools.recovery, way.info.major)
    usable = await asyncio.to_thread(rest.account.usable, tools, rest.space.path)
    return Cluster(data, usable, superuser, rest.account, rest.space)


async def _replay(
    told_to: Narrator, rest: PgBackRest, way: Way, cluster: Cluster, extra: dict[str, str], *, again: bool
) -> None:
    await rest.run("restore", *_options(cluster.data, way.target, again=again), on_line=told_to.log)
    point("pgbackrest.restored")
    fetch = rest.argv("archive-get", f"--pg1-path={cluster.data}")
    quoted = shlex.join(fetch).replace("%", "%%")
    settings = {"restore_command": f'{quoted} %f "%p"', **way.target.settings(), **extra}
    if way.target.kind is not Kind.LATEST:
        settings["recovery_target_action"] = "promote"
    try:
        async with cluster.running(settings, told_to.log):
            point("pgbackrest.recovered")
    except PostgresError as fault:
        if "before configured recovery target was reached" in fault.what:
            hint = f"say --to latest: the archive of {PROGRAM} reaches to segment {way.info.newest}"
            raise MainstayError(f"the archive does not reach {way.target}", hint=hint) from fault
        raise


async def _sound(cluster: Cluster, settings: dict[str, str]) -> Soundness:
    found = Soundness()
    await check_pages(cluster, found)
    async with cluster.running(settings):
        await check_indexes(cluster, found)
    return found


def _begin(data: Path, mark: Path, what: str) -> bool:
    """Give whether this very restore was begun in a directory before. Raises `MainstayError` when it is in use."""
    filled = data.is_dir() and any(data.iterdir())
    if mark.is_file() and _noted(mark).get("what") != what:
        raise MainstayError(f"another restore was begun in {data}", hint=f"delete it and {mark}")
    if filled and not mark.is_file():
        raise MainstayError(f"{data} is not empty", hint="name a directory that is empty or not there yet")
    if filled and _whole(data):
        raise MainstayError(
            f"there is a whole server in {data}, and somebody may have used it since",
            hint=f"start it; to restore it once more, delete it and {mark}",
        )
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    # It goes on only where it can see that there was a server.
    return filled and ((data / "PG_VERSION").exists() or (data / "backup.manifest").exists())


def _whole(data: Path) -> bool:
    """Whether a server is through its restore: pgBackRest writes the one file last, PostgreSQL removes the other."""
    return (data / "global" / "pg_control").exists() and not (data / "recovery.signal").exists()


def _noted(mark: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(mark.read_text())
    except (OSError, ValueError):
        return {}
    return found


def _note(mark: Path, what: dict[str, Any]) -> None:
    new = mark.with_name(f"{mark.name}.new")
    new.write_text(json.dumps(what))
    new.chmod(0o600)
    new.rename(mark)
