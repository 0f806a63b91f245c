"""What is said of the lane without loss in `mainstay.yaml`."""

from typing import Annotated, Literal

from pydantic import Field

from mainstay.core.plugin import Settings
from mainstay.core.schedule import Cron, TimeZone
from mainstay.core.secret import SecretUrl
from mainstay.core.units import Duration, Size


class WalSettings(Settings):
    """The server's write-ahead log, kept as it is written, so that every moment can be restored.

    It is the whole server that is kept, with all of its databases. The account needs the attribute REPLICATION.
    """

    to: str
    """The storage, by its name below `storage:`."""
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
