"""From the configuration to the plain facts that readiness and quick commands work with."""

import re
from typing import TYPE_CHECKING

from mainstay.core.service import Process
from mainstay.readiness.setup import (
    ChannelFacts,
    CheckFacts,
    DatabaseFacts,
    ServiceFacts,
    Setup,
    StorageFacts,
)

if TYPE_CHECKING:
    from mainstay.config.model import Config, ServiceSettings

_HERE = re.compile(r"\b(localhost|127(\.\d{1,3}){3}|::1)\b")


def setup(config: "Config") -> Setup:
    """Give the facts of a configuration; no secret is among them."""
    checks: dict[str, list[CheckFacts]] = {}
    for identifier, service, check in config.checks():
        checks.setdefault(service, []).append(CheckFacts(identifier, check.type_name, check.every))
    return Setup(
        name=config.name,
        title=config.title or config.name,
        services=tuple(
            _service(name, settings, checks.get(name, [])) for name, settings in config.services.items()
        ),
        databases=tuple(
            DatabaseFacts(
                name,
                settings.backup.storages if settings.backup else (),
                settings.wal.place if settings.wal else None,
            )
            for name, settings in config.databases.items()
        )
        + tuple(
            DatabaseFacts(name, dataset.backup.storages, kind=dataset.type_name, rows=dataset.counts)
            for name, dataset in config.data.items()
        ),
        storages=tuple(
            StorageFacts(
                name, storage.type_name, storage.target(), _elsewhere(storage.type_name, storage.target())
            )
            for name, storage in config.storage.items()
        ),
        channels=tuple(
            ChannelFacts(name, notifier.type_name, notifier.when) for name, notifier in config.notify.items()
        ),
        jobs={name: job.type_name for name, job in config.jobs.items()},
        journal="sqlite" if config.journal is None or _is_sqlite(config) else "postgresql",
        listen=config.web.listen,
        sources=tuple(name for name, source in config.webhooks.items() if source.deliver_to is not None),
        kept=tuple(name for name, source in config.webhooks.items() if source.deliver_to is None),
        certificates=tuple(each.called for each in config.certificates),
        routes=tuple(route.label for route in config.gateway.carried if route.origin)
        if config.gateway
        else (),
        covered=dict(config.readiness.covered),
        proof_age=config.readiness.proof_age,
        machine_time=config.readiness.machine_time,
    )


def runs_on(settings: "ServiceSettings") -> str | None:
    """Say in words what runs a service."""
    if settings.runs_on is None:
        return None
    if isinstance(settings.runs_on, Process):
        return f"process {settings.runs_on.command[0]}"
    return f"{settings.runs_on.kind}:{settings.runs_on.name}"


def _service(name: str, settings: "ServiceSettings", checks: list[CheckFacts]) -> ServiceFacts:
    return ServiceFacts(
        name=name,
        title=settings.title or name,
        critical=settings.critical,
        runs_on=runs_on(settings),
        heals=settings.heal is not None,
        checks=tuple(checks),
    )


def _elsewhere(kind: str, target: str) -> bool:
    return kind != "directory" and not _HERE.search(target)


def _is_sqlite(config: "Config") -> bool:
    # A journal whose address is a secret has a password, and only servers have passwords.
    return (
        config.journal is not None and config.journal.inline and config.journal.reveal().startswith("sqlite")
    )
