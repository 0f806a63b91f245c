"""What is configured, as far as the dashboard may show it: names and words, never an address with a password.

The composition root makes a `Plan` from the configuration, so that pages need no other room's settings.
"""

from dataclasses import dataclass, field

from mainstay.core.schedule import Schedule
from mainstay.readiness.setup import Setup


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """A check of a service. `id` is `SERVICE/NAME`, `target` what is asked in words, `every` in seconds."""

    id: str
    name: str
    target: str
    every: float


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """A service. `runs_on` and `heal` say in words what runs it and how it is healed; `attempts` how often at most."""

    name: str
    title: str
    critical: bool = False
    checks: tuple[CheckPlan, ...] = ()
    runs_on: str | None = None
    heal: str | None = None
    attempts: int | None = None


@dataclass(frozen=True, slots=True)
class DatabasePlan:
    """A database, or other data, with its backup. The jobs are named as in the queue; `keep` says what is retained."""

    name: str
    storage: str
    keep: str = ""
    backup_job: str | None = None
    prove_job: str | None = None
    kind: str = "postgres"
    """What it is: `postgres`, or the type of other data."""
    rows: str = "rows"
    """What is counted in it, in the plural."""
    log_storage: str | None = None
    """Where its server's log goes; None when it is not kept."""
    base_job: str | None = None
    prove_log_job: str | None = None


@dataclass(frozen=True, slots=True)
class JobPlan:
    """A job by its name in the queue. `title` says in words what it does."""

    name: str
    title: str
    schedule: Schedule = field(default_factory=Schedule)
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class ChannelPlan:
    """A channel to people: its name, its type and `always` or `critical`."""

    name: str
    type: str
    when: str = "always"


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """A source of webhooks: how it is proven and where it is brought, in words; `secrets` are names."""

    name: str
    target: str
    scheme: str = ""
    secrets: tuple[str, ...] = ()
    brought: bool = True
    """Whether anybody takes its events; else they are kept for `keep` seconds."""
    keep: float | None = None


@dataclass(frozen=True, slots=True)
class CertificatePlan:
    """A certificate: the job that renews it, where its files lie, who must take them and how it is proven, in words."""

    name: str
    job: str
    names: tuple[str, ...] = ()
    directory: str = ""
    reload: str = ""
    proof: str = ""


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """A route of the gateway: what it is for and who may use it, in words; `name` as in metrics."""

    name: str
    what: str
    who: str = ""
    limit: str = ""
    origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StoragePlan:
    """Where backups lie: the name, the type and the place in words."""

    name: str
    type: str
    target: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything configured, in the file's own order. `readiness` is what the scorecard judges."""

    name: str
    title: str = ""
    timezone: str = "UTC"
    services: tuple[ServicePlan, ...] = ()
    databases: tuple[DatabasePlan, ...] = ()
    jobs: tuple[JobPlan, ...] = ()
    channels: tuple[ChannelPlan, ...] = ()
    storages: tuple[StoragePlan, ...] = ()
    sources: tuple[SourcePlan, ...] = ()
    certificates: tuple[CertificatePlan, ...] = ()
    routes: tuple[RoutePlan, ...] = ()
    readiness: Setup | None = None

    def service(self, name: str) -> ServicePlan | None:
        """The service of that name, or None."""
        return next((service for service in self.services if service.name == name), None)

    def database(self, name: str) -> DatabasePlan | None:
        """The database of that name, or None."""
        return next((database for database in self.databases if database.name == name), None)

    def job(self, name: str) -> JobPlan | None:
        """The job of that name, or None."""
        return next((job for job in self.jobs if job.name == name), None)
