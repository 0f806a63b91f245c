"""A real MariaDB, whose data is made once and copied for each server."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.servers.process import LOOPBACK, Engine, free_port, identity, program, servant, started

PASSWORD = "right-horse"


class MariaDB:
    """One server on a port of its own; `backup` with the password `PASSWORD` may do what the documents say."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.binary = program("mariadbd", "mariadb-server-core")
        self.client = program("mariadb", "mariadb-client")
        program("mariadb-dump", "mariadb-client")
        self.port = 0
        self._names = itertools.count(1)
        user = servant()
        if user is not None:
            os.chown(directory, user.pw_uid, user.pw_gid)
        install = program("mariadb-install-db", "mariadb-server-core")
        words = [
            install,
            "--no-defaults",
            f"--datadir={directory}/data",
            "--cross-bootstrap",
            "--skip-test-db",
        ]
        words += ["--auth-root-authentication-method=normal", "--skip-name-resolve"]
        subprocess.run(words, check=True, capture_output=True, cwd=directory, **identity(user))
        self.start()

    @property
    def socket(self) -> Path:
        return self.directory / "s"

    def start(self) -> None:
        """Start it on a free port."""

        def launch() -> Engine:
            self.port = free_port()
            argv = [
                self.binary,
                "--no-defaults",
                f"--datadir={self.directory}/data",
                f"--socket={self.socket}",
            ]
            argv += [
                f"--port={self.port}",
                f"--bind-address={LOOPBACK}",
                "--innodb-flush-log-at-trx-commit=0",
            ]
            argv += ["--innodb-buffer-pool-size=64M", "--performance-schema=OFF", "--skip-log-bin"]
            return Engine(argv, self.directory / "mariadb.log", user=servant())

        self.engine = started(launch, self.answers)

    def answers(self) -> bool:
        return self.run("SELECT 1") == "1"

    def run(self, sql: str, database: str = "") -> str:
        """Run statements as root; what they gave."""
        argv = [self.client, "--no-defaults", f"--socket={self.socket}", "-uroot", "-N", "-B", database]
        done = subprocess.run(argv, input=sql, capture_output=True, text=True, check=True, timeout=60)
        return done.stdout.strip()

    def database(self) -> str:
        """Make an empty database that `backup` may read; give its name."""
        name = f"shop_{next(self._names)}"
        self.run(
            f"CREATE DATABASE {name}; CREATE USER IF NOT EXISTS backup IDENTIFIED BY '{PASSWORD}';"
            f"GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE, LOCK TABLES ON {name}.* TO backup;"
            "GRANT SELECT ON mysql.proc TO backup"
        )
        return name

    def url(self, database: str, password: str = PASSWORD, user: str = "backup") -> str:
        return f"mysql://{user}:{password}@{LOOPBACK}:{self.port}/{database}"

    def stop(self) -> None:
        self.engine.stop()


def serve() -> Iterator[MariaDB]:
    """The life of a server, for a fixture."""
    directory = tempfile.mkdtemp(prefix="mainstay-mariadb-")
    server = MariaDB(Path(directory))
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)
