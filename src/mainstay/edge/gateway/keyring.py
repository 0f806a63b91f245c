"""API keys, as the journal has them: held in memory, and told of every change within a second or two."""

import hashlib
import logging
import re
from collections.abc import Iterable

from mainstay.core.errors import JournalError
from mainstay.edge.gateway.hygiene import safe
from mainstay.edge.gateway.identity import Bad, Identity, Known, Unsure
from mainstay.ports.clock import Clock
from mainstay.store import keys
from mainstay.store.base import Store
from mainstay.store.keys import LiveKey

_SHAPE = re.compile(rb"ms_[a-z0-9]{10}_[a-z0-9]{36}")
_LOOK_ANYWAY = 15.0
_log = logging.getLogger(__name__)


class KeyRing:
    """The keys that open something now. While the journal cannot be read, those known before go on to."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._keys: dict[bytes, tuple[str, Identity]] | None = None
        self._used: dict[str, float] = {}

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
            seen = self._store.version(keys.TOPIC)
            try:
                await self.load()
                await self._tell()
            except JournalError as fault:
                _log.warning("API keys cannot be looked up: %s; those known before stay in use", fault)
                await self._clock.sleep(1.0)
                continue
            if self._store.version(keys.TOPIC) == seen:
                await self._store.wait(keys.TOPIC, _LOOK_ANYWAY)

    async def look(self) -> None:
        """Read the keys once, if the journal can be read."""
        try:
            await self.load()
        except JournalError as fault:
            _log.warning("API keys cannot be looked up: %s", fault)

    async def load(self) -> None:
        """Read the keys. Raises `JournalError`."""
        now = self._clock.now()
        self._take(await self._store.read(lambda tx: keys.live(tx, now)))

    def _take(self, rows: Iterable[LiveKey]) -> None:
        found = {}
        for row in rows:
            if safe(row.subject) is not None:
                until = float("inf") if row.expires_at is None else row.expires_at
                found[bytes.fromhex(row.hash)] = row.id, Identity(row.subject, row.plan or None, until)
        self._keys = found

    async def _tell(self) -> None:
        used, self._used = self._used, {}
        if used:
            await self._store.write(lambda tx: keys.used(tx, used))
