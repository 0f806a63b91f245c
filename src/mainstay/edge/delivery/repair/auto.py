"""Repairs gaps by itself: asks each sender again and again what it sent since it was last asked."""

import asyncio
import logging
from collections.abc import Mapping
from functools import partial

from mainstay.core.errors import MainstayError
from mainstay.core.incident import Severity
from mainstay.edge.delivery.lane import Conditions
from mainstay.edge.delivery.repair.base import Repair
from mainstay.edge.delivery.repair.work import OVERLAP, repair_gap
from mainstay.edge.delivery.targets.base import Tools
from mainstay.edge.inbox.settings import IntakeSettings
from mainstay.engine.patience import patiently
from mainstay.store import audit, meta
from mainstay.store.base import Store, Tx

log = logging.getLogger(__name__)

ASKED = "repair:"
"""The journal's note (in `meta`) of the moment up to which a source's sender was asked."""
TOLD_AFTER = 3
"""Failed repairs in a row after which people are told."""


def repair_key(source: str) -> str:
    """Give the key of the condition of a source whose gaps cannot be repaired."""
    return f"repair:{source}"


class Repairer:
    """Repairs the gaps of `sources`: (settings of the intake, how to ask), by name."""

    def __init__(
        self,
        store: Store,
        tools: Tools,
        sources: Mapping[str, tuple[IntakeSettings, Repair]],
        conditions: Conditions,
    ) -> None:
        self._store = store
        self._tools = tools
        self._sources = sources
        self._conditions = conditions

    async def serve(self) -> None:
        """Repair for ever."""
        async with asyncio.TaskGroup() as tasks:
            for name in self._sources:
                tasks.create_task(self._tend(name))

    async def _tend(self, name: str) -> None:
        failed = 0
        while True:
            try:
                await self.once(name)
                failed = 0
            except MainstayError as fault:
                failed += 1
                log.warning("the gaps of %s are repaired later: %s", name, fault)
                if failed == TOLD_AFTER:
                    complain = partial(self._complain, name=name, fault=fault)
                    await patiently(self._store, self._tools.clock, complain)
            await self._tools.clock.sleep(self._sources[name][1].every)

    async def once(self, name: str) -> int:
        """Ask what was sent since the last time; give how many events were missing. Raises `MainstayError`."""
        settings, repair = self._sources[name]
        now = self._tools.clock.now()
        asked = await self._store.read(lambda tx: meta.get(tx, ASKED + name))
        added: list[str] = []
        if asked is not None:
            since = min(float(asked), now) - OVERLAP
            added = (await repair_gap(self._store, self._tools, name, settings, repair, since)).added
        await self._store.write(partial(self._note, name=name, now=now, added=added))
        if added:
            log.warning("%d webhooks of %s had been missed and were fetched", len(added), name)
        return len(added)

    def _note(self, tx: Tx, name: str, now: float, added: list[str]) -> None:
        meta.put(tx, ASKED + name, str(now))
        self._conditions.clear_condition(tx, repair_key(name), f"{name} can be asked again what it sent")
        if added:
            audit.note(tx, "mainstay", "inbox.repair", name, now, events=len(added))

    def _complain(self, tx: Tx, name: str, fault: MainstayError) -> None:
        self._conditions.raise_condition(
            tx,
            repair_key(name),
            service=name,
            severity=Severity.WARNING,
            title=f"{name}: nobody can say what was missed",
            detail=fault.what,
            hint=fault.hint or f"mainstay inbox repair {name} --since 1h --dry-run",
        )
