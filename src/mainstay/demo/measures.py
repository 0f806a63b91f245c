"""What the demonstration measured, and which claims it bears out."""

from dataclasses import asdict, dataclass, field
from typing import Any

DETECT_SECONDS = 7.0


@dataclass(slots=True)
class BackupMeasure:
    """One database's backup. Seconds of wall time."""

    database: str
    tables: int
    rows: int
    bytes: int
    proven: bool
    backup_seconds: float
    proof_seconds: float


@dataclass(slots=True)
class IncidentMeasure:
    """Seconds since the API was killed: noticed and confirmed, pager called, answering again, recovery told."""

    detect_seconds: float
    alert_seconds: float
    heal_seconds: float
    recovery_told_seconds: float


@dataclass(slots=True)
class Corruption:
    """Whether the flipped bit was found, how long that took, what was said, and whether a new backup took its place."""

    detected: bool
    seconds: float
    said: str
    replaced: bool = False


@dataclass(slots=True)
class Alerts:
    """Messages that the journal owed, those that arrived, and those that arrived twice."""

    owed: int
    delivered: int
    duplicates: int


@dataclass(slots=True)
class Measures:
    """Everything measured so far."""

    backups: list[BackupMeasure] = field(default_factory=list)
    incident: IncidentMeasure | None = None
    corruption: Corruption | None = None
    alerts: Alerts | None = None
    seconds: float = 0.0

    def claims(self) -> list[tuple[str, bool]]:
        """Every claim and whether it was true this time."""
        incident, corruption, alerts = self.incident, self.corruption, self.alerts
        proven = bool(self.backups) and all(backup.proven for backup in self.backups)
        noticed = incident is not None and incident.detect_seconds < DETECT_SECONDS
        delivered = alerts is not None and alerts.owed == alerts.delivered > 0 and alerts.duplicates == 0
        return [
            ("every backup was restored and compared equal", proven),
            (f"the dead API was noticed within {DETECT_SECONDS:.0f} s", noticed),
            ("it was restarted, and people were told of both", incident is not None),
            ("one flipped bit on the storage was found", corruption is not None and corruption.detected),
            ("a new, proven backup took its place", corruption is not None and corruption.replaced),
            ("every message owed was delivered, none twice", delivered),
        ]

    def document(self) -> dict[str, Any]:
        """Give everything as JSON-able data."""
        claims = [{"claim": text, "true": true} for text, true in self.claims()]
        return {**asdict(self), "claims": claims, "passed": all(true for _, true in self.claims())}
