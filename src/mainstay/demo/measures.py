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
class MistakeMeasure:
    """A wrong DELETE, and the restore to the moment before it.

    `lost_rows` are those of the table before the mistake that the restored server has not, or not as they were;
    `alien_rows` those that it has and should not. Seconds of wall time: the base backup, the restore into a new server.
    """

    deleted_rows: int
    lost_rows: int
    alien_rows: int
    put_back_rows: int
    base_seconds: float
    restore_seconds: float


@dataclass(slots=True)
class Alerts:
    """Messages that the journal owed, those that arrived, and those that arrived twice."""

    owed: int
    delivered: int
    duplicates: int


@dataclass(slots=True)
class WebhookMeasure:
    """Webhooks that were sent, and what became of them. `lost` were accepted and never delivered."""

    sent: int
    accepted: int
    refused: int
    deduplicated: int
    delivered: int
    lost: int
    doubled: int
    slowest_ms: float


@dataclass(slots=True)
class GatewayMeasure:
    """Requests that were let through, those above the plan's limit, and those without a good token."""

    admitted: int
    limited: int
    unauthorised: int


@dataclass(slots=True)
class CertificateMeasure:
    """A certificate: whether it was renewed, whether the site then served the new one, and how long that took."""

    name: str
    renewed: bool
    served: bool
    seconds: float
    days_left: float


@dataclass(slots=True)
class Measures:
    """Everything measured so far."""

    backups: list[BackupMeasure] = field(default_factory=list)
    incident: IncidentMeasure | None = None
    corruption: Corruption | None = None
    pitr: MistakeMeasure | None = None
    """None where no program of this machine can keep a server's log."""
    webhooks: WebhookMeasure | None = None
    gateway: GatewayMeasure | None = None
    certificates: list[CertificateMeasure] = field(default_factory=list)
    """Empty where there is no authority on this machine."""
    alerts: Alerts | None = None
    seconds: float = 0.0

    def claims(self) -> list[tuple[str, bool]]:
        """Every claim and whether it was true this time."""
        incident, corruption, alerts = self.incident, self.corruption, self.alerts
        proven = bool(self.backups) and all(backup.proven for backup in self.backups)
        noticed = incident is not None and incident.detect_seconds < DETECT_SECONDS
        delivered = alerts is not None and alerts.owed == alerts.delivered > 0 and alerts.duplicates == 0
        undone = [("a wrong DELETE was undone to the row, from the moment before it", _undone(self.pitr))]
        renewed = [("a certificate was renewed, and the site serves the new one", _seen(self.certificates))]
        return [
            ("every backup was restored and compared equal", proven),
            (f"the dead API was noticed within {DETECT_SECONDS:.0f} s", noticed),
            ("it was restarted, and people were told of both", incident is not None),
            ("one flipped bit on the storage was found", corruption is not None and corruption.detected),
            ("a new, proven backup took its place", corruption is not None and corruption.replaced),
            *(undone if self.pitr is not None else []),
            ("no webhook that was accepted got lost or was done twice", _none_lost(self.webhooks)),
            ("forged webhooks were refused, and copies known as such", _sorted_out(self.webhooks)),
            ("the gateway let nobody ask more often than the plan allows", _held(self.gateway)),
            *(renewed if self.certificates else []),
            ("every message owed was delivered, none twice", delivered),
        ]

    def document(self) -> dict[str, Any]:
        """Give everything as JSON-able data."""
        claims = [{"claim": text, "true": true} for text, true in self.claims()]
        return {**asdict(self), "claims": claims, "passed": all(true for _, true in self.claims())}


def _seen(certificates: list[CertificateMeasure]) -> bool:
    return all(each.renewed and each.served for each in certificates)


def _undone(mistake: MistakeMeasure | None) -> bool:
    return (
        mistake is not None
        and mistake.deleted_rows == mistake.put_back_rows > 0
        and mistake.lost_rows == mistake.alien_rows == 0
    )


def _none_lost(webhooks: WebhookMeasure | None) -> bool:
    return webhooks is not None and webhooks.delivered == webhooks.accepted > 0 and webhooks.doubled == 0


def _sorted_out(webhooks: WebhookMeasure | None) -> bool:
    return (
        webhooks is not None
        and webhooks.refused > 0
        and webhooks.deduplicated > 0
        and webhooks.accepted + webhooks.refused + webhooks.deduplicated == webhooks.sent
    )


def _held(gateway: GatewayMeasure | None) -> bool:
    """A limit gives back what time passes: a slow machine may see a few more admitted than the plan's burst."""
    return gateway is not None and gateway.admitted > 0 and gateway.limited > 0 and gateway.unauthorised > 0
