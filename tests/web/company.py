"""The company on the dashboard's test pages: what it runs, backs up and whom it tells."""

from __future__ import annotations

from mainstay.core.schedule import Schedule
from mainstay.readiness.setup import (
    ChannelFacts,
    CheckFacts,
    DatabaseFacts,
    ServiceFacts,
    Setup,
    StorageFacts,
)
from mainstay.web.plan import (
    CertificatePlan,
    ChannelPlan,
    CheckPlan,
    DatabasePlan,
    JobPlan,
    Plan,
    RoutePlan,
    ServicePlan,
    SourcePlan,
    StoragePlan,
)

ZONE = "Asia/Manila"

SERVICES: list[tuple[str, str, bool, str | None, list[tuple[str, str, float]]]] = [
    ("odoo", "Odoo ERP", True, "swarm:odoo_web", [("http", "https://erp.example.com/web/health", 10)]),
    (
        "api",
        "Order API",
        True,
        "systemd:order-api",
        [("http", "https://api.example.com/health", 5), ("certificate", "api.example.com:443", 3600)],
    ),
    ("superset", "Superset", False, "docker:superset", [("http", "https://bi.example.com/health", 30)]),
    ("ocr", "OCR service", False, "docker:ocr", [("http", "http://10.0.0.14:8000/healthz", 30)]),
    ("mcp", "MCP server", False, "docker:mcp", [("http", "http://10.0.0.14:9000/health", 30)]),
    (
        "postgres",
        "PostgreSQL",
        True,
        "systemd:postgresql@16-main",
        [("postgres", "10.0.0.11:5432/odoo_prod", 5)],
    ),
    (
        "replica",
        "PostgreSQL replica",
        False,
        "systemd:postgresql@16-main",
        [("postgres", "10.0.0.12:5432, replication lag", 10)],
    ),
    ("redis", "Redis", True, "systemd:redis-server", [("redis", "10.0.0.11:6379", 5)]),
    (
        "nginx",
        "Web server",
        True,
        "systemd:nginx",
        [("tcp", "203.0.113.10:443", 5), ("certificate", "example.com:443", 3600)],
    ),
    ("mail", "Outgoing mail", False, None, [("tcp", "smtp.example.com:587", 60)]),
    ("storage", "Backup storage", False, None, [("http", "https://backups.sgp1.example.com/", 60)]),
    ("web1", "Server web1", False, None, [("disk", "/", 60)]),
    ("db1", "Server db1", True, None, [("disk", "/var/lib/postgresql", 60)]),
    ("queue", "Expense import queue", False, "process", [("command", "check-queue --max-age 15m", 60)]),
]

JOBS: list[tuple[str, str, Schedule, float]] = [
    ("backup:odoo_prod", "Back up odoo_prod to spaces", Schedule(at="0 2 * * *", timezone=ZONE), 3600),
    (
        "prove:odoo_prod",
        "Restore odoo_prod and compare every row",
        Schedule(at="0 4 * * 0", timezone=ZONE),
        7200,
    ),
    ("backup:superset", "Back up superset to spaces", Schedule(at="30 2 * * *", timezone=ZONE), 3600),
    (
        "prove:superset",
        "Restore superset and compare every row",
        Schedule(at="30 4 * * 0", timezone=ZONE),
        7200,
    ),
    ("backup:hr", "Back up hr to spaces", Schedule(at="45 2 * * *", timezone=ZONE), 3600),
    ("prove:hr", "Restore hr and compare every row", Schedule(at="45 4 * * 0", timezone=ZONE), 7200),
    (
        "cleanup_temp_files",
        "Delete temporary files older than 7 days",
        Schedule(at="0 3 * * *", timezone=ZONE),
        1800,
    ),
    ("optimize_database", "Vacuum and analyse odoo_prod", Schedule(at="0 0 * * 0", timezone=ZONE), 7200),
    ("process_queued_jobs", "Import what waits in the expense queue", Schedule(every=900), 600),
    ("journal_backup", "Copy the journal to spaces", Schedule(at="30 1 * * *", timezone=ZONE), 600),
    ("heal", "Heal what a check found failing", Schedule(), 600),
]

CERTIFICATES = ("example.com", "erp.example.com", "mail.example.com", "new.example.com")
DATABASES = ("odoo_prod", "superset", "hr")
CHANNELS = (
    ("slack", "slack", "always"),
    ("pagerduty", "pagerduty", "critical"),
    ("ops_mail", "email", "always"),
)
SOURCES = (
    ("bank", "http://10.0.0.11:8069/hooks/bank", "hmac", ("webhook_bank", "webhook_bank_new")),
    ("shop", "http://10.0.0.11:8069/hooks/shop", "shopify", ("webhook_shop",)),
    ("github", "deploy-from-hook", "github", ("webhook_github",)),
    ("partner", "nobody", "standard_webhooks", ("webhook_partner",), False, 2592000.0),
)

ROUTES = (
    (
        "odoo",
        "/ on erp.example.com",
        "whoever proves who they are",
        "",
        ("http://10.0.0.11:8069", "http://10.0.0.12:8069"),
    ),
    (
        "ocr",
        "/ocr",
        "whoever proves who they are",
        "60 in 1m",
        ("http://10.0.0.21:8000", "http://10.0.0.22:8000"),
    ),
    ("/status", "GET /status", "anybody", "", ("http://10.0.0.30:9000",)),
)


def plan(*, hostile: bool = False) -> Plan:
    """The company's plan; a hostile one has titles that try to break out of the page."""
    bad = "<script>alert('x')</script>\"'>&" if hostile else ""
    services = tuple(
        ServicePlan(
            name,
            title + (f" {bad}" if bad else ""),
            critical=critical,
            checks=tuple(
                CheckPlan(f"{name}/{check}", check, target + bad, every) for check, target, every in checks
            ),
            runs_on=runs_on,
            heal="restart, at most 3 times in 10m, then call people" if runs_on else None,
            attempts=3 if runs_on else None,
        )
        for name, title, critical, runs_on, checks in SERVICES
    )
    return Plan(
        name="insightpulse",
        title="InsightPulse AI" + bad,
        timezone=ZONE,
        services=services,
        databases=tuple(
            DatabasePlan(
                name,
                "spaces",
                "30 daily, 12 monthly",
                f"backup:{name}",
                f"prove:{name}",
                log_storage="spaces" if name == "odoo_prod" else None,
            )
            for name in DATABASES
        ),
        jobs=tuple(JobPlan(name, title + bad, schedule, timeout) for name, title, schedule, timeout in JOBS),
        channels=tuple(ChannelPlan(*channel) for channel in CHANNELS),
        storages=(StoragePlan("spaces", "s3", "bucket backups at sgp1.example.com" + bad),),
        sources=tuple(SourcePlan(*source) for source in SOURCES),
        certificates=tuple(
            CertificatePlan(
                name,
                f"renew:{name}",
                (name, f"www.{name}"),
                f"/var/lib/mainstay/certs/{name}",
                "systemd:nginx" + bad,
                "DNS at cloudflare",
            )
            for name in CERTIFICATES
        ),
        routes=tuple(RoutePlan(*route) for route in ROUTES),
        readiness=setup(),
    )


def setup() -> Setup:
    """The same for the scorecard."""
    return Setup(
        name="insightpulse",
        title="InsightPulse AI",
        services=tuple(
            ServiceFacts(
                name,
                title,
                critical,
                runs_on,
                runs_on is not None,
                tuple(CheckFacts(f"{name}/{check}", check, every) for check, _, every in checks),
            )
            for name, title, critical, runs_on, checks in SERVICES
        ),
        databases=tuple(DatabaseFacts(name, ("spaces",)) for name in DATABASES),
        storages=(StorageFacts("spaces", "s3", "bucket backups at sgp1.example.com", elsewhere=True),),
        channels=tuple(ChannelFacts(*channel) for channel in CHANNELS),
        jobs={"cleanup_temp_files": "cleanup", "process_queued_jobs": "command"},
        routes=("odoo", "ocr", "/status"),
        covered={"security_patches": "unattended-upgrades on every server, see web1"},
    )
