"""How a service is, from its checks' present answers: for the pages, the API and `/metrics` alike."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mainstay.store.base import Row
from mainstay.web.plan import CheckPlan, Plan, ServicePlan
from mainstay.web.words import ago

RANK = {"fail": 0, "warn": 1, "unknown": 2, "waiting": 3, "ok": 4}
"""The worse, the smaller; a service is as bad as the worst of its checks."""
WORDS = {
    "fail": "Failing",
    "warn": "Warning",
    "unknown": "Unknown",
    "waiting": "No answer yet",
    "ok": "Healthy",
}
ICONS = {"fail": "fail", "warn": "warn", "unknown": "unknown", "waiting": "wait", "ok": "ok"}
TONES = {"fail": "fail", "warn": "warn", "unknown": "unknown", "waiting": "unknown", "ok": "ok"}
LATE_FACTOR, LATE_SLACK = 3.0, 30.0
"""An answer older than three intervals and half a minute is not news any more."""


@dataclass(frozen=True, slots=True)
class CheckHealth:
    """A check and its present answer. `state` is a verdict, or `waiting` before the first answer."""

    plan: CheckPlan
    state: str = "waiting"
    detail: str = ""
    since: float | None = None
    at: float | None = None
    latency: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    late: bool = False

    @property
    def word(self) -> str:
        return WORDS[self.state]

    @property
    def icon(self) -> str:
        return ICONS[self.state]

    @property
    def tone(self) -> str:
        return TONES[self.state]

    @property
    def cert_days(self) -> float | None:
        """Days until the certificate that the check saw is no longer valid."""
        days = self.facts.get("days_left")
        return float(days) if isinstance(days, (int, float)) else None


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """A service and how it is."""

    plan: ServicePlan
    checks: tuple[CheckHealth, ...]
    silenced: Row | None = None
    incident: Row | None = None

    @property
    def worst(self) -> CheckHealth | None:
        """The check that decides."""
        return min(self.checks, key=lambda check: RANK[check.state], default=None)

    @property
    def state(self) -> str:
        return self.worst.state if self.worst else "waiting"

    @property
    def word(self) -> str:
        return WORDS[self.state] if self.checks else "Not checked"

    @property
    def icon(self) -> str:
        return ICONS[self.state]

    @property
    def tone(self) -> str:
        return TONES[self.state]

    @property
    def since(self) -> float | None:
        """Since when it is so."""
        alike = [
            check.since for check in self.checks if check.state == self.state and check.since is not None
        ]
        return (max if self.state == "ok" else min)(alike, default=None)

    @property
    def cert_days(self) -> float | None:
        """Days until the first of its certificates ends."""
        return min((check.cert_days for check in self.checks if check.cert_days is not None), default=None)

    @property
    def says(self) -> str:
        """What the deciding check said, when it is not good news."""
        worst = self.worst
        return worst.detail if worst and worst.state != "ok" else ""


def judge(plan: CheckPlan, row: Row | None, now: float) -> CheckHealth:
    """A check's present answer; one that is too old is unknown, whatever it was."""
    if row is None:
        return CheckHealth(plan)
    late = now - row["at"] > LATE_FACTOR * plan.every + LATE_SLACK
    detail = f"last measured {ago(now - row['at'])}: {row['detail']}" if late else row["detail"]
    return CheckHealth(
        plan,
        state="unknown" if late else row["verdict"],
        detail=detail,
        since=row["at"] if late else row["since"],
        at=row["at"],
        latency=row["latency"],
        facts=facts_of(row),
        late=late,
    )


def facts_of(row: Row) -> dict[str, Any]:
    """A row's facts; whatever is not a JSON object is no fact."""
    try:
        found = json.loads(row["facts"] or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def health(
    plan: Plan, states: Iterable[Row], silences: Sequence[Row], incidents: Iterable[Row], now: float
) -> list[ServiceHealth]:
    """Every configured service, in the file's order."""
    by_check = {row["check_id"]: row for row in states}
    by_service: dict[str, Row] = {}
    for row in incidents:
        by_service.setdefault(row["service"], row)
    return [
        ServiceHealth(
            service,
            tuple(judge(check, by_check.get(check.id), now) for check in service.checks),
            silenced=silence_of(service.name, silences, now),
            incident=by_service.get(service.name),
        )
        for service in plan.services
    ]


def silence_of(service: str, silences: Sequence[Row], now: float) -> Row | None:
    """The silence that holds for a service now."""
    holding = (row for row in silences if row["service"] in (service, "*") and row["from_at"] <= now)
    return next(holding, None)
