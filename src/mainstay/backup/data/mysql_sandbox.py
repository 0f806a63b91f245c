"""A throwaway MariaDB: reachable through a socket of its own only, gone with the process that made it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mainstay.backup.data.base import DataError
from mainstay.backup.data.mysql_client import Server, program
from mainstay.ports.postgres.child import child
from mainstay.ports.postgres.sandbox import LONGEST_SOCKET_FOLDER, Servant, environment
from mainstay.ports.scratch import Workspace, short_root

READY = "ready for connections"
START_SECONDS = 120.0
DATABASE = "proof"
PACKAGE = "mariadb-server"
# Nothing here needs to survive a power cut, and nothing that is restored may act on its own.
OPTIONS = (
    "--skip-networking", "--skip-log-bin", "--event-scheduler=OFF", "--local-infile=0",
    "--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0", "--innodb-buffer-pool-size=128M",
    "--max-allowed-packet=1G", "--character-set-server=utf8mb4", "--performance-schema=OFF",
)  # fmt: skip


@asynccontextmanager
async def mysql_sandbox(space: Workspace, lower_case: str = "0") -> AsyncIterator[Server]:
    """Start a server with an empty database. `lower_case` is how it tells table names apart. Raises `Unprovable`."""
    install = program("mariadb-install-db", "mysql_install_db", package=PACKAGE)
    daemon = program("mariadbd", "mysqld", package=PACKAGE)
    servant = Servant.choose()
    home = servant.home(space)
    data, identity = home / "data", servant.identity()
    folder = home if len(str(home)) < LONGEST_SOCKET_FOLDER else servant.own(space.beside(short_root()))
    words = [
        f"--datadir={data}",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--cross-bootstrap",
    ]
    argv = [install, "--no-defaults", *words, "--skip-name-resolve"]
    async with child(argv, env=environment(), cwd=home, identity=identity) as running:
        if await running.finish():
            raise DataError(
                f"a MariaDB for the proof cannot be made: {' '.join(running.said.split())[-300:]}"
            )
    ready = asyncio.Event()

    def heard(line: str) -> None:
        if READY in line:
            ready.set()

    socket = folder / "mysql.sock"
    argv = [daemon, "--no-defaults", f"--datadir={data}", f"--socket={socket}", f"--pid-file={home / 'pid'}"]
    argv += [f"--tmpdir={home}", f"--lower-case-table-names={lower_case}", *OPTIONS]
    async with child(
        argv, env=environment(), cwd=home, identity=identity, end="KILL", on_line=heard
    ) as running:
        if not await running.until(ready, START_SECONDS):
            raise DataError(f"a MariaDB for the proof did not start: {' '.join(running.said.split())[-300:]}")
        server = Server({"socket": str(socket), "user": "root"}, DATABASE, home, identity)
        await server.ask(f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4", database="")
        yield server
