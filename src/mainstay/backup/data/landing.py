"""Restoring into a path: what is there keeps its data, under another name, until somebody deletes it."""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from mainstay.backup.compare import Judgement
from mainstay.backup.data.base import DataError, Landed, Landing, Trial


def look_at(into: str, what: str, *, replace: bool) -> Landing:
    """Say what restoring into a path would do. `what` is what would be there, in words."""
    path = Path(into).absolute()
    refused = remedy = None
    if "://" in into:
        refused, remedy = f"{into.partition('://')[0]}://... is not a path", "name one, like /srv/restored"
    elif not path.parent.is_dir():
        refused, remedy = f"there is no directory {path.parent}", "make it first"
    elif occupied(path) and not replace:
        refused, remedy = f"{path} is there already", "name a new path, or say --replace"
    elif occupied(path) and os.path.ismount(path):
        refused, remedy = f"{path} is a mount point and cannot be renamed", "restore into a new path below it"
    lines = [f"{'replace' if occupied(path) else 'make'} {what} {path}"]
    if occupied(path) and not refused:
        lines.append(f"the present {path.name} stays, under another name")
    return Landing(str(path), tuple(lines), refused, remedy)


def occupied(path: Path) -> bool:
    """Whether something is there that would be lost; an empty directory is nothing."""
    if path.is_dir() and not path.is_symlink():
        return any(path.iterdir())
    return os.path.lexists(path)


async def land_at(
    trial: Trial,
    into: str,
    fill: Callable[[Path], Awaitable[Judgement]],
    besides: Sequence[str] = (),
) -> Landed:
    """Let `fill` make a copy beside a path, and change names when it equals the backup. Raises `DataError`.

    `besides` are endings of files that belong to what is there and must go with it.
    """
    path = await asyncio.to_thread(lambda: Path(into).absolute())
    stamp = datetime.fromtimestamp(trial.clock.now(), UTC).strftime("%Y%m%d_%H%M%S")
    draft, before = (path.with_name(f"{path.name}_{word}_{stamp}") for word in ("restoring", "before"))
    done = False
    try:
        judgement = await fill(draft)
        done = True
    except OSError as fault:
        raise DataError(f"{draft}: {fault.strerror}", hint="is there room, and may mainstay write?") from None
    finally:
        if not done:
            await asyncio.to_thread(_drop, draft)
    kept = await asyncio.to_thread(_change_names, path, draft, before, judgement, besides)
    return Landed(str(path), judgement, kept)


def _drop(draft: Path) -> None:
    if draft.is_dir():
        shutil.rmtree(draft, ignore_errors=True)
    else:
        draft.unlink(missing_ok=True)


def _change_names(
    path: Path, draft: Path, before: Path, judgement: Judgement, besides: Sequence[str]
) -> str | None:
    """Put the copy where it belongs; give the new name of what was there."""
    if judgement.differences and occupied(path):
        raise DataError(
            f"the restored copy {draft} differs from the backup, so {path} was left alone: {judgement.summary()}",
            hint="look at it, then delete it",
        )
    try:
        kept = before if occupied(path) else None
        for ending in besides:
            with suppress(FileNotFoundError):
                Path(f"{path}{ending}").rename(f"{before}{ending}")
        if kept is not None:
            path.rename(kept)
        elif path.is_dir():
            path.rmdir()
        draft.rename(path)
    except OSError as fault:
        raise DataError(
            f"the restored copy stays at {draft}: {fault.strerror}", hint="rename it by hand"
        ) from None
    return str(kept) if kept else None
