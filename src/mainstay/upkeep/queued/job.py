"""The sweep of what waits: it frees what is stuck, and says how much waits since when."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from mainstay.core.amounts import format_duration
from mainstay.core.job import Job, JobFailed, Outcome, RunContext
from mainstay.core.run import RunState
from mainstay.core.units import Duration
from mainstay.store import inbox_delivery, outbox, runs, status
from mainstay.store.base import Tx
from mainstay.store.inbox import DEAD, QUEUED
from mainstay.upkeep.ports import UpkeepPorts

WRONG_CLOCK = 30 * 86400.0
"""Seconds: an attempt that is further off was set by a wrong clock, for no pause between attempts is so long."""


@dataclass(frozen=True, slots=True)
class Depth:
    """How many of a kind wait, and how long the oldest has been waiting, in seconds. `where` is what to look at."""

    what: str
    waiting: int
    age: float
    where: str

    @property
    def words(self) -> str:
        """Say it in words."""
        return f"{self.waiting:,} {self.what}, the oldest for {format_duration(self.age)}"


class ProcessQueuedJobs(Job, type="process_queued_jobs"):
    """Look after what waits: webhooks to be delivered, runs to be done, messages to be told.

    All of them are worked off all the time; this is the broom behind it. Runs whose machine is gone are freed, attempts
    that a wrong clock put days off are made due, and depth and age of each queue are reported. When something has been
    waiting longer than `stuck_after`, the run fails, so that people are told; the next good one ends that incident.
    """

    steps: ClassVar[tuple[str, ...]] = ("sweep",)

    every: Duration | None = 900.0
    """How often it is due."""
    overlap: Literal["skip", "queue"] = "skip"
    """What happens when it is due while it still runs: left out, or run afterwards."""
    retries: int = 0
    """How often a failed run is tried again, with growing pauses."""
    stuck_after: Duration = 3600.0
    """How long something may wait before people are told."""

    async def run(self, run: RunContext) -> Outcome:
        ports = run.get(UpkeepPorts)
        freed: dict[str, int] = await run.step(
            "sweep", lambda: ports.store.write(lambda tx: sweep(tx, run.now()))
        )
        depths = await ports.store.read(lambda tx: depths_of(tx, run.now()))
        for depth in depths:
            run.log(depth.words)
        stuck = [depth for depth in depths if depth.age > self.stuck_after]
        if stuck:
            words = "; ".join(depth.words for depth in stuck)
            raise JobFailed(f"work piles up: {words}", hint=stuck[0].where, retry=False)
        dead = await ports.store.read(_dead)
        return Outcome(_summary(depths, freed, dead), {**freed, "dead": dead, "depths": _figures(depths)})


def sweep(tx: Tx, now: float) -> dict[str, int]:
    """Free what is stuck; give how many runs were freed and how many attempts made due."""
    freed = runs.free_orphans(tx)
    waiting = {one.source for one in inbox_delivery.stats(tx) if one.state == QUEUED}
    due = sum(inbox_delivery.astray(tx, source, now + WRONG_CLOCK, now) for source in sorted(waiting))
    if freed:
        tx.signal("runs")
    if due:
        tx.signal("inbox")
    return {"freed": freed, "made_due": due}


def depths_of(tx: Tx, now: float) -> list[Depth]:
    """Say what waits at this moment, the oldest first; only what waits is told."""
    found = [
        Depth(
            f"webhooks of {one.source}",
            one.events,
            now - one.oldest_at,
            f"mainstay inbox list --source {one.source}",
        )
        for one in inbox_delivery.stats(tx)
        if one.state == QUEUED
    ]
    found += _late_runs(tx, now)
    found += [
        Depth(f"messages to {one.channel}", one.owed, now - one.owed_since, "mainstay doctor --send")
        for one in outbox.standings(tx)
        if one.owed and one.owed_since is not None
    ]
    return sorted(found, key=lambda depth: -depth.age)


def _late_runs(tx: Tx, now: float) -> list[Depth]:
    waits = [row for row in status.live(tx) if row["state"] == RunState.QUEUED]
    since = [max(row["due_at"], row["created_at"]) for row in waits if (row["next_try_at"] or 0.0) <= now]
    return [Depth("runs", len(since), now - min(since), "mainstay jobs")] if since else []


def _dead(tx: Tx) -> int:
    return sum(one.events for one in inbox_delivery.stats(tx) if one.state == DEAD)


def _summary(depths: list[Depth], freed: dict[str, int], dead: int) -> str:
    parts = [depth.words for depth in depths] or ["nothing waits"]
    if freed["freed"] or freed["made_due"]:
        parts.append(f"{freed['freed']} runs freed, {freed['made_due']} attempts made due")
    if dead:
        parts.append(f"{dead:,} dead letters")
    return "; ".join(parts)


def _figures(depths: list[Depth]) -> list[dict[str, Any]]:
    return [{"what": depth.what, "waiting": depth.waiting, "age": depth.age} for depth in depths]
