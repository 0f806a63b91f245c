"""What the journal can bear witness to, read in one consistent look."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mainstay.store import certificates, gateway, inbox, inbox_delivery, status
from mainstay.store.base import Row, Tx
from mainstay.store.certificates import Certificate
from mainstay.store.gateway import Totals
from mainstay.store.inbox import DEAD, QUEUED
from mainstay.store.inbox_delivery import Delivery

ALIVE = 300.0
"""Seconds after its last beat that an agent still counts as living."""
MONTH = 31 * 86400.0


class Done(NamedTuple):
    """The newest run of a job that was done: when it ended, and what it said of itself."""

    at: float
    summary: str
    outcome: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Times are seconds since 1970, mappings go by database, check, channel or job."""

    proofs: Mapping[str, float] = field(default_factory=dict)
    verdicts: Mapping[str, Row] = field(default_factory=dict)
    backups: Mapping[tuple[str, str], float] = field(default_factory=dict)
    answers: Mapping[str, float] = field(default_factory=dict)
    caught: Row | None = None
    healed: Row | None = None
    accepted: Mapping[str, float] = field(default_factory=dict)
    accepted_critical: Mapping[str, float] = field(default_factory=dict)
    owed: Mapping[str, Row] = field(default_factory=dict)
    done: Mapping[str, float] = field(default_factory=dict)
    failed: Mapping[str, Row] = field(default_factory=dict)
    last: Mapping[str, Done] = field(default_factory=dict)
    deliveries: Mapping[str, Delivery] = field(default_factory=dict)
    waiting: Mapping[str, float] = field(default_factory=dict)
    """Since when the oldest webhook of a source waits."""
    dead: Mapping[str, int] = field(default_factory=dict)
    """How many dead letters a source has."""
    arrived: Mapping[str, float] = field(default_factory=dict)
    """When a secret of a source last proved a webhook."""
    saved_at: float | None = None
    """When a target last took a webhook that it had not taken before."""
    certificates: Mapping[str, Certificate] = field(default_factory=dict)
    gateway_at: float | None = None
    """When a process of the gateway was last seen to carry requests."""
    traffic: Totals = field(default_factory=Totals)
    """What it let in and turned away within a month."""
    worked: Mapping[str, float] = field(default_factory=dict)
    """How many seconds each job was at work within a week."""
    hosts: tuple[str, ...] = ()
    accounts: int = 0

    def taken(self, database: str) -> float | None:
        """When the newest backup of a database was taken, wherever it lies."""
        return max((at for (name, _), at in self.backups.items() if name == database), default=None)


def gather(tx: Tx, now: float) -> Evidence:
    """Read everything that rules judge; for `Store.read`."""
    accepted = tx.all("readiness.accepted")
    webhooks = inbox_delivery.stats(tx)
    return Evidence(
        proofs=_times(tx.all("readiness.latest_proofs"), "database"),
        verdicts={row["database"]: row for row in tx.all("readiness.latest_verdicts")},
        backups={(row["database"], row["storage"]): row["at"] for row in tx.all("readiness.latest_backups")},
        answers=_times(tx.all("readiness.answers"), "check_id"),
        caught=tx.one("readiness.caught"),
        healed=tx.one("readiness.healed"),
        accepted=_times(accepted, "channel"),
        accepted_critical=_times(accepted, "channel", "critical_at"),
        owed={row["channel"]: row for row in tx.all("readiness.owed")},
        done=_times(tx.all("readiness.done"), "job"),
        failed={row["job"]: row for row in tx.all("readiness.failed")},
        last={row["job"]: _done(row) for row in tx.all("readiness.last")},
        deliveries=inbox_delivery.deliveries(tx),
        waiting={one.source: one.oldest_at for one in webhooks if one.state == QUEUED},
        dead={one.source: one.events for one in webhooks if one.state == DEAD},
        arrived=_arrived(inbox.uses(tx)),
        saved_at=inbox_delivery.saved_at(tx),
        certificates={each.name: each for each in certificates.everything(tx)},
        gateway_at=max((one.at for one in gateway.seen(tx) if one.state["processes"]), default=None),
        traffic=gateway.totals(tx, now - MONTH),
        worked=status.worked(tx, now),
        hosts=tuple(sorted(row["host"] for row in tx.all("readiness.hosts", since=now - ALIVE))),
        accounts=_count(tx.one("readiness.accounts")),
    )


def _done(row: Row) -> Done:
    outcome = json.loads(row["outcome"] or "{}")
    return Done(float(row["at"]), row["summary"] or "", outcome if isinstance(outcome, dict) else {})


def _times(rows: list[Row], key: str, at: str = "at") -> dict[str, float]:
    return {row[key]: float(row[at]) for row in rows if row[at] is not None}


def _arrived(uses: Mapping[tuple[str, str], float]) -> dict[str, float]:
    newest: dict[str, float] = {}
    for (source, _), at in uses.items():
        newest[source] = max(at, newest.get(source, at))
    return newest


def _count(row: Mapping[str, Any] | None) -> int:
    return int(row["accounts"]) if row else 0
