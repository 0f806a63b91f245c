"""A server that is set back on its own timeline (to a snapshot of its disk) writes other log under names that exist.

From then on its log lies in a folder of its own: a branch. Branch 0 is how a server began; the others are written down
in the storage, so that every node, base backup and restore knows which log belongs together.
"""

import re
from dataclasses import dataclass

from mainstay.backup.physical.layout import home_of
from mainstay.ports.objects.base import Storage, chunked

MARK = re.compile(r".*/branch/(\d+)/(\d{4})-(\d+)")


@dataclass(frozen=True, slots=True, order=True)
class Branch:
    """A branch of a server's log. `begun_at` is when it was noticed, by the server's own clock."""

    number: int
    begun_at: float


FIRST = Branch(0, float("-inf"))


async def branches_of(storage: Storage, database: str, system: str) -> list[Branch]:
    """Give the branches of a server's log, the oldest first; there is always one. Raises `StorageError`."""
    found = {FIRST.number: FIRST}
    async for entry in storage.list(f"{home_of(database)}/branch/{system}"):
        if seen := MARK.fullmatch(entry.path):
            number = int(seen[2])
            found.setdefault(number, Branch(number, int(seen[3]) / 1000))
    return sorted(found.values())


async def begin(storage: Storage, database: str, system: str, at: float) -> Branch:
    """Begin another branch, at a moment of the server's clock. Raises `StorageError`."""
    last = (await branches_of(storage, database, system))[-1]
    fresh = Branch(last.number + 1, max(at, last.begun_at))
    path = f"{home_of(database)}/branch/{system}/{fresh.number:04d}-{int(fresh.begun_at * 1000)}"
    await storage.put_as_is(path, chunked(b"The server was set back on its own timeline.\n"), sealed=False)
    return fresh
