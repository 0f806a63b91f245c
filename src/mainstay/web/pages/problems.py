"""Open incidents as a person wants to read them: what is wrong, since when, what is being done."""

from collections.abc import Sequence
from dataclasses import dataclass

from mainstay.store import views
from mainstay.store.base import Row, Tx
from mainstay.web.plan import Plan

SEVERITY_WORDS = {"critical": "Critical", "warning": "Warning", "info": "Notice"}
SEVERITY_ICONS = {"critical": "fail", "warning": "warn", "info": "info"}
SEVERITY_TONES = {"critical": "fail", "warning": "warn", "info": "info"}


@dataclass(frozen=True, slots=True)
class Problem:
    """An open incident: its row, what is being done, who was told."""

    row: Row
    doing: str
    heals: bool
    told: tuple[Row, ...]

    @property
    def critical(self) -> bool:
        return bool(self.row["severity"] == "critical")

    @property
    def word(self) -> str:
        return SEVERITY_WORDS.get(self.row["severity"], "Notice")

    @property
    def icon(self) -> str:
        return SEVERITY_ICONS.get(self.row["severity"], "info")

    @property
    def tone(self) -> str:
        return SEVERITY_TONES.get(self.row["severity"], "info")

    @property
    def delivered(self) -> list[Row]:
        """Channels that took at least one message."""
        return [row for row in self.told if row["sent"]]

    @property
    def owed(self) -> list[Row]:
        """Channels that are still owed one."""
        return [row for row in self.told if row["owed"]]


def problems(tx: Tx, plan: Plan, incidents: Sequence[Row]) -> list[Problem]:
    """What is wrong now, the loudest first."""
    if not incidents:
        return []
    actions = views.latest_actions(tx)
    told: dict[str, list[Row]] = {}
    for row in views.told(tx):
        told.setdefault(row["incident"], []).append(row)
    heals = views.live_healing(tx)
    return [_problem(row, plan, actions.get(row["id"]), heals.get(row["id"]), told) for row in incidents]


def _problem(
    row: Row, plan: Plan, action: Row | None, heal: Row | None, told: dict[str, list[Row]]
) -> Problem:
    service = plan.service(row["service"])
    doing = ""
    if heal is not None:
        attempt = heal["key"].rpartition(":")[2]
        most = f" of {service.attempts}" if service and service.attempts else ""
        verb = "Healing now" if heal["state"] in ("running", "queued") else "Healing"
        doing = f"{verb}: attempt {attempt}{most}"
    elif action is not None:
        doing = action["detail"]
    return Problem(row, doing, heal is not None, tuple(told.get(row["id"], ())))
