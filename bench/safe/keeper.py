"""Ours, in a process of its own, so that its memory is its own: a line in says what to do, a line out what came of it.

Started as `python -m bench.safe.keeper SPECIFICATION`, a JSON object: `base`, `dsn`, and of the bucket `bucket`,
`endpoint`, `access_key`, `secret_key`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar, cast

from mainstay.backup.dump import MAGIC, Meter, packed
from mainstay.backup.manifest import folder
from mainstay.backup.physical.base import take_base
from mainstay.backup.physical.settings import WalSettings
from mainstay.backup.physical.source import source
from mainstay.backup.ports import BackupPorts
from mainstay.backup.prove import prove
from mainstay.backup.settings import BackupSettings, DatabaseSettings
from mainstay.backup.take import take
from mainstay.core.ids import new_id
from mainstay.core.secret import Secret, SecretUrl
from mainstay.ports.clock import SystemClock
from mainstay.ports.objects.base import Storage
from mainstay.ports.objects.directory import Directory
from mainstay.ports.objects.s3 import S3
from mainstay.ports.postgres.dsn import passfile
from mainstay.ports.postgres.tools import Tools
from mainstay.ports.scratch import Scratch
from mainstay.store.backups import Backup, BackupState
from mainstay.store.open import open_store

T = TypeVar("T")
ROOT = 0
"""The branch of a log whose server was never restored."""


class Silent:
    """A run that nobody watches."""

    def __init__(self, ports: BackupPorts) -> None:
        self.ports = ports
        self.id = new_id(ports.clock.now())
        self.job = "bench"
        self.due_at = ports.clock.now()
        self.attempt = 1
        self.args: Mapping[str, Any] = {}

    async def step(self, name: str, action: Callable[[], Awaitable[T]]) -> T:
        return await action()

    def log(self, line: str) -> None: ...
    def progress(self, label: str, done: float, total: float | None = None, unit: str = "") -> None: ...

    def now(self) -> float:
        return self.ports.clock.now()

    async def sleep(self, seconds: float) -> None:
        await self.ports.clock.sleep(seconds)

    def get(self, port: type[T]) -> T:
        return cast(T, self.ports)


class Keeper:
    """Does what a nightly run does, part by part."""

    def __init__(self, ports: BackupPorts) -> None:
        self.ports = ports
        self.last: Backup | None = None

    async def take(self) -> dict[str, Any]:
        """Snapshot, dump, counts, checksums, roles, manifest, read-back."""
        run = Silent(self.ports)
        self.last = await take(run, self.ports, "shop", folder("shop", run.due_at, run.id))
        return {"bytes": self.last.bytes, "rows": self.last.rows}

    async def bare(self) -> dict[str, Any]:
        """The same dump, without counts and checksums."""
        dsn = self.ports.dsn("shop")
        tools = self.ports.tools.client(15)
        argv = [tools.program("pg_dump"), "-Fc", "-Z0", "-d", dsn.public()]
        meter = Meter()
        with self.ports.scratch.workspace() as space:
            stream: Any = packed(argv, passfile(dsn, space.path), meter, magic=MAGIC)
            async with aclosing(stream) as chunks:
                await self.ports.storage("vault").put("bare", chunks)
        return {"bytes": meter.bytes}

    async def prove(self) -> dict[str, Any]:
        """Fetch, restore with all indexes, compare everything."""
        assert self.last is not None
        proof = await prove(Silent(self.ports), self.ports, self.last)
        assert proof.verdict is BackupState.PROVEN, proof.summary
        return {"laps": proof.detail["seconds"]}

    async def base(self) -> dict[str, Any]:
        """A base backup of the physical lane."""
        async with source(self.ports, "shop") as found:
            run = Silent(self.ports)
            base = await take_base(
                run, found, self.ports.storage("vault"), f"bases/{run.id}", None, ROOT, self.ports.clock.now
            )
        return {"bytes": base.bytes}


def storage(given: Mapping[str, str]) -> Storage:
    """Give the bucket; a directory where there is none."""
    if "bucket" not in given:
        return Directory(path=Path(given["base"]) / "vault")
    return S3(
        bucket=given["bucket"], endpoint=given["endpoint"], access_key=Secret("key", given["access_key"]),
        secret_key=Secret("secret", given["secret_key"]),
    )  # fmt: skip


async def main(given: Mapping[str, str]) -> None:
    """Answer every line of standard input."""
    clock, base = SystemClock(), Path(given["base"])
    store = await open_store(f"sqlite:///{base}/journal.db", clock)
    settings = DatabaseSettings(
        dsn=SecretUrl("shop", given["dsn"]), backup=BackupSettings(to="vault", prove="0 4 * * 0"),
        wal=WalSettings(to="vault"),
    )  # fmt: skip
    ports = BackupPorts(
        store, clock, {"vault": storage(given)}, {"shop": settings}, Scratch(base / "scratch"), Tools()
    )
    keeper = Keeper(ports)
    try:
        while line := await asyncio.to_thread(sys.stdin.readline):
            began = time.perf_counter()
            answer = await getattr(keeper, line.strip())()
            print(json.dumps({**answer, "seconds": time.perf_counter() - began}), flush=True)
    finally:
        await store.close()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
