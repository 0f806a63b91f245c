"""What is said of the lane without loss in `mainstay.yaml`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mainstay.core.paths import ConfigPath
from mainstay.core.plugin import Settings
from mainstay.core.schedule import Cron, TimeZone
from mainstay.core.secret import SecretUrl
from mainstay.core.units import Duration, Size

PGBACKREST = "pgbackrest stanza "
"""Begins what is said of the place of a log that pgBackRest keeps."""


class WalSettings(Settings):
    """The server's write-ahead log, kept as it is written, so that every moment can be restored.

    It is the whole server that is kept, with all of its databases. The account needs the attribute REPLICATION.
    """

    engine: Literal["mainstay", "pgbackrest"] = "mainstay"
    """Who keeps it: mainstay itself, or a pgBackRest that is installed and configured, which mainstay then drives:
    `stanza`, `config`, `user`, `check` and `oldest` are about that, most of the others are not."""
    to: str = ""
    """The storage, by its name below `storage:`. pgBackRest has repositories of its own."""
    stanza: str = Field(default="", pattern=r"^[A-Za-z0-9][\w.-]*$|^$")
    """The stanza of pgBackRest."""
    config: ConfigPath | None = None
    """The configuration of pgBackRest; its own default when left out."""
    user: str = "postgres"
    """As whom pgBackRest runs when mainstay is root: the owner of the server's files."""
    check: Cron = "*/5 * * * *"
    """When it is looked whether log reaches the repository of pgBackRest."""
    oldest: Annotated[Duration, Field(ge=3600)] = 2 * 86400.0
    """A newest backup of pgBackRest that is older than this is an incident."""
    mode: Literal["asynchronous", "synchronous"] = "asynchronous"
    """With `synchronous` a commit waits until mainstay has it on disk, so that none is ever lost. While mainstay cannot
    receive, commits wait for `fall_back_after` and then go on without it."""
    dsn: SecretUrl | None = None
    """The address for replication, when it is not the database's own: past a pooler, or as another account."""
    ship_every: Annotated[Duration, Field(ge=0.1, le=60)] = 1.0
    """How often the unfinished segment's news go to the storage: what is lost when this machine is lost as well."""
    fall_back_after: Annotated[Duration, Field(ge=1, le=60)] = 3.0
    """How long commits may wait for a receiver that does not answer."""
    most_retained: Annotated[Size, Field(ge=64 * 10**6)] = 10 * 10**9
    """How much log the server may keep for us while it cannot be shipped. Beyond that its disk is more important: the
    replication slot is dropped, and you are told."""
    base: Cron = "30 1 * * *"
    """When a base backup is taken: a restore begins at one and replays the log from there."""
    timezone: TimeZone | None = None
    """Time zone of `base` and `prove`; the file's own when left out."""
    incrementals: Annotated[int, Field(ge=0, le=60)] = 6
    """So many incremental base backups follow a full one, where the server is PostgreSQL 17 or newer and has
    `summarize_wal = on`."""
    keep: Annotated[Duration, Field(ge=86400)] = 14 * 86400.0
    """How far back every moment can be restored. The last proven base backup always stays."""
    prove: Cron = "30 4 * * 0"
    """When a moment is restored into a throwaway server and its marker rows are compared."""
    markers: Annotated[Duration, Field(ge=0, le=86400)] = 60.0
    """How often a row is written into the small table `mainstay.marker`, by which a proof sees that a restore stopped
    at the right moment; 0 writes none, and nothing can be proven."""
    timeout: Duration = 12 * 3600.0
    """A base backup or a proof that takes longer is stopped and counts as failed."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.engine == "mainstay":
            if not self.to:
                raise ValueError("say `to`, the storage that the log goes to")
            if self.stanza:
                raise ValueError("a stanza is one of pgBackRest: say `engine: pgbackrest`")
            return self
        if not self.stanza:
            raise ValueError("say `stanza`, as pgBackRest knows it")
        if self.to:
            raise ValueError("pgBackRest has repositories of its own: leave `to` out")
        if self.mode == "synchronous":
            raise ValueError(
                "pgBackRest archives whole segments, so commits cannot wait for it: leave `mode` out"
            )
        return self

    @property
    def place(self) -> str:
        """Where the log goes, in words."""
        return self.to or f"{PGBACKREST}{self.stanza}"
