"""Whose a storage is: a mark in it, so that two installations never keep house in the same place, and so that an empty
mount point is not taken for the disk that belongs there.
"""

import json
import secrets
import socket
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from mainstay.backup.ports import BackupPorts
from mainstay.core.errors import MainstayError
from mainstay.ports.objects.base import HOUSE, Denied, NotThere, Powers, Storage, StorageError, chunked
from mainstay.store import meta
from mainstay.store.base import Store, Tx

MARK = f"{HOUSE}/owner.json"
INSTALLATION = "installation"


@dataclass(frozen=True, slots=True)
class Mark:
    """Who keeps house in a storage: the journal's own name, the machine, since when (seconds since 1970)."""

    installation: str
    host: str
    since: float

    @property
    def day(self) -> str:
        """Since when, as a date."""
        return datetime.fromtimestamp(self.since, UTC).date().isoformat()


async def installation(store: Store) -> str:
    """Give the name by which this journal knows itself; it gets one on first use."""

    def named(tx: Tx) -> str:
        name = meta.get(tx, INSTALLATION)
        if name is None:
            name = secrets.token_hex(8)
            meta.put(tx, INSTALLATION, name)
        return name

    return await store.write(named)


async def read_mark(storage: Storage) -> Mark | None:
    """Give a storage's mark, or None. Raises `StorageError`."""
    try:
        text = b"".join([chunk async for chunk in storage.get_as_is(MARK)])
        return Mark(**json.loads(text))
    except NotThere:
        return None
    except (ValueError, TypeError):
        raise StorageError(
            f"{storage.target()}: {MARK} is damaged",
            hint="look whether the place is what it should be, then claim it",
        ) from None


async def admit(ports: BackupPorts, name: str) -> Mark | None:
    """Give a storage's mark if we may keep house there; None when there is none and none is missed.

    Raises `StorageError` when another installation does, or when the mark is gone that we left there. Nothing is
    written. A key that may only write cannot look.
    """
    storage = ports.storage(name)
    if storage.write_only:
        return None
    try:
        mark = await read_mark(storage)
    except Denied:
        return None  # what the key may not do, the check says better
    ours = await installation(ports.store)
    known = await ports.store.read(lambda tx: meta.get(tx, _key(name, storage)))
    if mark is None and known is not None:
        raise StorageError(
            f"{storage.target()} lacks the mark that mainstay left there: it is not the place that it was",
            hint=f"is the disk mounted? if it is new on purpose: mainstay backup claim {name}",
        )
    if mark is not None and mark.installation != ours:
        raise StorageError(
            f"{storage.target()} belongs to another installation of mainstay, on {mark.host} since {mark.day}",
            hint=f"give each its own directory, bucket or prefix; if the other is gone: mainstay backup claim {name}",
        )
    return mark


async def claim(ports: BackupPorts, name: str) -> Mark:
    """Make a storage ours, whoever's it was. Raises `StorageError`."""
    storage = ports.storage(name)
    if storage.write_only:
        raise MainstayError(f"{name} has no mark: its key may only write", hint="nothing needs to be claimed")
    mark = Mark(await installation(ports.store), socket.gethostname(), ports.clock.now())
    await storage.put_as_is(MARK, chunked(json.dumps(asdict(mark)).encode()), sealed=False)
    await _know(ports, name, storage)
    return mark


async def enter(ports: BackupPorts, name: str) -> Powers:
    """Make sure that we may keep house in a storage and that it takes objects; give what else it lets us do.

    Raises `StorageError`, before anything is written when it is not ours.
    """
    await admit(ports, name)
    powers = await ports.storage(name).check()
    await settle(ports, name)
    return powers


async def settle(ports: BackupPorts, name: str) -> None:
    """Leave our mark in a storage that has none, or remember that it has it. Raises `StorageError`."""
    storage = ports.storage(name)
    if storage.write_only:
        return
    if await admit(ports, name) is None:
        await claim(ports, name)
    else:
        await _know(ports, name, storage)


async def _know(ports: BackupPorts, name: str, storage: Storage) -> None:
    await ports.store.write(lambda tx: meta.put(tx, _key(name, storage), "marked"))


def _key(name: str, storage: Storage) -> str:
    # With the place in it: the same name may stand for another place tomorrow.
    return f"storage:{name}:{storage.target()}"
