"""What is set up, as far as readiness is concerned: plain facts that can be kept as JSON."""

from typing import Any, NamedTuple


class CheckFacts(NamedTuple):
    """A check: `id` is `SERVICE/NAME`; `every` in seconds."""

    id: str
    type: str
    every: float


class ServiceFacts(NamedTuple):
    """A service. `runs_on` says in words what runs it; `heals` whether anything is done when it fails."""

    name: str
    title: str
    critical: bool = False
    runs_on: str | None = None
    heals: bool = False
    checks: tuple[CheckFacts, ...] = ()


class DatabaseFacts(NamedTuple):
    """A database, or other data that is backed up like one. `storages` are where its backups go, if it is backed up."""

    name: str
    storages: tuple[str, ...] = ()
    log_storage: str | None = None
    """Where its server's log goes; None when it is not kept."""
    kind: str = "postgres"
    """What it is: `postgres`, or the type of other data below `data:`."""
    rows: str = "rows"
    """What is counted in it, in the plural."""


class StorageFacts(NamedTuple):
    """A storage. `elsewhere` is whether it outlives this machine."""

    name: str
    type: str
    target: str
    elsewhere: bool


class ChannelFacts(NamedTuple):
    """A channel to people: `when` is `always` or `critical`."""

    name: str
    type: str
    when: str


class Setup(NamedTuple):
    """Everything that is configured. `jobs` has each further job's type by its name; times are in seconds."""

    name: str
    title: str
    services: tuple[ServiceFacts, ...] = ()
    databases: tuple[DatabaseFacts, ...] = ()
    storages: tuple[StorageFacts, ...] = ()
    channels: tuple[ChannelFacts, ...] = ()
    jobs: dict[str, str] = {}
    journal: str = "sqlite"
    listen: str = ""
    sources: tuple[str, ...] = ()
    """Sources of webhooks that are delivered somewhere."""
    kept: tuple[str, ...] = ()
    """Sources of webhooks that are kept only."""
    certificates: tuple[str, ...] = ()
    """Certificates that are renewed, by name."""
    routes: tuple[str, ...] = ()
    """Routes of the gateway that lead to an origin, as metrics call them."""
    covered: dict[str, str] = {}
    proof_age: float = 8 * 86400.0
    machine_time: float = 7200.0
    """How long all jobs together may be at work within a week."""

    def checks(self) -> tuple[CheckFacts, ...]:
        """Every check of every service."""
        return tuple(check for service in self.services for check in service.checks)

    def to_json(self) -> dict[str, Any]:
        """Give the facts as plain data."""
        parts = self._asdict()
        parts["services"] = [
            {**one._asdict(), "checks": [check._asdict() for check in one.checks]} for one in self.services
        ]
        for name in ("databases", "storages", "channels"):
            parts[name] = [one._asdict() for one in parts[name]]
        return parts

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Setup":
        """Take the facts back. Raises `TypeError` or `KeyError` when another version wrote them."""
        parts = dict(data)
        parts["services"] = tuple(
            ServiceFacts(**{**one, "checks": tuple(CheckFacts(**check) for check in one["checks"])})
            for one in parts["services"]
        )
        parts["databases"] = tuple(
            DatabaseFacts(
                one["name"], tuple(one["storages"]), one.get("log_storage"), one["kind"], one["rows"]
            )
            for one in parts["databases"]
        )
        for name in ("sources", "kept", "certificates", "routes"):
            parts[name] = tuple(parts.get(name, ()))
        parts["storages"] = tuple(StorageFacts(**one) for one in parts["storages"])
        parts["channels"] = tuple(ChannelFacts(**one) for one in parts["channels"])
        return cls(**parts)
