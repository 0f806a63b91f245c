"""API keys, as the journal has them: held in memory, and told of every change within a second or two."""

import hashlib
import logging
import re
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from mainstay.core.errors import JournalError
from mainstay.edge.gateway.contact import Contact
from mainstay.edge.gateway.hygiene import safe
from mainstay.edge.gateway.identity import Bad, Identity, Known, Unsure
from mainstay.ports.clock import Clock
from mainstay.store import keys
from mainstay.store.base import Store
from mainstay.store.keys import LiveKey

_SHAPE = re.compile(rb"ms_[a-z0-9]{10}_[a-z0-9]{36}")
_LOOK_ANYWAY = 15.0
_log = logging.getLogger(__name__)


Connect = Callable[[], Awaitable[Store]]
"""Opens the journal. Raises `JournalError` when it cannot be opened."""


class KeyRing:
    """The keys that open something now. While the journal cannot be read, those known before go on to."""

    def __init__(self, connect: Connect, clock: Clock) -> None:
        self._connect = connect
        self._clock = clock
        self._store: Store | None = None
        self._keys: dict[bytes, tuple[str, Identity]] | None = None
        self._used: dict[str, float] = {}
        self.contact = Contact("journal", "API keys", clock, grave=True)

    @property
    def known(self) -> bool:
        """Whether the journal was ever read."""
        return self._keys is not None

    def mine(self, raw: bytes) -> bool:
        """Whether a bearer's word has the shape of a key."""
        return _SHAPE.fullmatch(raw) is not None

    def judge(self, raw: bytes, wall: float) -> Known:
        """Say whose key it is."""
        if self._keys is None:
            return Unsure("the keys are not known yet")
        found = self._keys.get(hashlib.sha256(raw).digest())
        if found is None:
            return Bad("unknown key", lasting=False)
        name, identity = found
        if wall >= identity.until:
            return Bad("expired", counts=False)
        self._used[name] = wall
        return identity

    async def run(self) -> None:
        """Keep up with the journal until cancelled, and tell it which keys were used."""
        while True:
            try:
                store = await self._opened()
                seen = store.version(keys.TOPIC)
                await self.load()
                await self._tell(store)
                if store.version(keys.TOPIC) == seen:
                    await store.wait(keys.TOPIC, _LOOK_ANYWAY)
            except JournalError as fault:
                self._missed(fault)
                _log.warning("API keys cannot be looked up: %s; those known before stay in use", fault)
                await self._clock.sleep(1.0)

    async def look(self) -> None:
        """Read the keys once, if the journal can be read."""
        try:
            await self.load()
        except JournalError as fault:
            self._missed(fault)
            _log.warning("API keys cannot be looked up: %s", fault)

    def _missed(self, fault: JournalError) -> None:
        self.contact.grave = not self.known
        self.contact.bad(fault.what)

    async def load(self) -> None:
        """Read the keys. Raises `JournalError`."""
        store, now = await self._opened(), self._clock.now()
        self._take(await store.read(lambda tx: keys.live(tx, now)))
        self.contact.good()

    async def close(self) -> None:
        """Say what is not said yet of the keys' use, and close the journal."""
        store, self._store = self._store, None
        if store is not None:
            with suppress(JournalError):
                await self._tell(store)
            await store.close()

    async def _opened(self) -> Store:
        if self._store is None:
            self._store = await self._connect()
        return self._store

    def _take(self, rows: Iterable[LiveKey]) -> None:
        found = {}
        for row in rows:
            if safe(row.subject) is not None:
                until = float("inf") if row.expires_at is None else row.expires_at
                found[bytes.fromhex(row.hash)] = row.id, Identity(row.subject, row.plan or None, until)
        self._keys = found

    async def _tell(self, store: Store) -> None:
        used, self._used = self._used, {}
        if used:
            await store.write(lambda tx: keys.used(tx, used))
