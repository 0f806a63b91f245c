"""The database that is backed up: made once, in the server itself, and kept in .cache from one run to the next."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.servers.postgres import debian_binaries, reachable
from tests.servers.process import (
    LOOPBACK,
    Engine,
    die_with_parent,
    free_port,
    identity,
    missing,
    servant,
    started,
)

SCRIPT = Path(__file__).with_suffix(".sql").read_text()
LINES_PER_MB = 2250
"""Lines of the ledger for a megabyte (10**6) of database, its other tables and all indexes included."""
CACHE = Path(__file__).parents[2] / ".cache" / "bench"

BOTH = {
    "listen_addresses": LOOPBACK,
    "autovacuum": "off",
    "max_wal_size": "16GB",
    "log_min_messages": "warning",
}
MAKING = {
    "wal_level": "minimal", "max_wal_senders": "0", "fsync": "off", "full_page_writes": "off",
    "maintenance_work_mem": "400MB", "synchronous_commit": "off",
}  # fmt: skip
SERVING = {
    "wal_level": "replica",
    "max_wal_senders": "6",
    "archive_mode": "on",
    "archive_command": "/bin/true",
}
"""A server as it is used: durable, its log kept."""


class Warehouse:
    """A server of the system's PostgreSQL with the database `shop` of about so many megabytes (10**6)."""

    def __init__(self, megabytes: int) -> None:
        programs = debian_binaries()
        if programs is None:
            missing("the system's PostgreSQL", "postgresql")
        self.bin = programs
        self.megabytes = megabytes
        self.user = servant()
        stamp = hashlib.sha256(f"{SCRIPT}{LINES_PER_MB}{programs}".encode()).hexdigest()[:8]
        self.base = self._root() / f"warehouse-{megabytes}-{stamp}"
        self.data, self.log, self.made = self.base / "data", self.base / "log", self.base / "made"
        self.port = 0

    def _root(self) -> Path:
        CACHE.mkdir(parents=True, exist_ok=True)
        # Root's server runs as another user, who must get there.
        if self.user is None or reachable(CACHE / "x"):
            return CACHE
        return Path("/var/tmp") / f"mainstay-bench-{os.getuid()}"

    @contextmanager
    def open(self) -> Iterator[Warehouse]:
        """Make the database if it is not there yet, then serve it until the block ends."""
        if not self.made.exists():
            self._make()
        with self._running({**BOTH, **SERVING}):
            yield self

    def _make(self) -> None:
        shutil.rmtree(self.base, ignore_errors=True)
        self.base.mkdir(parents=True)
        if self.user:
            os.chown(self.base, self.user.pw_uid, self.user.pw_gid)
        initdb = [
            str(self.bin / "initdb"),
            "-D",
            str(self.data),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
        ]
        subprocess.run(
            [*initdb, "--locale=C.UTF-8", "--no-sync"], check=True, cwd=self.base, stdout=subprocess.DEVNULL,
            preexec_fn=die_with_parent(signal.SIGKILL), **identity(self.user),
        )  # fmt: skip
        with self._running({**BOTH, **MAKING}), ThreadPoolExecutor(2) as pool:
            self.execute("CREATE DATABASE shop", "postgres")
            lines = str(self.megabytes * LINES_PER_MB)
            for done in [
                pool.submit(self._fill, part.replace("{n}", lines)) for part in SCRIPT.split("-- beside it")
            ]:
                done.result()
            self.execute("CHECKPOINT")
        self.made.touch()

    def _fill(self, script: str) -> None:
        for statement in script.split(";\n"):
            if statement.strip():
                self.execute(statement)

    @contextmanager
    def _running(self, settings: dict[str, str]) -> Iterator[None]:
        def launch() -> Engine:
            self.port = free_port()
            given = {**settings, "port": str(self.port), "unix_socket_directories": str(self.base)}
            text = "".join(f"{name} = '{value}'\n" for name, value in given.items())
            (self.data / "postgresql.auto.conf").write_text(text)
            return Engine(
                [str(self.bin / "postgres"), "-D", str(self.data)], self.log, cwd=self.base, user=self.user,
                orphan_signal=signal.SIGINT,
            )  # fmt: skip

        engine = started(launch, lambda: bool(self.execute("SELECT 1", "postgres")))
        try:
            yield
        finally:
            engine.process.send_signal(signal.SIGINT)
            engine.process.wait(120)

    def dsn(self, database: str = "shop") -> str:
        """The address of a database."""
        return f"postgresql://postgres@{LOOPBACK}:{self.port}/{database}"

    def execute(self, statement: str, database: str = "shop") -> list[tuple[object, ...]]:
        """Run one statement; give its rows, if it has any."""
        with psycopg.connect(self.dsn(database), autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    @property
    def bytes(self) -> int:
        """What the database takes on its server."""
        ((size,),) = self.execute("SELECT pg_database_size(current_database())")
        return int(str(size))
