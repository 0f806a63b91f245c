"""What the types that back up files below a directory have in common: which files, and whether any are there."""

import asyncio
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from mainstay.backup.data.base import DataError, Dataset
from mainstay.core.paths import ConfigPath


class Files(Dataset):
    """Files below a directory."""

    counts: ClassVar[str] = "entries"

    path: ConfigPath = Field(examples=["/var/lib/odoo/filestore"])
    """The directory. Other file systems that are mounted below it are read, too."""
    exclude: list[str] = Field(default=[], examples=[["*.tmp", "sessions", "cache/*.bin"]])
    """Patterns of what is left out: one with a slash is for the path below the directory, one without for
    every name; `*` stops at slashes."""
    may_be_empty: bool = False
    """Whether it is fine that nothing is in it; else that is taken for a file system that is not mounted."""

    def target(self) -> str:
        return str(self.path)

    async def examine(self) -> str:
        return await asyncio.to_thread(look_into, self.path, may_be_empty=self.may_be_empty)


def look_into(path: Path, *, may_be_empty: bool) -> str:
    """Make sure that something is there to be backed up; say so. Raises `DataError`."""
    try:
        some = any(path.iterdir())
    except OSError as fault:
        raise DataError(
            f"{path}: {fault.strerror}", hint="is the path right, and may mainstay read it?"
        ) from None
    if not some and not may_be_empty:
        raise DataError(
            f"{path} is empty", hint="is its file system mounted? if this is fine: may_be_empty: true"
        )
    return f"{path} can be read"
