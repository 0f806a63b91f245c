"""What is said of a database in `mainstay.yaml`: where it is, where its backups go, how long they are kept."""

import re
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from mainstay.backup.physical.settings import WalSettings
from mainstay.core.plugin import Settings
from mainstay.core.schedule import Cron, TimeZone
from mainstay.core.secret import Secret, SecretUrl
from mainstay.core.units import Duration, Rate, Size, format_duration, format_size


class Keep(Settings):
    """How many backups are kept: the newest of so many days, weeks, months and years that have one.

    Days without a backup do not count, so a pause or a wrong clock costs nothing. Nothing younger than two days is
    deleted, nor the last proven one and what is newer; one that failed its proof is kept for a week, to be looked at.
    """

    last: int = Field(default=0, ge=0)
    """The newest so many, whenever they were taken."""
    within: Duration = 0.0
    """Every one that is younger than this."""
    daily: int = Field(default=30, ge=0)
    """The newest backup of each of so many days."""
    weekly: int = Field(default=0, ge=0)
    """The newest backup of each of so many weeks."""
    monthly: int = Field(default=12, ge=0)
    """The newest backup of each of so many months."""
    yearly: int = Field(default=0, ge=0)
    """The newest backup of each of so many years."""
    space: Size | None = None
    """What the backups may take in one storage. Above it the oldest go, whatever the numbers say; what
    is never deleted stays all the same.
    """

    def explain(self) -> str:
        """Say it in words: `30 daily, 12 monthly`."""
        told = [f"the last {self.last}"] if self.last else []
        told += [f"everything of {format_duration(self.within)}"] if self.within else []
        told += [
            f"{getattr(self, name)} {name}"
            for name in ("daily", "weekly", "monthly", "yearly")
            if getattr(self, name)
        ]
        told += [f"at most {format_size(self.space)}"] if self.space is not None else []
        return ", ".join(told)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not any((self.last, self.within, self.daily, self.weekly, self.monthly, self.yearly)):
            raise ValueError("keep at least one backup")
        return self


def _check_prove(text: str) -> str:
    if text == "each":
        return text
    try:
        TypeAdapter(Cron).validate_python(text)
    except ValidationError:
        raise ValueError(f"{text!r} is not `each` and not a cron expression like `0 4 * * 0`") from None
    return text


def _check_table(text: str) -> str:
    if not re.fullmatch(r"[^.\"*?\s]+\.[^.\"*?\s]+", text):
        raise ValueError(f"{text!r} is not a table; write schema.table, like public.session")
    return text


class Hook(Settings):
    """A program that is run before or after a backup is taken, without a shell; a list is its command.

    It gets mainstay's environment without `MAINSTAY_*`, `env`, and `MAINSTAY_BACKUP` (the name), `MAINSTAY_HOOK`,
    `MAINSTAY_RUN`, `MAINSTAY_DUE_AT` (UTC) and, after, `MAINSTAY_RESULT`: `ok` or `failed`. What it writes is in the
    log of the run. When a backup is cut off it is begun anew, and so is the program: it should be safe to repeat.
    """

    command: list[str] = Field(min_length=1, examples=[["/usr/local/bin/pause-odoo"]])
    """Program and arguments. Anybody on the machine can read arguments: secrets belong into `env`."""
    timeout: Duration = 300.0
    """After that it is ended, and counts as failed."""
    env: dict[str, str | Secret] = {}
    """Environment variables: values, or secrets by name."""


def _spell_out(value: Any) -> Any:
    return {"command": value} if isinstance(value, list) else value


GivenHook = Annotated[Hook, BeforeValidator(_spell_out, json_schema_input_type=list[str] | Hook)]


class BackupRules(Settings):
    """When something is backed up, where to, how long that is kept and how it is proven."""

    at: Cron = "0 2 * * *"
    """When a backup is taken."""
    timezone: TimeZone | None = None
    """Time zone of `at` and of what a day is; the file's own when left out."""
    to: str | list[str]
    """The storage, by its name below `storage:`, or several."""
    keep: Keep = Keep()
    """How many backups are kept; the last proven one always is."""
    prove: Annotated[str, AfterValidator(_check_prove), Field(examples=["each", "0 4 * * 0"])] = "each"
    """When a backup is restored and compared: `each` one at once, or the latest at these times."""
    prove_budget: Duration | None = None
    """How long the proofs of one scheduled run may take together. What would not fit is left for the next one, which
    begins with it.
    """
    verify: Cron | None = None
    """When every stored byte is read and compared with its checksum; that needs no restore and no identity."""
    verify_rate: Size | None = None
    """Bytes per second at which that reads, so that the line has room for others; as fast as it can when left out."""
    before: GivenHook | None = None
    """A program that is run before it is taken, such as one that stops who writes. When it fails, nothing is taken."""
    after: GivenHook | None = None
    """A program that is run once it is taken, before it is copied and proven; also when that, or `before`, failed."""
    limit: Rate | None = None
    """Bytes per second that are sent to a storage, at most; who reads waits. As fast as it can when left out."""
    nice: Annotated[int, Field(ge=0, le=19)] = 0
    """By how much whoever reads the data steps back for others on this machine: 19 is as far as it goes; it then reads
    its disk last, too."""
    timeout: Duration = 6 * 3600.0
    """A backup with its proof that takes longer is stopped and counts as failed."""

    @field_validator("to")
    @classmethod
    def _some(cls, to: str | list[str]) -> str | list[str]:
        if not to or (isinstance(to, list) and len(set(to)) != len(to)):
            raise ValueError("name at least one storage, each once")
        return to

    @property
    def storages(self) -> tuple[str, ...]:
        """The names of the storages; the first one gets the dump, the others a copy of it."""
        return (self.to,) if isinstance(self.to, str) else tuple(self.to)


class BackupSettings(BackupRules):
    """When a database is backed up, where to, how long that is kept and how it is proven."""

    exclude: list[Annotated[str, AfterValidator(_check_table)]] = []
    """Tables (`schema.table`) whose rows are left out: sessions, caches. Their definition is kept."""
    lock_timeout: Duration = 30.0
    """How long to wait for a table that somebody has locked before giving up."""


class DatabaseSettings(Settings):
    """A PostgreSQL database."""

    dsn: SecretUrl
    """Its address. With a password in it, it is a secret."""
    backup: BackupSettings | None = None
    """Its backups; none are taken when left out."""
    wal: WalSettings | None = None
    """Its server's log, kept as it is written; it is not when left out."""

    @property
    def backed_up(self) -> BackupSettings:
        """The backup's settings. Raises `LookupError` when there are none."""
        if self.backup is None:
            raise LookupError("this database is not backed up")
        return self.backup

    def with_backup(self, backup: BackupSettings) -> Self:
        """The same database, backed up otherwise."""
        return self.model_copy(update={"backup": backup})
