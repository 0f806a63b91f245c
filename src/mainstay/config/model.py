"""What `mainstay.yaml` may say: every room's settings, composed."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PrivateAttr, StringConstraints, model_validator

from mainstay.backup.data.base import Dataset
from mainstay.backup.data.filling import data_sent_to
from mainstay.backup.settings import DatabaseSettings
from mainstay.certs.settings import CertificateSettings
from mainstay.config.named import Named
from mainstay.config.plugins import register_all
from mainstay.config.problems import NAME_PATTERN
from mainstay.config.web import WebSettings
from mainstay.core.check import Check
from mainstay.core.job import Job
from mainstay.core.notifier import Notifier
from mainstay.core.paths import ConfigPath
from mainstay.core.plugin import Settings, Tagged
from mainstay.core.schedule import TimeZone
from mainstay.core.secret import SecretUrl
from mainstay.core.service import RunsOn
from mainstay.core.units import Duration
from mainstay.edge.gateway.settings import GatewaySettings
from mainstay.edge.http.settings import EdgeSettings
from mainstay.edge.webhooks import WebhookSettings
from mainstay.engine.watch import WatchSettings as AskSettings
from mainstay.playbooks.settings import HealSettings
from mainstay.ports.objects import Storage
from mainstay.readiness.settings import ReadinessSettings

register_all()

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
"""Letters, digits, `_`, `.` and `-`; names appear in addresses, file names and identifiers."""


BUILT_IN = {
    "backup_postgres": "`databases: NAME: backup:`",
    "backup_data": "`data: NAME:`",
    "prove_backup": "`databases: NAME: backup:`",
    "verify_backups": "`databases: NAME: backup:`",
    "prune_backups": "`databases: NAME: backup:`",
    "base_backup": "`databases: NAME: wal:`",
    "prove_log": "`databases: NAME: wal:`",
    "pgbackrest_backup": "`databases: NAME: wal:`",
    "pgbackrest_check": "`databases: NAME: wal:`",
    "pgbackrest_proof": "`databases: NAME: wal:`",
    "heal": "`services: NAME: heal:`",
    "renew_ssl": "`certificates:`",
}
"""Types of jobs that are made from `databases:` and `services:`, and are not written under `jobs:`."""


LANES = ("backup", "wal")
"""The ways in which a database is kept, each with a storage."""


def default_state_dir() -> Path:
    """Give /var/lib/mainstay for root, else the XDG state directory."""
    if given := os.environ.get("STATE_DIRECTORY"):  # set by systemd for units with StateDirectory=
        return Path(given.split(":")[0])
    if os.geteuid() == 0:
        return Path("/var/lib/mainstay")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "mainstay"


def _only_storage(data: Any) -> Any:
    """Send backups that do not say where to the only storage there is."""
    if not isinstance(data, dict):
        return data
    storage = data.get("storage")
    if not isinstance(storage, dict) or len(storage) != 1:
        return data
    (only,) = storage
    sent = {
        part: {name: send(only, each) for name, each in data[part].items()}
        for part, send in (("databases", _sent_to), ("data", data_sent_to))
        if isinstance(data.get(part), dict)
    }
    return {**data, **sent}


def _sent_to(storage: str, database: Any) -> Any:
    if not isinstance(database, dict):
        return database
    lanes = {lane: {} if database[lane] is None else database[lane] for lane in LANES if lane in database}
    sent = {lane: {"to": storage, **given} for lane, given in lanes.items() if isinstance(given, dict)}
    return {**database, **sent}


class ServiceSettings(Settings):
    """Something people rely on: what is asked about it, what runs it and how it is healed."""

    title: str | None = None
    """What people call it; its name when left out."""
    critical: bool = False
    """Whether its failure wakes people: its incidents are critical and reach channels with `when: critical`."""
    runs_on: RunsOn | None = None
    """What runs it: `systemd:UNIT`, `docker:NAME`, `swarm:NAME` or `{process: {command: [...]}}`."""
    checks: list[Annotated[Check, Tagged(Check)]] = []
    """The questions that are asked about it, each `{TYPE: options}`."""
    every: Duration | None = None
    """How often its checks are asked when they do not say so themselves."""
    heal: HealSettings | None = None
    """What is done when a check fails; `restart` restarts it with sane guards."""
    depends_on: list[str] = []
    """Services that it needs: while one of them fails, this one is neither told of twice nor healed."""
    warn_after: Duration | None = None
    """How long a warning may last before it opens an incident; that of `watch` when left out."""


class WatchSettings(AskSettings):
    """How checks are asked and how their results become incidents."""

    every: Duration | None = None
    """How often checks are asked when neither they nor their service say so; each type has its own default."""
    warn_after: Duration = 300.0
    """How long a warning may last before it opens an incident."""
    recover_after: Annotated[int, Field(ge=1, le=100)] = 2
    """So many good answers in a row end an incident; more are asked for when it comes back again and again."""


class Config(Settings):
    """The whole configuration. `load` makes one; everything but `name` has a default."""

    name: Name
    """What this installation is called, in messages and on the dashboard."""
    title: str | None = None
    """What people call it; the name when left out."""
    timezone: TimeZone = "UTC"
    """Time zone of schedules and of the times that people read."""
    state_dir: Annotated[ConfigPath, Field(validate_default=True)] = Field(default_factory=default_state_dir)
    """Where the journal, lock files and process logs are kept; relative to this file."""
    journal: SecretUrl | None = None
    """Where everything is remembered: `sqlite:///FILE` or `postgresql://...`; a file in `state_dir` when left out."""
    services: dict[Name, ServiceSettings] = {}
    """What is watched, by name."""
    databases: dict[Name, DatabaseSettings] = {}
    """PostgreSQL databases that are backed up, by name."""
    data: dict[Name, Annotated[Dataset, Tagged(Dataset)]] = {}
    """What else is backed up, by name, each `{TYPE: options}`; names of databases are not free for it."""
    storage: dict[Name, Annotated[Storage, Tagged(Storage)]] = {}
    """Where backups are kept, by name, each `{TYPE: options}`."""
    notify: Annotated[dict[str, Notifier], Named(Notifier)] = {}
    """Who is told: options under the name of a type, or `{TYPE: options}` under any other name."""
    jobs: Annotated[dict[str, Job], Named(Job, without=BUILT_IN)] = {}
    """Further work with a schedule: options under the name of a type, or `{TYPE: options}` under any other name."""
    certificates: list[CertificateSettings] = []
    """TLS certificates that are got, renewed in time and put in place."""
    web: WebSettings = Field(default_factory=WebSettings)
    """The dashboard and the JSON API."""
    webhooks: dict[Name, WebhookSettings] = {}
    """Who sends webhooks, by name: `bank` sends to `POST /bank`."""
    gateway: GatewaySettings | None = None
    """What the edge lets through to origins, for whom and how often."""
    edge: EdgeSettings = Field(default_factory=EdgeSettings)
    """Where webhooks and the gateway listen, and what they bear with."""
    watch: WatchSettings = Field(default_factory=WatchSettings)
    """How checks are asked and how their results become incidents."""
    readiness: ReadinessSettings = Field(default_factory=ReadinessSettings)
    """What the scorecard should know that it cannot see."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        return _only_storage(data)

    _file: Path = PrivateAttr(default=Path("mainstay.yaml"))

    def remember(self, file: Path) -> None:
        """Keep the path of the file that this was read from."""
        self._file = file

    @property
    def file(self) -> Path:
        """The absolute path of the file that this was read from."""
        return self._file

    @property
    def url(self) -> str | None:
        """The address that people open the dashboard with, for links in messages."""
        return self.web.url

    @property
    def journal_url(self) -> str:
        """The journal's URL; a relative file is relative to the configuration. It may hold a password."""
        from mainstay.config.places import journal_url

        given = self.journal.reveal() if self.journal else None
        return journal_url(given, self._file.parent, self.state_dir)

    def checks(self) -> Iterator[tuple[str, str, Check]]:
        """Give (identifier, service, check) of every check, with the defaults of service and `watch` filled in."""
        for service, settings in self.services.items():
            for check in settings.checks:
                yield f"{service}/{check.name or check.type_name}", service, self.asked(settings, check)

    def asked(self, service: ServiceSettings, check: Check) -> Check:
        """Fill in how often a check is asked and, when it does not say so, that its time-out is no longer than that."""
        every = service.every or self.watch.every
        if every is not None and "every" not in check.model_fields_set:
            check = check.model_copy(update={"every": every})
        if check.timeout > check.every > 0 and "timeout" not in check.model_fields_set:
            check = check.model_copy(update={"timeout": check.every})
        return check
