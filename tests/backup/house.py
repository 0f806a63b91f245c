"""Everything a backup needs: a journal, a storage, a database, a run that is kept in memory."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import psycopg

from mainstay.backup.jobs import BackupPostgres, ProveBackup
from mainstay.backup.manifest import Manifest
from mainstay.backup.ports import BackupPorts
from mainstay.backup.prove import prove
from mainstay.backup.settings import BackupSettings, DatabaseSettings
from mainstay.core.ids import new_id
from mainstay.core.job import Outcome
from mainstay.core.secret import SecretUrl
from mainstay.ports.clock import FakeClock
from mainstay.ports.objects import Storage
from mainstay.ports.objects.directory import Directory
from mainstay.ports.postgres.tools import Tools
from mainstay.ports.scratch import Scratch
from mainstay.store import backups
from mainstay.store.backups import Backup, Proof
from mainstay.store.base import Store

T = TypeVar("T")
START = 1_790_000_000.0
_ids = itertools.count()


class Run:
    """A run context in memory; keeps what the job said."""

    def __init__(self, ports: BackupPorts, job: str = "backup:shop", **args: Any) -> None:
        self.ports = ports
        self.id = new_id(ports.clock.now() + next(_ids))
        self.job = job
        self.due_at = ports.clock.now()
        self.attempt = 1
        self.args: Mapping[str, Any] = args
        self.lines: list[str] = []
        self.marks: list[tuple[str, float, float | None, str]] = []
        self.kept: dict[str, Any] = {}
        self.on_progress: Callable[[str], None] = lambda label: None

    async def step(self, name: str, action: Callable[[], Awaitable[T]]) -> T:
        if name not in self.kept:
            self.kept[name] = json.loads(json.dumps(await action()))
        return cast(T, self.kept[name])

    def log(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, label: str, done: float, total: float | None = None, unit: str = "") -> None:
        self.marks.append((label, done, total, unit))
        self.on_progress(label)

    def now(self) -> float:
        return self.ports.clock.now()

    async def sleep(self, seconds: float) -> None:
        await self.ports.clock.sleep(seconds)

    def get(self, port: type[T]) -> T:
        assert port is BackupPorts
        return cast(T, self.ports)

    @property
    def said(self) -> str:
        return "\n".join(self.lines)


class House:
    """One database called `shop`, whose backups go to the storage `vault`."""

    def __init__(self, store: Store, clock: FakeClock, directory: Path, dsn: str) -> None:
        self.directory = directory
        self.vault = Directory(path=directory / "vault")
        self.clock = clock
        self.ports = BackupPorts(
            store=store,
            clock=clock,
            storages={"vault": self.vault},
            databases={},
            scratch=Scratch(directory / "scratch"),
            tools=Tools(),
        )
        self.database("shop", dsn)

    def database(self, name: str, dsn: str, **settings: Any) -> None:
        """Add or change a database."""
        backup = BackupSettings.model_validate({"to": "vault", **settings})
        made = DatabaseSettings(dsn=SecretUrl("shop_dsn", dsn), backup=backup)
        self.ports = dataclasses.replace(self.ports, databases={**self.ports.databases, name: made})

    def storage(self, name: str, storage: Storage) -> None:
        self.ports = dataclasses.replace(self.ports, storages={**self.ports.storages, name: storage})

    def tools(self, tools: Tools) -> None:
        self.ports = dataclasses.replace(self.ports, tools=tools)

    def run(self, **args: Any) -> Run:
        return Run(self.ports, **args)

    async def backup(self, name: str = "shop", run: Run | None = None) -> Outcome:
        """Run the whole job."""
        return await BackupPostgres(database=name).run(run or self.run())

    async def take(self, name: str = "shop", run: Run | None = None) -> Backup:
        """Take a backup; nothing is proven yet."""
        settings = self.ports.database(name).backed_up
        self.ports = dataclasses.replace(
            self.ports,
            databases={
                **self.ports.databases,
                name: self.ports.database(name).with_backup(
                    settings.model_copy(update={"prove": "0 4 * * 0"})
                ),
            },
        )
        run = run or self.run()
        run.ports = self.ports
        outcome = await BackupPostgres(database=name).run(run)
        return await self.get(outcome.data["backup"])

    async def prove(self, backup: Backup, run: Run | None = None) -> Proof:
        """Prove it and give the proof, whatever it says."""
        return await prove(run or self.run(), self.ports, backup)

    async def prove_job(self, **args: Any) -> Outcome:
        return await ProveBackup(database="shop").run(self.run(**args))

    async def get(self, id: str) -> Backup:
        found = await self.ports.store.read(lambda tx: backups.get(tx, id))
        assert found is not None
        return found

    async def all(self) -> list[Backup]:
        return await self.ports.store.read(backups.all_)

    def manifest(self, backup: Backup) -> Manifest:
        return Manifest.unseal(backup.manifest)

    def file(self, backup: Backup, name: str = "dump.pgc.zst") -> Path:
        """Where an object of a backup lies on disk."""
        return self.vault.path / backup.path / name

    def files(self) -> list[str]:
        """Every file of the vault, but for the owner's mark, and of the scratch directory."""
        roots = (self.vault.path, self.ports.scratch.root)
        return sorted(
            str(f.relative_to(self.directory))
            for root in roots
            for f in root.rglob("*")
            if f.is_file() and f.name != "owner.json"
        )

    async def tamper(self, backup: Backup, **changes: Any) -> Backup:
        """Write another manifest to the storage and the journal, as somebody would who covers his tracks."""
        manifest = self.manifest(backup).model_copy(update=changes)
        self.file(backup, "manifest.json").write_text(manifest.seal())
        changed = dataclasses.replace(backup, manifest=manifest.seal())
        await self.ports.store.write(lambda tx: backups.put(tx, changed))
        return changed


def execute(dsn: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements as the superuser; the rows of the last one."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        rows: list[tuple[Any, ...]] = []
        for statement in statements:
            cursor = connection.execute(statement.encode())
            rows = cursor.fetchall() if cursor.description else []
        return rows
