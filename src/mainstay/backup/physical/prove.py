"""The proof of this lane: a moment is restored into a throwaway server, and the marker rows must be exactly right."""

import itertools
import random
from dataclasses import dataclass, field
from typing import Any

from mainstay.backup.fetch import Damaged
from mainstay.backup.manifest import ManifestError
from mainstay.backup.physical.checks import Soundness, check_indexes, check_pages
from mainstay.backup.physical.cluster import FAST
from mainstay.backup.physical.plan import NoWay, Route, first_moment, route
from mainstay.backup.physical.restore import throwaway
from mainstay.backup.physical.server import markers_of
from mainstay.backup.physical.source import address, facts_of, wal_of
from mainstay.backup.physical.target import LATEST, Kind, Target
from mainstay.backup.ports import BackupPorts
from mainstay.backup.session import one, session
from mainstay.core.crash import point
from mainstay.core.errors import MainstayError
from mainstay.core.job import RunContext
from mainstay.core.run import RunState
from mainstay.store import runs
from mainstay.store.base import Store

CLEAR = 0.2
"""Seconds that must lie between two markers, so that a moment between them is beyond doubt."""
DEEP = 2 * 86400.0
"""Seconds that are looked back for a moment."""

Marker = tuple[int, float]


@dataclass
class Verdict:
    """What a proof found. `faults` make it fail; `unproven` is what could not be looked at, and why."""

    target: Target
    bases: list[str] = field(default_factory=list)
    restore_seconds: float = 0.0
    bytes: int = 0
    markers: int = 0
    soundness: Soundness = field(default_factory=Soundness)
    faults: list[str] = field(default_factory=list)
    unproven: dict[str, str] = field(default_factory=dict)

    @property
    def proven(self) -> bool:
        return not self.faults and "markers" not in self.unproven

    def document(self) -> dict[str, Any]:
        """Give what the journal keeps."""
        return {
            "proven": self.proven,
            "target": str(self.target),
            "bases": self.bases,
            "restore_seconds": self.restore_seconds,
            "restored_bytes": self.bytes,
            "markers": self.markers,
            "lost_rows": 0,
            "faults": self.faults,
            "unproven": self.unproven,
            "checked": self.soundness.summary(),
        }


async def prove(run: RunContext, ports: BackupPorts, database: str) -> Verdict:
    """Restore a moment and judge. Faults of what is kept are in the verdict; others come out as `MainstayError`."""
    storage = ports.storage(wal_of(ports, database).to)
    if reason := storage.unreadable():
        return Verdict(LATEST, unproven={"markers": reason})
    live = await _live(ports, database)
    # Marker rows that came along from another server, or from before this one was set back, are from moments that its
    # log never had.
    system = (await facts_of(address(ports, database))).system
    first = await first_moment(storage, database, system)
    if first is None:
        raise MainstayError(
            f"there is no base backup of what the server of {database} is now",
            hint=f"mainstay run base_backup:{database}",
        )
    target = choose(live, max(first, ports.clock.now() - DEEP), random.Random(run.id))  # noqa: S311  # no secret
    verdict = Verdict(target)
    if target.kind is Kind.LATEST:
        verdict.unproven["markers"] = "there are not two marker rows since the first base backup yet"
    run.log(f"restoring {database} as it was at {target}")
    try:
        found = await route(storage, database, target)
        await _judge(run, ports, found, live, verdict)
    except (Damaged, NoWay, ManifestError) as fault:
        verdict.faults.append(str(fault))
    return verdict


async def expected(store: Store, database: str, bytes: int) -> float | None:
    """Say how long it takes to restore so many bytes, in seconds, by the last proof; None when none was ever done."""
    done = await store.read(lambda tx: runs.latest(tx, f"prove_log:{database}", 50))
    last = next(
        (run.outcome for run in done if run.state is RunState.DONE and run.outcome.get("restored_bytes")),
        None,
    )
    if last is None:
        return None
    share = bytes / float(last["restored_bytes"])
    return float(last["restore_seconds"]) * max(share, 0.1)


async def _live(ports: BackupPorts, database: str) -> list[Marker]:
    async with session(ports.dsn(database)) as connection:
        (there,) = await one(connection, "SELECT to_regclass('mainstay.marker') IS NOT NULL")
        return await markers_of(connection) if there else []


def choose(live: list[Marker], since: float, dice: random.Random) -> Target:
    """Choose a moment between two marker rows, not before `since`; the latest when there is none."""
    pairs = [
        (before, after)
        for (_, before), (_, after) in itertools.pairwise(live)
        if before > since and after - before > CLEAR
    ]
    if not pairs:
        return LATEST
    before, after = dice.choice(pairs)
    return Target(Kind.TIME, at=(before + after) / 2)


def compare(live: list[Marker], restored: list[Marker], target: Target) -> list[str]:
    """Say how restored marker rows differ from what they must be. Rows that were deleted since are not looked for."""
    if not live or target.kind is not Kind.TIME:
        return []
    must = {number: at for number, at in live if at <= target.at}
    have = {number: at for number, at in restored if number >= live[0][0]}
    faults = []
    if lost := sorted(must.keys() - have.keys()):
        faults.append(f"{len(lost)} marker rows are missing, the first is {lost[0]}")
    if extra := sorted(have.keys() - must.keys()):
        faults.append(f"{len(extra)} marker rows are from after the moment, the first is {extra[0]}")
    changed = [number for number in must.keys() & have.keys() if must[number] != have[number]]
    if changed:
        faults.append(f"{len(changed)} marker rows are changed")
    return faults


async def _judge(
    run: RunContext, ports: BackupPorts, found: Route, live: list[Marker], verdict: Verdict
) -> None:
    verdict.bases = [base.id for base in found.chain]
    verdict.bytes = found.base_bytes + found.log_bytes
    begun = ports.clock.monotonic()
    async with throwaway(run, ports, found) as cluster:
        verdict.restore_seconds = round(ports.clock.monotonic() - begun, 3)
        point("prove_log.restored")
        await check_pages(cluster, verdict.soundness)
        async with cluster.running(FAST):
            await check_indexes(cluster, verdict.soundness)
            if verdict.target.kind is Kind.TIME:
                async with session(cluster.dsn(found.base.name)) as connection:
                    restored = await markers_of(connection)
                verdict.faults += compare(live, restored, verdict.target)
                verdict.markers = len(restored)
    point("prove_log.judged")
    verdict.faults += verdict.soundness.faults
    verdict.unproven |= verdict.soundness.unproven
