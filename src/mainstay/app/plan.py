"""What the dashboard may know of the configuration: names and words."""

from collections.abc import Mapping

from mainstay.app import certs
from mainstay.config.facts import setup
from mainstay.config.model import Config, ServiceSettings
from mainstay.core.job import Job
from mainstay.core.secret import redact
from mainstay.core.service import Process, Unit
from mainstay.core.units import format_duration
from mainstay.edge.gateway.settings import GatewaySettings, RouteSettings
from mainstay.edge.webhooks import WebhookSettings
from mainstay.web.plan import (
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


def plan_of(config: Config, jobs: Mapping[str, Job]) -> Plan:
    """Make the dashboard's plan from the configuration and the jobs made of it."""
    return Plan(
        name=config.name,
        title=config.title or config.name,
        timezone=config.timezone,
        services=_services(config),
        databases=tuple(_database(name, config, jobs) for name in (*config.databases, *config.data)),
        jobs=tuple(_job(name, job, config.timezone) for name, job in jobs.items()),
        channels=tuple(
            ChannelPlan(name, notifier.type_name, notifier.when) for name, notifier in config.notify.items()
        ),
        storages=tuple(
            StoragePlan(name, storage.type_name, redact(storage.target()))
            for name, storage in config.storage.items()
        ),
        sources=tuple(_source(name, settings) for name, settings in config.webhooks.items()),
        certificates=certs.plans_of(config),
        routes=tuple(_route(route, config.gateway) for route in config.gateway.carried)
        if config.gateway
        else (),
        readiness=setup(config),
    )


def _source(name: str, settings: WebhookSettings) -> SourcePlan:
    brought = settings.deliver_to is not None
    target = settings.deliver_to.place() if settings.deliver_to else "nobody"
    secrets = tuple(secret.name for secret in settings.secrets)
    return SourcePlan(name, redact(target), settings.scheme.type_name, secrets, brought, settings.keep)


def _route(route: RouteSettings, gateway: GatewaySettings) -> RoutePlan:
    methods = f"{', '.join(route.methods)} " if route.methods else ""
    hosts = f" on {', '.join(route.hosts)}" if route.hosts else ""
    auth = route.auth or ("required" if gateway.auth.any else "none")
    who = {"required": "whoever proves who they are", "optional": "anybody, known or not", "none": "anybody"}[
        auth
    ]
    limit = (
        f"{route.limit.quota} in {format_duration(route.limit.window)}"
        if route.limit and route.limit.quota
        else ""
    )
    origins = tuple(redact(url) for url in route.origin)
    return RoutePlan(route.label, f"{methods}{route.path}{hosts}", who, limit, origins)


def _services(config: Config) -> tuple[ServicePlan, ...]:
    checks: dict[str, list[CheckPlan]] = {name: [] for name in config.services}
    for key, service, check in config.checks():
        name = key.partition("/")[2]
        checks[service].append(CheckPlan(key, name, redact(check.target()), check.every))
    return tuple(_service(name, settings, tuple(checks[name])) for name, settings in config.services.items())


def _service(name: str, settings: ServiceSettings, checks: tuple[CheckPlan, ...]) -> ServicePlan:
    return ServicePlan(
        name=name,
        title=settings.title or name,
        critical=settings.critical,
        checks=checks,
        runs_on=_runs_on(settings.runs_on),
        heal=settings.heal.explain() if settings.heal else None,
        attempts=settings.heal.attempts if settings.heal else None,
    )


def _runs_on(runs_on: Process | Unit | None) -> str | None:
    if isinstance(runs_on, Process):
        return f"process {redact(' '.join(runs_on.command))}"
    return f"{runs_on.kind} {runs_on.name}" if runs_on else None


def _database(name: str, config: Config, jobs: Mapping[str, Job]) -> DatabasePlan:
    dataset = config.data.get(name)
    backup = config.databases[name].backup if dataset is None else dataset.backup
    wal = config.databases[name].wal if dataset is None else None

    def there(job: str) -> str | None:
        return job if job in jobs else None

    return DatabasePlan(
        name=name,
        storage=", ".join(backup.storages) if backup else "",
        keep=backup.keep.explain() if backup else "",
        backup_job=there(f"backup:{name}"),
        prove_job=there(f"prove:{name}"),
        kind="postgres" if dataset is None else dataset.type_name,
        rows="rows" if dataset is None else dataset.counts,
        log_storage=wal.place if wal else None,
        base_job=there(f"base_backup:{name}"),
        prove_log_job=there(f"prove_log:{name}"),
    )


def _job(name: str, job: Job, timezone: str) -> JobPlan:
    title = (type(job).__doc__ or job.type_name).strip().splitlines()[0]
    return JobPlan(name, title, job.schedule(timezone), job.timeout)
