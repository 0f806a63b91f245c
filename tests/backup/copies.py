"""Restored copies on a server that outlives a test, so that not every test pays for a server of its own."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from mainstay.backup.compare import Judgement
from mainstay.backup.trial import Kit, Trial
from mainstay.ports.postgres.dsn import Dsn
from mainstay.ports.postgres.sandbox import Sandbox
from mainstay.store.backups import Backup
from tests.backup.house import House
from tests.servers.postgres import PostgresServer


class Copies:
    """Restores backups into databases of one server, as a proof does in a throwaway one."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server

    def dsn(self, database: str = "postgres") -> Dsn:
        return Dsn.parse(self.server.dsn(database))

    @asynccontextmanager
    async def restored(self, house: House, backup: Backup) -> AsyncIterator[tuple[Trial, str, list[str]]]:
        """Fetch and restore a backup; give the trial, the copy's database and what pg_restore complained about."""
        manifest = house.manifest(backup)
        with tempfile.TemporaryDirectory() as folder:
            kit = Kit.choose(house.ports.tools, manifest)
            trial = Trial(backup, manifest, house.vault, kit, Path(folder), house.run())
            roles, archive = await trial.fetch()
            try:
                dsn, complaints = await trial.restore(cast(Sandbox, self), roles, archive)
                yield trial, dsn.name, complaints
            finally:
                self.server.drop(manifest.name)

    async def judge(self, house: House, backup: Backup) -> Judgement:
        """Restore a backup and compare it."""
        async with self.restored(house, backup) as (trial, database, complaints):
            return await trial.judge(self.dsn(database), complaints)
