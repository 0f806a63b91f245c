"""The journal looks after itself: it copies itself, and it forgets what is old."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from mainstay.core.job import Job, JobFailed, Outcome, RunContext
from mainstay.core.schedule import Cron
from mainstay.core.units import Duration, format_size
from mainstay.store import meta, results
from mainstay.store.base import Store, Tx

COPIED = "journal_copy"
"""The journal's own note (in `meta`) of its newest copy: JSON with path, taken_at, bytes, tables and rows."""


@dataclass(frozen=True)
class JournalPorts:
    """What the journal's own jobs need."""

    store: Store
    path: Path | None
    """The journal's file; None when it is kept in PostgreSQL."""
    directory: Path
    """Where copies go."""
    prunes: tuple[Callable[[Tx, float], int], ...] = ()
    """What other rooms want forgotten: each is given the time and is called until it gives 0."""


class JournalBackup(Job, type="journal_backup"):
    """Copy the journal while it is in use, check the copy, keep the newest ones."""

    steps: ClassVar[tuple[str, ...]] = ("copy",)

    at: Cron | None = "15 4 * * *"
    """When it is due, as five cron fields."""
    keep: int = Field(default=7, ge=1)
    """How many copies are kept."""
    overlap: Literal["skip", "queue"] = "skip"
    """What happens when it is due while it still runs: left out, or run afterwards."""

    async def run(self, run: RunContext) -> Outcome:
        ports = run.get(JournalPorts)
        if ports.path is None:
            raise JobFailed(
                "the journal is kept in PostgreSQL, which this job does not copy",
                hint="list the journal's database under databases: and it is backed up with proof like any other",
                retry=False,
            )
        path = ports.path

        async def copy() -> dict[str, Any]:
            return await asyncio.to_thread(_copy, path, ports.directory, run.now(), self.keep)

        made = await run.step("copy", copy)
        await ports.store.write(lambda tx: meta.put(tx, COPIED, json.dumps(made)))
        size = format_size(made["bytes"])
        return Outcome(f"{made['rows']} rows in {made['tables']} tables copied and checked, {size}", made)


def _copy(path: Path, directory: Path, now: float, keep: int) -> dict[str, Any]:
    from mainstay.store.copy import copy_journal

    made = copy_journal(path, directory, now, keep)
    return {
        "path": str(made.path),
        "taken_at": made.taken_at,
        "bytes": made.bytes,
        "tables": made.tables,
        "rows": made.rows,
    }


class JournalPrune(Job, type="journal_prune"):
    """Sum up answers by the minute and by the hour, then forget those that are old."""

    every: Duration | None = 3600.0
    """How often it is due."""
    answers: Duration = 2 * 86400.0
    """How long every single answer of a check is kept."""
    minutes: Duration = 90 * 86400.0
    """How long what they amount to by the minute is kept; by the hour it is kept for ever."""
    overlap: Literal["skip", "queue"] = "skip"
    """What happens when it is due while it still runs: left out, or run afterwards."""

    async def run(self, run: RunContext) -> Outcome:
        ports = run.get(JournalPorts)
        summed = [await _sum_up(ports.store, span, run.now()) for span in (results.MINUTE, results.HOUR)]
        keep = results.Keep(self.answers, self.minutes)
        gone = await _until_done(ports.store, partial(results.prune, now=run.now(), keep=keep))
        for prune in ports.prunes:
            gone += await _until_done(ports.store, _at(prune, run.now()))
        made = sum(summed)
        return Outcome(f"{made} samples made, {gone} rows dropped", {"samples": made, "dropped": gone})


async def _sum_up(store: Store, span: int, now: float) -> int:
    made = 0
    while summed := await store.read(partial(results.sum_up, span=span, now=now)):
        await store.write(partial(results.keep_samples, summed=summed))
        made += len(summed.samples)
    return made


async def _until_done(store: Store, prune: Callable[[Tx], int]) -> int:
    gone = 0
    while count := await store.write(prune):
        gone += count
    return gone


def _at(prune: Callable[[Tx, float], int], now: float) -> Callable[[Tx], int]:
    return lambda tx: prune(tx, now)
