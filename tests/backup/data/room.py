"""A house whose data is no database of PostgreSQL."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from mainstay.backup.compare import Judgement
from mainstay.backup.data.base import Dataset, Landed
from mainstay.backup.data.prove import restore_data
from mainstay.backup.jobs import BackupData
from mainstay.backup.manifest import DataManifest, read_manifest
from mainstay.core.job import Outcome
from mainstay.store import backups
from mainstay.store.backups import Backup, Proof
from tests.backup.house import House, Run


class Room:
    """One dataset called `stuff` in a house, whose backups go to the storage `vault`."""

    def __init__(self, house: House) -> None:
        self.house = house

    def set(self, kind: type[Dataset], *, rules: dict[str, Any] | None = None, **options: Any) -> None:
        """Say what is backed up."""
        backup = {"to": "vault", **(rules or {})}
        made = kind.model_validate({**options, "backup": backup}, strict=False)
        self.house.ports = dataclasses.replace(self.house.ports, data={"stuff": made})

    async def backup(self, run: Run | None = None) -> Outcome:
        """Run the whole job."""
        return await BackupData(database="stuff").run(run or self.house.run())

    async def proven(self) -> Backup:
        """Take a backup, which must be proven."""
        outcome = await self.backup()
        assert outcome.data["proven"] is True, outcome
        return await self.house.get(outcome.data["backup"])

    async def proof(self, backup: Backup) -> Proof:
        """Give what its newest proof said."""
        return (await self.house.ports.store.read(lambda tx: backups.proofs(tx, backup.id)))[0]

    async def newest(self) -> Backup:
        """Give the newest backup."""
        return (await self.house.all())[0]

    def manifest(self, backup: Backup) -> DataManifest:
        found = read_manifest(backup.manifest)
        assert isinstance(found, DataManifest)
        return found

    def object(self, backup: Backup, name: str) -> Path:
        return self.house.vault.path / backup.path / name

    async def restore(self, backup: Backup, into: Path | str, *, replace: bool = False) -> Landed:
        return await restore_data(self.house.run(), self.house.ports, backup.id, str(into), replace=replace)


def equal(judgement: Judgement) -> bool:
    """Whether nothing differs and nothing is in doubt."""
    return not judgement.differences and not judgement.unproven


def flip(file: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
