"""The priority matrix: what must be automated, and how much it hurts when it is not."""

from dataclasses import dataclass

from mainstay.core.finding import Priority


@dataclass(frozen=True, slots=True)
class Row:
    """One automation. `name` is its word under `readiness: covered:` and in `--json`.

    `why` says what happens without it, `today` how to cover what mainstay does not do itself.
    """

    name: str
    priority: Priority
    title: str
    why: str
    today: str = ""


P0, P1, P2, P3 = Priority.P0, Priority.P1, Priority.P2, Priority.P3

_ROWS = (
    Row(
        "backups",
        P0,
        "Database backups, restored and compared",
        "a backup that was never restored may be worthless",
    ),
    Row("backups_elsewhere", P0, "Backups outlive this machine", "one dead disk takes data and backups"),
    Row("health_checks", P0, "Every service is checked", "customers tell of outages"),
    Row("critical_alerts", P0, "Somebody is woken when it is critical", "an alarm that nobody hears is none"),
    Row(
        "renew_ssl",
        P0,
        "TLS certificates are renewed in time",
        "the site goes dark on a known date",
        "let certbot's timer renew them and a `certificate` check watch the date",
    ),
    Row(
        "security_patches",
        P0,
        "Security updates are found and applied",
        "known holes stay open",
    ),
    Row("alerts", P1, "Every failure is told to a channel", "faults are found days later"),
    Row("certificates", P1, "The expiry of certificates is watched", "renewal fails silently"),
    Row("disk_space", P1, "Free disk space is watched", "full disks stop databases"),
    Row("healing", P1, "Common faults heal themselves", "somebody gets up at night to restart a service"),
    Row(
        "journal_backup",
        P1,
        "The journal itself is backed up",
        "evidence and schedules are lost with one disk",
    ),
    Row("watcher", P1, "Somebody watches mainstay itself", "a dead monitor looks like a calm night"),
    Row(
        "deploys",
        P1,
        "Deploys without downtime, with rollback",
        "releases are slow and risky",
        "deploy from CI",
    ),
    Row("tests_run", P1, "Tests run before every release", "faults reach customers", "run the tests in CI"),
    Row(
        "logs",
        P1,
        "Logs are collected in one place",
        "faults are looked for machine by machine",
        "ship them with journald or Docker's log driver",
    ),
    Row(
        "cleanup_temp_files",
        P1,
        "Old files are cleaned up",
        "disks fill up",
    ),
    Row(
        "process_queued_jobs",
        P1,
        "Queued work is worked off",
        "work piles up unseen",
        "run the application's own worker",
    ),
    Row(
        "webhooks",
        P1,
        "Webhooks outlive an outage of whoever takes them",
        "payments and orders are lost while something restarts",
        "let the sender come again, and compare with its own list",
    ),
    Row(
        "gateway",
        P1,
        "The gateway lets in who may, and no oftener than they may",
        "one client takes the API down, or reads what is not theirs",
        "limit and authenticate in the proxy or the application",
    ),
    Row(
        "any_moment",
        P1,
        "Databases can be restored to any moment",
        "whatever was written since the last backup is lost",
    ),
    Row(
        "optimize_database",
        P1,
        "Databases are kept in shape",
        "queries get slower every month",
        "leave autovacuum on, and run vacuumdb --analyze by a timer",
    ),
    Row(
        "machine_time",
        P2,
        "Scheduled work stays within its budget",
        "the machine works for itself instead of for customers",
        "look at the time that jobs take",
    ),
    Row("dashboard_login", P2, "The dashboard asks for a password", "anybody could look, and press buttons"),
    Row(
        "auto_scaling",
        P2,
        "Capacity follows demand",
        "higher cost, slower at peaks",
        "use the provider's own scaling",
    ),
    Row("cost", P2, "Costs are watched", "bills surprise", "set a budget alert at the provider"),
    Row(
        "anomalies",
        P3,
        "Unusual behaviour is noticed",
        "slow changes go unseen",
        "look at the latencies on the dashboard",
    ),
)

MATRIX: dict[str, Row] = {row.name: row for row in _ROWS}
"""Every row by its name, the most important first."""
