"""Replacing a file by SFTP so that one of the two is always there, also on servers that cannot do it in one step.

Those (no `posix-rename@openssh.com`) refuse to rename over a file. Then the old one is put aside first, under a name
that tells where it belongs; whoever looks for it, after a writer was cut off in between, puts it back.
"""

from contextlib import suppress
from typing import TYPE_CHECKING

from mainstay.core.crash import point
from mainstay.ports.objects.base import PART

if TYPE_CHECKING:
    from asyncssh import SFTPClient

ASIDE = f".replaced{PART}"
TRIES = 3
"""A reader may put an old file back while it is replaced."""


def aside_of(file: str) -> str:
    """Give where a file lies while it is replaced."""
    folder, slash, last = file.rpartition("/")
    return f"{folder}{slash}.{last}{ASIDE}"


def original_of(name: str) -> str | None:
    """Give the name of the file that lies aside under `name`; None when it is nothing of the kind."""
    if name.startswith(".") and name.endswith(ASIDE):
        return name[1 : -len(ASIDE)]
    return None


async def replace(client: "SFTPClient", part: str, file: str) -> None:
    """Give a file that is whole its name, over another one. Raises `asyncssh.SFTPError`."""
    import asyncssh

    try:
        await client.posix_rename(part, file)
    except asyncssh.SFTPOpUnsupported:
        await _in_steps(client, part, file)


async def _in_steps(client: "SFTPClient", part: str, file: str) -> None:
    import asyncssh

    for left in reversed(range(TRIES)):
        try:
            await client.rename(part, file)  # a new name, which is the rule, appears in one step
            break
        except (asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists):
            if not left or not await client.exists(file):
                raise
        await _remove(client, aside_of(file))
        await client.rename(file, aside_of(file))
        point("sftp.aside")
    await _remove(client, aside_of(file))


async def put_back(client: "SFTPClient", file: str) -> bool:
    """Put an old file back whose replacement was cut off; give whether there was one."""
    import asyncssh

    with suppress(asyncssh.SFTPError):
        if await client.exists(aside_of(file)) and not await client.exists(file):
            await client.rename(aside_of(file), file)
            return True
    return False


async def remove(client: "SFTPClient", file: str) -> None:
    """Remove a file, and first what would be put back in its place. Raises `asyncssh.SFTPError`."""
    await _remove(client, aside_of(file))
    await client.remove(file)


async def _remove(client: "SFTPClient", file: str) -> None:
    import asyncssh

    with suppress(asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
        await client.remove(file)
