"""What the jobs of this room are given by the composition root."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mainstay.backup.data.base import Dataset
from mainstay.backup.settings import BackupRules, DatabaseSettings
from mainstay.core.errors import MainstayError
from mainstay.ports.clock import Clock
from mainstay.ports.objects.base import Storage
from mainstay.ports.postgres.dsn import Dsn
from mainstay.ports.postgres.tools import Tools
from mainstay.ports.scratch import Scratch
from mainstay.store.base import Store


@dataclass(frozen=True)
class BackupPorts:
    """The journal, the clock, the storages, databases and other data by name, PostgreSQL's programs, room for
    restored copies.

    `timezone` is the file's own, in which a day begins and ends for those without one.
    """

    store: Store
    clock: Clock
    storages: Mapping[str, Storage]
    databases: Mapping[str, DatabaseSettings]
    scratch: Scratch
    tools: Tools = field(default_factory=Tools)
    timezone: str = "UTC"
    data: Mapping[str, Dataset] = field(default_factory=dict)

    def storage(self, name: str) -> Storage:
        """Give a storage. Raises `MainstayError` when there is none of that name."""
        try:
            return self.storages[name]
        except KeyError:
            raise MainstayError(
                f"there is no storage {name!r}", hint=f"known: {', '.join(self.storages) or 'none'}"
            ) from None

    def database(self, name: str) -> DatabaseSettings:
        """Give a database's settings. Raises `MainstayError` when there is none of that name."""
        try:
            return self.databases[name]
        except KeyError:
            raise MainstayError(
                f"there is no database {name!r}", hint=f"known: {', '.join(self.databases) or 'none'}"
            ) from None

    def backup(self, name: str) -> BackupRules:
        """Give the backup settings of a database or of other data. Raises `MainstayError` when it is not backed up."""
        if name in self.data:
            return self.data[name].backup
        found = self.database(name).backup
        if found is None:
            raise MainstayError(
                f"database {name} is not backed up", hint="give it `backup: {to: STORAGE}` in the file"
            )
        return found

    def dsn(self, name: str) -> Dsn:
        """Give a database's address."""
        return Dsn.parse(self.database(name).dsn.reveal())
