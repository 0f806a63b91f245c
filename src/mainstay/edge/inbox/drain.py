"""Brings events from the log into the journal, and removes segments of which it has everything.

Of all processes of a machine one does this at a time (`turn.py`). That nothing is brought twice does not rest on that,
but on the journal: it notes how far each segment was read together with the events.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from mainstay.core import crash
from mainstay.core.errors import JournalError
from mainstay.core.ids import new_id
from mainstay.edge.inbox.harvest import Harvest, harvest, spent
from mainstay.edge.inbox.log import (
    DAMAGED,
    DRAFT,
    ENDING,
    REFUSED,
    make,
    sealed,
    segments,
    sync_directory,
    told,
)
from mainstay.edge.inbox.record import encode
from mainstay.edge.inbox.turn import Turn
from mainstay.ports.clock import Clock
from mainstay.store import inbox
from mainstay.store.base import Rejected, Store
from mainstay.store.inbox import Arrival

log = logging.getLogger(__name__)

T = TypeVar("T")
Spans = dict[str, tuple[int, int]]

EVERY = 0.1
"""Seconds between two looks at the log: what came meanwhile shares pages of the journal."""
SOON = 0.02
"""The same while many come: little at a time, so that an edge on the same core hardly waits for an import."""
FEW = 10
"""Fewer events in one import are no reason to look again soon: each import is a commit."""
LATE = 30.0
"""Seconds after which an event should long be in the journal."""
TIDY = 1.0
"""Seconds between two looks for segments that are done with."""
TIDY_ALONE = 30.0
"""The same while there is only the one that is written."""
FORGOTTEN = 400 * 86400.0
"""Seconds after which it is forgotten how far a segment was read that was removed in another way."""
PAUSE = 1.0
"""Seconds until the next attempt when the journal, or the disk, refused the last one."""
OLD = 3600.0
"""Seconds after which a segment that was never begun is removed."""


class Drain:
    """Brings what lies in `directory` into the journal."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._imported: dict[str, int] | None = None
        """How far each segment is in the journal; None when the journal is to be asked."""
        self._begun = False
        self._tidied = -TIDY
        self.oldest: float | None = None
        """When the first event came that waits, seconds since 1970; None when none did at the last look."""
        self.waiting = 0
        """Bytes that were not in the journal at the last look."""
        self._left = False
        """Whether the last import could not take all that was there."""
        self.refused = 0
        """Events that the journal would not have since the start."""
        self.fault: str | None = None
        """Why nothing can be imported now."""

    async def serve(self, store: Store, turn: Turn) -> None:
        """Import until cancelled, whenever it is our turn."""
        make(self._directory)
        while True:
            pause = EVERY
            try:
                if self._has_work():
                    brought = await self._in_turn(store, turn)
                    pause = 0.0 if self._left else SOON if brought >= FEW else EVERY
                else:
                    self.oldest, self.waiting = None, 0
                self.fault = None
            except (JournalError, OSError) as fault:
                self._fail(fault)
                pause = PAUSE
            await self._clock.sleep(pause)

    async def empty(self, store: Store, turn: Turn) -> None:
        """Import all that is there, if it is our turn. Raises `JournalError`."""
        try:
            while await self._in_turn(store, turn):
                pass
        except OSError as fault:
            raise told(fault, self._directory) from fault

    async def _in_turn(self, store: Store, turn: Turn) -> int:
        """Import some events; give how many: none when none waits, or it is not our turn. Raises `JournalError`,
        `OSError`."""
        self._left = False
        if not turn.take():
            return 0
        try:
            return await self._once(store)
        finally:
            turn.give()

    def _has_work(self) -> bool:
        """Whether there may be something to do. Quick: it is asked many times a second. Raises `OSError`."""
        try:
            sizes = segments(self._directory)
        except FileNotFoundError:
            return False
        done = self._imported or {}
        if any(size > done.get(name, 0) for name, size in sizes.items()):
            return True
        return self._clock.monotonic() - self._tidied >= (TIDY if len(sizes) != 1 else TIDY_ALONE)

    async def _once(self, store: Store) -> int:
        if not self._begun:
            await self._aside(partial(_again, self._directory, self._clock.now()))
            self._begun = True
        if self._imported is None:
            self._imported = await store.read(inbox.imported)
        found = await self._aside(partial(harvest, self._directory, self._imported))
        self.waiting = found.bytes
        self.oldest = found.events[0].received_at if found.events else None
        self._left = bool(found.events) and found.left > 0
        if found.events:
            await self._bring(store, found)
        if self._clock.monotonic() - self._tidied >= TIDY:
            self._tidied = self._clock.monotonic()
            await self._tidy(store)
        return len(found.events)

    async def _bring(self, store: Store, found: Harvest) -> None:
        try:
            await self._note(store, found.events, found.spans)
        except Rejected:
            # When it does not take this either it is not for what is in the events: nothing is put aside.
            await self._note(store, (), {name: (start, start) for name, (start, _) in found.spans.items()})
            refused = await self._piecewise(store, found.events)
            if refused:
                await self._aside(partial(_put_aside, self._directory, refused, self._clock.now()))
            await self._note(store, (), found.spans)
        crash.point("inbox.imported")

    async def _note(self, store: Store, events: Sequence[Arrival], spans: Spans) -> None:
        """Write events and how far they go, together or not at all."""
        unit = partial(inbox.bring, arrivals=events, spans=spans, now=self._clock.now())
        if self._imported is None or not await store.write(unit):
            self._imported = None  # somebody else has imported them: ask how far
        else:
            self._imported.update((name, end) for name, (_, end) in spans.items())

    async def _piecewise(self, store: Store, events: Sequence[Arrival]) -> list[Arrival]:
        """Write events in smaller and smaller parts, as often as this is repeated; give those that are not taken."""
        try:
            await store.write(partial(inbox.put_many, arrivals=events))
        except Rejected as fault:
            if len(events) == 1:
                log.error("the journal will not have the webhook %s: %s", events[0].id, fault)
                self.refused += 1
                return [*events]
        else:
            return []
        half = len(events) // 2
        return [*await self._piecewise(store, events[:half]), *await self._piecewise(store, events[half:])]

    async def _tidy(self, store: Store) -> None:
        """Remove segments that are done with."""
        known, gone = self._imported or {}, list[str]()
        found = await self._aside(partial(spent, self._directory, known))
        # A standby that took over, or a journal that was set back, may have less than was said before.
        imported = await store.read(inbox.imported) if found else known
        for name, behind in found.items():
            path, upto = self._directory / name, imported.get(name, 0)
            if upto != known.get(name, 0):
                self._imported = None
                return
            if behind:
                log.error("%s cannot be read from byte %d to %d", path, upto, behind)
                _keep_aside(path)
                await self._note(store, (), {name: (upto, behind)})
            else:
                if (end := path.stat().st_size) > upto:
                    # Half a record that nobody relied on, or one that the disk has spoilt: nobody can tell.
                    log.warning("%s cannot be read from byte %d to its end at %d", path, upto, end)
                    _keep_aside(path)
                path.unlink(missing_ok=True)
                gone.append(name)
        if gone:
            # A segment that came back after a power failure would be imported from its beginning.
            await self._aside(partial(sync_directory, self._directory))
            await store.write(partial(inbox.removed, segments=gone, before=self._clock.now() - FORGOTTEN))
            self._imported = {name: end for name, end in imported.items() if name not in gone}

    def _fail(self, fault: Exception) -> None:
        if self.fault is None:
            log.error("webhooks wait in the log: %s", fault)
        self.fault = str(fault)
        self._imported = None

    async def _aside(self, work: Callable[[], T]) -> T:
        with self._clock.busy():
            return await asyncio.to_thread(work)


def _keep_aside(path: Path) -> None:
    """Keep a segment that cannot be read whole, for people."""
    with suppress(FileExistsError):
        os.link(path, path.with_name(f"{path.name}{DAMAGED}"))


def _again(directory: Path, now: float) -> None:
    """Make what the journal would not have wait again, and remove what somebody was about to begin who died."""
    for path in directory.glob(f"*{DRAFT}"):
        with suppress(OSError):
            # Who is beginning one has its lock: clocks alone could be wrong about how old it is.
            if now - path.stat().st_mtime > OLD and sealed(path):
                path.unlink()
    for path in directory.glob(f"*{REFUSED}"):
        path.rename(path.with_suffix(ENDING))


def _put_aside(directory: Path, refused: Sequence[Arrival], now: float) -> None:
    """Keep events beside the log, on disk when this returns. Raises `OSError`."""
    path = directory / f"{new_id(now)}{REFUSED}"
    file_of_ours = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(file_of_ours, "wb") as file:
        file.write(b"".join([encode(one) for one in refused]))
        file.flush()
        os.fsync(file.fileno())
    sync_directory(directory)
