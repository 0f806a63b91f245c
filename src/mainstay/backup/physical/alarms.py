"""What can be wrong with the log, as conditions: said once, and cleared once."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mainstay.core.incident import Severity
from mainstay.engine.patience import patiently
from mainstay.ports.clock import Clock
from mainstay.store.base import Store, Tx


class Conditions(Protocol):
    """Where people are told; the incidents' desk is one."""

    def raise_condition(
        self,
        tx: Tx,
        key: str,
        *,
        service: str,
        severity: Severity,
        title: str,
        detail: str,
        hint: str | None = None,
    ) -> object:
        """Say that something is wrong, until it is cleared."""
        ...

    def clear_condition(self, tx: Tx, key: str, detail: str = "") -> object:
        """Say that it is fine again."""
        ...


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing that can be wrong: its kind, how loud it is, its title, what was seen, what to do."""

    kind: str
    severity: Severity
    title: str
    detail: str
    hint: str


STREAM, STORAGE, SLOT, SYNC, GAP, MARKERS = (
    "wal",
    "wal_storage",
    "wal_slot",
    "wal_sync",
    "wal_gap",
    "wal_marker",
)
KINDS = (STREAM, STORAGE, SLOT, SYNC, GAP, MARKERS)


def key_of(kind: str, database: str) -> str:
    """Give the key of a condition of a database's log."""
    return f"{kind}:{database}"


class Alarms:
    """Raises and clears one database's conditions, and writes nothing when nothing has changed."""

    def __init__(self, store: Store, clock: Clock, conditions: Conditions, database: str) -> None:
        self.database = database
        self._store = store
        self._clock = clock
        self._conditions = conditions
        self._said: dict[str, tuple[Severity, str] | None] = {}
        self._turn = asyncio.Lock()

    async def say(self, alarm: Alarm) -> None:
        """Raise it, or bring it up to date when it is louder or says something else."""
        said = (alarm.severity, alarm.title)
        async with self._turn:
            if self._said.get(alarm.kind) == said:
                return
            await self._write(
                lambda tx: self._conditions.raise_condition(
                    tx,
                    key_of(alarm.kind, self.database),
                    service=self.database,
                    severity=alarm.severity,
                    title=alarm.title,
                    detail=alarm.detail,
                    hint=alarm.hint,
                )
            )
            self._said[alarm.kind] = said

    async def clear(self, kind: str, detail: str) -> None:
        """It is fine again."""
        async with self._turn:
            if kind in self._said and self._said[kind] is None:
                return
            await self._write(
                lambda tx: self._conditions.clear_condition(tx, key_of(kind, self.database), detail)
            )
            self._said[kind] = None

    async def _write(self, unit: Callable[[Tx], object]) -> None:
        await patiently(self._store, self._clock, unit)


def unmarked(database: str, fault: Exception) -> Alarm:
    """Say that a proof will have nothing to compare."""
    return Alarm(
        MARKERS,
        Severity.WARNING,
        f"Restores of {database} to a moment cannot be proven",
        f"no marker rows can be written: {fault}",
        "GRANT CREATE ON DATABASE to the account, or set `wal: {markers: 0}`",
    )
