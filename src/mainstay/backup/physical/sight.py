"""What is seen of a stream, written into the journal every few seconds, for commands, pages and programs."""

import logging
import socket
from collections import deque
from typing import Any

from mainstay.backup.physical.settings import WalSettings
from mainstay.backup.physical.shipper import Shipper
from mainstay.backup.physical.watchdog import Sight, waits_for
from mainstay.core.errors import JournalError
from mainstay.ports.clock import Clock
from mainstay.store import wal
from mainstay.store.base import Store, Tx

logger = logging.getLogger(__name__)

EVERY = 5.0
"""Seconds between two looks that are written down."""
MOST = 4096
"""So many moments are remembered by which a lag is told in seconds."""


class Lag:
    """Tells how long somebody has lacked what a server wrote: seconds since the first of it was seen there."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque(maxlen=MOST)

    def take(self, now: float, written: int) -> None:
        """The server had written up to a position at a moment."""
        if self._seen and written < self._seen[-1][1]:
            self._seen.clear()  # it was set back, or is another one
        if not self._seen or written > self._seen[-1][1]:
            self._seen.append((now, written))

    def seconds(self, now: float, reached: int) -> float:
        """Give the lag of one who has everything below a position."""
        return next((now - at for at, position in self._seen if position > reached), 0.0)


class Book:
    """Keeps what was seen of one database's stream. `log` is what is received now."""

    def __init__(self, store: Store, clock: Clock, database: str, settings: WalSettings, ours: str) -> None:
        self._store = store
        self._clock = clock
        self._database = database
        self._settings = settings
        self._ours = ours
        self._sight: Sight | None = None
        self._late = 0.0
        self._said = ""
        self._log: str | None = None
        self._lag = Lag()
        self._had = 0
        self._stored = 0
        self._stored_at: float | None = None
        self._segment: tuple[str, float] | None = None

    def saw(self, sight: Sight | None, late: float, said: str) -> None:
        """The watch looked: None when the server did not answer. `said` is why nothing is received, if so."""
        self._sight, self._late, self._said = sight, late, said
        if sight is not None:
            self._lag.take(self._clock.monotonic(), sight.flushed)
            self._had = max(self._had, sight.received or 0)

    def begin(self, log: str) -> None:
        """Another log is received from now on; positions of the one before say nothing of it."""
        if self._log not in (None, log):
            self._had = self._stored = 0
        self._log = log

    @property
    def received(self) -> int:
        """The position up to which the receiver is known to have the log."""
        return self._had

    def shipped(self, received: int, shipper: Shipper | None) -> None:
        """Everything that the receiver had is in the storage. `received` was asked before that was brought there."""
        self._stored = max(self._stored, received, (shipper.tip or 0) if shipper else 0)
        self._stored_at = self._clock.now()
        if shipper is not None and shipper.newest and (self._segment or ("",))[0] != shipper.newest:
            self._segment = (shipper.newest, self._stored_at)

    async def serve(self) -> None:
        """Write it down until cancelled."""
        before = (await self._store.read(wal.all_)).get(self._database)
        if before is not None and before.state.get("segment"):
            self._segment = (before.state["segment"], before.state["segment_at"])
        while True:
            try:
                await self._store.write(self._write)
            except JournalError as fault:
                logger.warning("how the log of %s is was not written down: %s", self._database, fault)
            await self._clock.sleep(EVERY)

    def _write(self, tx: Tx) -> None:
        wal.put(tx, wal.Seen(self._database, self._clock.now(), self.state()))

    def state(self) -> dict[str, Any]:
        """Give what is known, as plain data: sizes in bytes, times in seconds, moments since 1970."""
        sight, now = self._sight, self._clock.monotonic()
        flushed = sight.flushed if sight else None
        segment, segment_at = self._segment or (None, None)
        return {
            "host": socket.gethostname(),
            "log": self._log,
            "mode": self._settings.mode,
            "waits": bool(sight and waits_for(sight.names, self._ours)),
            "streaming": bool(sight and sight.streaming),
            "late": round(self._late, 3),
            "said": self._said if self._late else "",
            "receive_lag_bytes": None if flushed is None else max(0, flushed - self._had),
            "receive_lag_seconds": round(self._lag.seconds(now, self._had), 3),
            "storage_lag_bytes": None if flushed is None else max(0, flushed - self._stored),
            "storage_lag_seconds": round(self._lag.seconds(now, self._stored), 3),
            "stored_at": self._stored_at,
            "segment": segment,
            "segment_at": segment_at,
            "retained_bytes": sight.retained if sight else None,
            "most_retained": self._settings.most_retained,
        }
