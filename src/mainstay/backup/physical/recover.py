"""Replaying the log up to a moment, in a data directory that holds a base backup."""

import asyncio
import hashlib
import re
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

from mainstay.backup.fetch import Damaged
from mainstay.backup.look import Narrator
from mainstay.backup.physical.cluster import Cluster
from mainstay.backup.physical.layout import Segment
from mainstay.backup.physical.plan import NoWay, Route
from mainstay.backup.physical.target import Kind
from mainstay.backup.physical.unpack import STATE, WORK, Progress
from mainstay.core.crash import point
from mainstay.ports.postgres.dsn import PostgresError

ABREAST = 4
RESTORED = re.compile('restored log file "([0-9A-F]{24})"')
TIES = re.compile(
    r"^\s*(?:synchronous_standby_names\s*=.*mainstay_|(?:archive_(?:command|library|mode|cleanup_command)|primary_conninfo"
    r"|primary_slot_name|restore_command|recovery_end_command|recovery_target\w*)\s*=)",
    re.IGNORECASE,
)
"""What a copy must not have from its original: a receiver that its commits would wait for, and an archive, a server to
follow or a command of recovery that are the original's. They would act the moment that people start the copy."""
ALONE = "archive_mode = 'off'  # by mainstay: this is a copy; take this out when it archives elsewhere\n"
SIGNALS = ("recovery.signal", "standby.signal")


async def fetch_log(told_to: Narrator, route: Route, cluster: Cluster) -> None:
    """Lay the segments and the histories beside the data. Raises `Damaged`, `StorageError`."""
    folder = cluster.data / WORK / "wal"
    for kept in route.contents.histories.values():
        _lay(cluster, folder / f"{int(kept.name, 16):08X}.history", await route.archive.read(kept))
    there = await asyncio.to_thread(lambda: {each for each in route.segments if _whole(route, folder, each)})
    waiting = [each for each in route.segments if each not in there]
    done = len(route.segments) - len(waiting)
    gate = asyncio.Semaphore(ABREAST)

    async def one(segment: Segment) -> None:
        nonlocal done
        async with gate:
            data = await route.archive.segment(route.contents, segment)
            if data is None or len(data) != segment.size:
                raise Damaged(f"segment {segment.name} is not whole in {route.archive.storage.target()}")
            await asyncio.to_thread(_lay, cluster, folder / segment.name, data)
            point("restore.laid")
            done += 1
            told_to.progress("fetching log", done, len(route.segments), "segments")

    tasks = [asyncio.create_task(one(segment)) for segment in waiting]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    point("restore.fetched")


def _whole(route: Route, folder: Path, segment: Segment) -> bool:
    """Whether a segment was laid there whole.

    One put together from pieces, by a restore that was cut off, ends where the log ended then: replay would end there.
    """
    file, whole = folder / segment.name, route.contents.whole.get(segment.name, [])
    if len(whole) != 1 or not file.is_file():
        return False
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest() == whole[0].sha256


def _lay(cluster: Cluster, file: Path, data: bytes) -> None:
    new = file.with_name(f"{file.name}.new")
    new.write_bytes(data)
    cluster.owner.take(new)
    new.rename(file)


async def recover(
    told_to: Narrator, route: Route, cluster: Cluster, progress: Progress, extra: dict[str, str]
) -> None:
    """Replay up to the moment, promote and shut down. Raises `NoWay` when the log does not reach it."""
    if progress.recovered:
        return
    signal = cluster.data / SIGNALS[0]
    if progress.replaying and not signal.exists():
        # It was through when we were killed, and lives on a timeline of its own: it is not to be replayed once more.
        async with cluster.running(extra, told_to.log):
            point("restore.recovered")
        _recovered(progress)
        return
    await fetch_log(told_to, route, cluster)
    for name in SIGNALS:
        (cluster.data / name).unlink(missing_ok=True)
    await asyncio.to_thread(unhook, cluster.data)
    progress.replaying = False
    progress.keep()
    signal.touch(mode=0o600)
    cluster.owner.take(signal)
    progress.replaying = True
    progress.keep()
    point("restore.signalled")
    replayed = 0
    lines: list[str] = []

    def heard(line: str) -> None:
        nonlocal replayed
        lines.append(line)
        told_to.log(line)
        if RESTORED.search(line):
            replayed += 1
            told_to.progress("replaying", replayed, len(route.segments), "segments")
            point("restore.replaying")

    settings = {**_settings(route, cluster), **extra}
    try:
        async with cluster.running(settings, heard):
            point("restore.recovered")
    except PostgresError as fault:
        said = "\n".join(lines)
        if (
            "before configured recovery target was reached" in said
            or "is before consistent recovery point" in said
        ):
            raise NoWay(f"the log does not reach {route.target}", hint=_instead(route)) from fault
        raise
    _recovered(progress)


def _recovered(progress: Progress) -> None:
    progress.recovered = True
    progress.keep()
    point("restore.noted")


def _instead(route: Route) -> str:
    if route.target.kind is Kind.NAME:
        return f"if that restore point is older than base backup {route.base.id}, say its time instead"
    missing = f"; {route.hole} is missing" if route.hole else ""
    return f"say --to latest for all that there is{missing}"


def _settings(route: Route, cluster: Cluster) -> dict[str, str]:
    wal = shlex.quote(str(cluster.data / WORK / "wal")).replace("%", "%%")
    found = {
        "restore_command": f'cp {wal}/"%f" "%p"',
        "recovery_target_timeline": str(route.timeline),
        **route.target.settings(),
    }
    if route.target.kind is not Kind.LATEST:
        found["recovery_target_action"] = "promote"
    return found


def unhook(data: Path) -> None:
    """Take out what ties the copy to the original and was set by ALTER SYSTEM; the other file is written anew."""
    file = data / "postgresql.auto.conf"
    if file.is_file():
        lines = file.read_text().splitlines(keepends=True)
        kept = [line for line in lines if not TIES.match(line)]
        if kept != lines:
            file.write_text("".join(kept))


def finish(route: Route, cluster: Cluster) -> None:
    """Make the directory one that anybody can start: nothing of the restore is left in it."""
    complete(cluster, route.base.settings)
    # How far it came goes last: who is killed before that goes on from there.
    work = cluster.data / WORK
    for each in sorted(work.iterdir(), key=lambda each: each.name == STATE):
        shutil.rmtree(each) if each.is_dir() else each.unlink()
        point("restore.finishing")
    work.rmdir()


def complete(cluster: Cluster, settings: Mapping[str, str]) -> None:
    """Add the files of configuration that the original had elsewhere; `settings` is what they said."""
    _archive_nothing(cluster)
    for name, text in (
        ("postgresql.conf", _configuration(settings)),
        ("pg_hba.conf", HBA),
        ("pg_ident.conf", ""),
    ):
        file = cluster.data / name
        if not file.exists():
            file.write_text(text)
            file.chmod(0o600)
            cluster.owner.take(file)
            point("restore.finishing")


def _archive_nothing(cluster: Cluster) -> None:
    """A copy must not archive where its original does, even when its own postgresql.conf came along."""
    file = cluster.data / "postgresql.auto.conf"
    said = file.read_text() if file.is_file() else ""
    if ALONE not in said:
        file.write_text(said + ALONE)
        cluster.owner.take(file)


HBA = """# Written by mainstay: the original's lay elsewhere. Let in only who should be.
local all all peer
host all all 127.0.0.1/32 scram-sha-256
host all all ::1/128 scram-sha-256
"""
ELSEWHERE = re.compile(
    "_file$|^data_directory$|^unix_socket|^include|^synchronous_standby_names$|_directory$|^ssl|^cluster_name$|^port$"
    "|^listen_addresses$"
)


def _configuration(settings: Mapping[str, str]) -> str:
    lines = ["# Written by mainstay from what the original said; its own postgresql.conf lay elsewhere."]
    for name, value in sorted(settings.items()):
        comment = "# " if ELSEWHERE.search(name) else ""
        escaped = value.replace("'", "''")
        lines.append(f"{comment}{name} = '{escaped}'")
    return "\n".join(lines) + "\n"
