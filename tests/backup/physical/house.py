"""A server of its own whose log is kept, with everything that keeping it needs, in this process."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg

from mainstay.backup.physical.alarms import Alarms
from mainstay.backup.physical.jobs import BaseBackup
from mainstay.backup.physical.layout import parse_lsn
from mainstay.backup.physical.restore import NewServer, plan, restore_server
from mainstay.backup.physical.settings import WalSettings
from mainstay.backup.physical.stream import Stream
from mainstay.backup.physical.target import LATEST, Target
from mainstay.backup.ports import BackupPorts
from mainstay.backup.settings import DatabaseSettings
from mainstay.core.incident import Severity
from mainstay.core.job import Outcome
from mainstay.core.secret import SecretUrl
from mainstay.ports.clock import SystemClock
from mainstay.ports.objects import Storage
from mainstay.ports.objects.directory import Directory
from mainstay.ports.postgres.tools import Tools
from mainstay.ports.scratch import Scratch
from mainstay.store.base import Store, Tx
from mainstay.store.open import open_store
from tests.backup.house import Run
from tests.helpers import aeventually
from tests.servers.postgres import PostgresServer


class Board:
    """Where conditions are raised; keeps all that was ever said."""

    def __init__(self) -> None:
        self.live: dict[str, tuple[Severity, str]] = {}
        self.said: list[tuple[str, str]] = []

    def raise_condition(
        self,
        tx: Tx,
        key: str,
        *,
        service: str,
        severity: Severity,
        title: str,
        detail: str,
        hint: str | None = None,
    ) -> None:
        assert hint
        self.live[key] = (severity, detail)
        self.said.append((key, detail))

    def clear_condition(self, tx: Tx, key: str, detail: str = "") -> None:
        self.live.pop(key, None)

    def loud(self, kind: str) -> bool:
        """Whether a condition of a kind wakes people now."""
        live = self.live.get(f"{kind}:shop")
        return live is not None and live[0] is Severity.CRITICAL

    def ever(self, kind: str) -> list[str]:
        """What was said of a kind of condition, the first first."""
        return [detail for key, detail in self.said if key == f"{kind}:shop"]


def ports_of(store: Store, base: Path, dsn: str, **wal: Any) -> BackupPorts:
    """What keeping the log of a database called `shop` needs, everything below a directory."""
    settings = WalSettings.model_validate({"to": "vault", "ship_every": 0.2, "markers": 0, **wal})
    return BackupPorts(
        store=store,
        clock=SystemClock(),
        storages={"vault": Directory(path=base / "vault")},
        databases={"shop": DatabaseSettings(dsn=SecretUrl("dsn", dsn), wal=settings)},
        scratch=Scratch(base / "scratch"),
        tools=Tools(),
    )


class PhysicalHouse:
    """One server, its log kept in `vault`. Its database is `postgres`, called `shop` here."""

    def __init__(self, store: Store, base: Path, server: PostgresServer, **wal: Any) -> None:
        self.base = base
        self.server = server
        self.board = Board()
        self.vault: Storage = Directory(path=base / "vault")
        self.ports = ports_of(store, base, server.dsn(), **wal)
        self.spool = base / "spool"

    def storage(self, storage: Storage) -> None:
        """Keep the log elsewhere."""
        self.vault = storage
        self.ports = dataclasses.replace(self.ports, storages={"vault": storage})

    @property
    def stream_mode(self) -> str:
        wal = self.ports.database("shop").wal
        assert wal is not None
        return wal.mode

    def waits(self) -> bool:
        """Whether commits wait for our receiver."""
        return self.server.execute("SHOW synchronous_standby_names") == [('"mainstay_shop"',)]

    def change(self, *, dsn: str | None = None, **wal: Any) -> None:
        """Change settings; a stream that begins afterwards has them."""
        old = self.ports.database("shop")
        assert old.wal is not None
        changed = old.model_copy(
            update={
                "wal": WalSettings.model_validate({**old.wal.model_dump(exclude={"dsn"}), **wal}),
                **({"dsn": SecretUrl("dsn", dsn)} if dsn else {}),
            }
        )
        self.ports = dataclasses.replace(self.ports, databases={"shop": changed})

    @asynccontextmanager
    async def streaming(self) -> AsyncIterator[Stream]:
        """Receive, ship and watch until the block ends."""
        alarms = Alarms(self.ports.store, self.ports.clock, self.board, "shop")
        stream = Stream(self.ports, alarms, "shop", self.spool)
        serving = asyncio.create_task(stream.serve())
        try:
            await aeventually(lambda: serving.done() or stream.pace.well_since is not None, 20)
            if serving.done():
                serving.result()
            yield stream
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    async def base_backup(self, **args: Any) -> Outcome:
        run = Run(self.ports, "base_backup:shop", **args)
        return await BaseBackup(database="shop").run(run)

    async def restore(self, target: Target = LATEST, name: str = "restored") -> NewServer:
        """Restore beside everything else."""
        folder = self.server.base / f"{self.base.name}-{name}"  # which the server's own user may enter
        run = Run(self.ports, "restore:shop")
        return await restore_server(run, self.ports, await plan(self.ports, "shop", target), folder)

    async def shipped(self, stream: Stream, position: int | None = None) -> None:
        """Wait until everything below a position is in the storage; all that there is now when none is given."""
        if position is None:
            ((now,),) = self.server.execute("SELECT pg_current_wal_flush_lsn()::text")
            position = parse_lsn(now)

        def there() -> bool:
            shipper = stream.current
            # The zeros at the end of what was written are there without being shipped.
            return shipper is not None and (shipper.tip or 0) >= position - 256

        await aeventually(there, 20)


@asynccontextmanager
async def physical_house(base: Path, server: PostgresServer, **wal: Any) -> AsyncIterator[PhysicalHouse]:
    store = await open_store(f"sqlite:///{base}/journal.db", SystemClock())
    try:
        yield PhysicalHouse(store, base, server, **wal)
    finally:
        await store.close()


class Writers:
    """Clients that commit numbered rows as fast as they can, and remember which were acknowledged, and when."""

    def __init__(self, dsn: str, count: int = 4) -> None:
        self.dsn = dsn
        self.acknowledged: list[list[int]] = [[] for _ in range(count)]
        self.moments: list[list[float]] = [[] for _ in range(count)]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(n,), daemon=True) for n in range(count)]

    def __enter__(self) -> Writers:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS ledger (id bigint PRIMARY KEY, filler text)")
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=30)

    def _write(self, n: int) -> None:
        try:
            with psycopg.connect(self.dsn, autocommit=True) as connection:
                connection.execute("SET synchronous_commit = on")
                number = n
                while not self._stop.is_set():
                    connection.execute("INSERT INTO ledger VALUES (%s, repeat('x', 200))", [number])
                    self.acknowledged[n].append(number)
                    self.moments[n].append(time.monotonic())
                    number += len(self._threads)
        except psycopg.Error:
            return  # the server was killed

    @property
    def all(self) -> set[int]:
        return {number for some in self.acknowledged for number in some}

    def at(self, number: int) -> float:
        """When a number was acknowledged."""
        n = number % len(self._threads)
        return self.moments[n][self.acknowledged[n].index(number)]

    @property
    def count(self) -> int:
        return sum(map(len, self.acknowledged))
