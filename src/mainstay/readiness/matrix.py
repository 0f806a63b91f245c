"""The priority matrix: what must be automated, and how much it hurts when it is not."""

from dataclasses import dataclass

from mainstay.core.finding import Priority


@dataclass(frozen=True, slots=True)
class Row:
    """One automation. `name` is its word in `readiness: covered:` and in `--json`."""

    name: str
    priority: Priority
    title: str
    why: str


def _rows(*rows: Row) -> dict[str, Row]:
    return {row.name: row for row in rows}


P0, P1, P2, P3 = Priority.P0, Priority.P1, Priority.P2, Priority.P3

MATRIX: dict[str, Row] = _rows(
    Row(
        "backups",
        P0,
        "Database backups, restored and compared",
        "a dump that was never restored may be worthless",
    ),
    Row(
        "backups_elsewhere",
        P0,
        "A copy of the backups on another machine",
        "one dead disk takes data and backups",
    ),
    Row("health_checks", P0, "Health checks of every service", "outages are told by customers"),
    Row(
        "critical_alerts", P0, "Somebody is woken when it is critical", "a light that nobody sees is no alarm"
    ),
    Row("renew_ssl", P0, "TLS certificates are renewed in time", "the site goes dark on a known date"),
    Row("security_patches", P0, "Security updates are found and applied", "known holes stay open"),
    Row("watcher", P0, "Somebody watches mainstay itself", "a dead monitor looks like a calm night"),
    Row("alerts", P1, "Every failure is told to a channel", "faults are found days later"),
    Row("certificates", P1, "Expiry of certificates is watched", "renewal can fail silently"),
    Row("disk_space", P1, "Free disk space is watched", "full disks stop databases"),
    Row("healing", P1, "Common faults heal themselves", "somebody gets up at night to restart a service"),
    Row(
        "journal_backup",
        P1,
        "The journal itself is backed up",
        "evidence and schedules are lost with one disk",
    ),
    Row("deploys", P1, "Deploys without downtime, with rollback", "releases are slow and risky"),
    Row("tests_run", P1, "Tests run before every release", "bugs reach production"),
    Row("logs", P1, "Logs are collected in one place", "faults are looked for machine by machine"),
    Row("cleanup_temp_files", P1, "Old files are cleaned up", "disks fill up"),
    Row("process_queued_jobs", P1, "Queued work is worked off", "work piles up unseen"),
    Row("optimize_database", P1, "Databases are kept in shape", "queries get slower every month"),
    Row("dashboard_login", P2, "The dashboard asks for a password", "anybody could look, and press buttons"),
    Row("auto_scaling", P2, "Capacity follows demand", "higher cost, slower at peaks"),
    Row("cost", P2, "Costs are watched", "bills surprise"),
    Row("anomalies", P3, "Unusual behaviour is noticed", "slow changes go unseen"),
)
