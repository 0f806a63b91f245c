"""A node: this process as an owner of work, and its judgement of the other owners.

On one host an owner holds a lock file; the kernel frees it when the process dies and keeps it while the process
is merely stopped, so the dead are known at once and the paused are never robbed. Across hosts an owner must beat:
whoever sees a beat unchanged for `dead_after` seconds of its own monotonic clock takes that node for dead. No two
clocks are ever compared. What a dead node owned is freed with a higher fence, which refuses its late writes.
"""

import asyncio
import fcntl
import logging
import os
import socket
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from mainstay.core.errors import JournalError
from mainstay.core.ids import new_id
from mainstay.ports.clock import Clock
from mainstay.store import nodes, runs
from mainstay.store.base import Store, Tx
from mainstay.store.nodes import NodeRow

logger = logging.getLogger(__name__)

SAY_EVERY = 60.0
"""Seconds between two lines that say the same trouble."""


class Node:
    """This process as an owner. Start it before anything that owns work, stop it after.

    `host` is given by tests only. `beat_every` and `dead_after` are seconds and must be the same on every node.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        state_dir: Path,
        role: str = "agent",
        *,
        host: str | None = None,
        beat_every: float = 1.0,
        dead_after: float = 4.0,
    ) -> None:
        self.id = new_id(clock.now())
        self.host = host or socket.gethostname()
        self.role = role
        self.trouble = ""
        """Why the last beat could not be written; empty when it was."""
        self.beat_every = beat_every
        self.dead_after = dead_after
        self._store = store
        self._clock = clock
        self._locks = state_dir / "nodes"
        self._started_at = clock.now()
        self._lock: int | None = None
        self._beaten = float("-inf")
        self._looked = float("-inf")
        self._complained = 0.0
        self._listeners: list[Callable[[], None]] = []
        self._watched: set[str] = set()
        self._freed: set[str] = set()
        self._seen: dict[str, tuple[float, float]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def fresh(self) -> bool:
        """Whether no other host can have taken this node for dead, as far as its last beat tells."""
        return self.fresh_for > 0

    @property
    def fresh_for(self) -> float:
        """For how many seconds it stays so without another beat; negative when its beat is late."""
        return self._beaten + self.dead_after - self._clock.monotonic()

    def listen(self, listener: Callable[[], None]) -> None:
        """Have `listener` called whenever work may have changed hands: a node died, or this one was robbed."""
        self._listeners.append(listener)

    async def start(self) -> None:
        """Take the lock, appear in the journal, begin to beat and to watch the others."""
        self._lock = self._take_lock()
        began = self._clock.monotonic()
        await self._store.write(self._join)
        self._beaten = began
        self._spawn(self._serve())

    async def stop(self) -> None:
        """Leave: whatever this node still owns is free for others."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await self._store.write(lambda tx: _remove(tx, self.id))
        finally:
            self._drop_lock()

    def _drop_lock(self) -> None:
        if self._lock is not None:
            self._path(self.id).unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def _join(self, tx: Tx) -> None:
        now = self._clock.now()
        nodes.join(tx, NodeRow(self.id, self.host, os.getpid(), self.role, self._started_at, now))
        tx.signal("nodes")

    async def _serve(self) -> None:
        while True:
            version = self._store.version("nodes")
            try:
                await self._tick()
                self.trouble = ""
            except JournalError as fault:
                self._complain(str(fault))
            except Exception as fault:
                self.trouble = f"{type(fault).__name__}: {fault}"
                logger.exception("node %s cannot beat", self.id)
            # A newcomer is watched from its first moment.
            if self._store.version("nodes") == version:
                await self._store.wait("nodes", self._pause())

    def _complain(self, trouble: str) -> None:
        """Note what is wrong, and say it now and then: a full disk would fill it with these lines."""
        now = self._clock.monotonic()
        if trouble != self.trouble or now - self._complained >= SAY_EVERY:
            self._complained = now
            logger.warning("node %s cannot beat: %s", self.id, trouble)
        self.trouble = trouble

    def _pause(self) -> float:
        # Looking twice per beat bounds the delay of a take-over to dead_after and half a beat.
        now = self._clock.monotonic()
        deadlines = [since + self.dead_after - now for _, since in self._seen.values()]
        usual = self.beat_every / 2 if deadlines else self.beat_every
        return max(0.001, min([usual, *deadlines]))

    async def _tick(self) -> None:
        began = self._clock.monotonic()
        if began - self._looked > self.dead_after / 2:
            self._seen.clear()  # it was this process that stood still; count anew
        if began - self._beaten >= self.beat_every * 0.9:
            robbed = await self._store.write(self._beat)
            self._beaten = began
            if robbed:
                logger.warning(
                    "node %s was taken for dead after a pause; its runs have other owners", self.id
                )
                self._tell()
        others = await self._store.read(nodes.everyone)
        self._looked = self._clock.monotonic()
        await self._judge([row for row in others if row.id != self.id])

    def _beat(self, tx: Tx) -> bool:
        robbed = not nodes.beat(tx, self.id, self._clock.now())
        if robbed:
            self._join(tx)
        if runs.free_orphans(tx):
            tx.signal("runs")
        return robbed

    async def _judge(self, others: list[NodeRow]) -> None:
        now = self._clock.monotonic()
        here = {row.id for row in others if row.host == self.host and self._path(row.id).exists()}
        for row in others:
            if row.id in here:
                self._watch(row.id)
                if row.id in self._freed:
                    await self._bury(row.id)
            elif self._seen.get(row.id, (None, 0.0))[0] != row.beat_at:
                self._seen[row.id] = (row.beat_at, now)
            elif now - self._seen[row.id][1] >= self.dead_after:
                await self._bury(row.id, row.beat_at)
        elsewhere = {row.id for row in others} - here
        self._seen = {key: seen for key, seen in self._seen.items() if key in elsewhere}

    async def _bury(self, peer: str, beat_at: float | None = None) -> None:
        if await self._store.write(lambda tx: _remove(tx, peer, beat_at)):
            logger.info("node %s is dead; its work is free", peer)
        self._seen.pop(peer, None)
        if beat_at is None:
            self._path(peer).unlink(missing_ok=True)
        self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    def _watch(self, peer: str) -> None:
        """Have the kernel say when a peer on this host dies: its lock can be had then."""
        if peer in self._watched:
            return
        self._watched.add(peer)
        loop = asyncio.get_running_loop()

        def wait() -> None:
            try:
                lock = os.open(self._path(peer), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return  # it left in order
            try:
                fcntl.flock(lock, fcntl.LOCK_SH)
                loop.call_soon_threadsafe(self._free, peer)
            except RuntimeError:
                pass  # the loop is closed: nobody is left to be told
            finally:
                os.close(lock)

        threading.Thread(target=wait, name=f"peer-{peer}", daemon=True).start()

    def _free(self, peer: str) -> None:
        self._freed.add(peer)
        if self._lock is not None:
            self._spawn(self._bury_now(peer))

    async def _bury_now(self, peer: str) -> None:
        try:
            await self._bury(peer)
        except JournalError as fault:
            logger.warning("node %s is dead, which cannot be written yet: %s", peer, fault)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _path(self, node: str) -> Path:
        return self._locks / f"{node}.lock"

    def _take_lock(self) -> int:
        self._locks.mkdir(parents=True, exist_ok=True)
        # Close-on-exec: a child that inherited the lock would keep this node alive after its death.
        new = self._locks / f"{self.id}.new"
        lock = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(lock, f"{os.getpid()}\n".encode())
        new.rename(self._path(self.id))
        return lock


def _remove(tx: Tx, node: str, beat_at: float | None = None) -> bool:
    if not nodes.remove(tx, node, beat_at):
        return False
    runs.free_orphans(tx)
    tx.signal("runs")
    tx.signal("nodes")
    return True
