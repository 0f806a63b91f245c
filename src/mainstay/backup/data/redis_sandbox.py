"""A throwaway Redis on a dump: reachable through a socket of its own only, gone with the process that made it."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mainstay.backup.data.base import Unprovable
from mainstay.backup.data.redis_content import plain
from mainstay.backup.fetch import Damaged
from mainstay.ports.postgres.child import child
from mainstay.ports.postgres.sandbox import LONGEST_SOCKET_FOLDER, Servant, environment
from mainstay.ports.scratch import Workspace, short_root

if TYPE_CHECKING:
    from redis.asyncio import Redis

PROGRAM = "redis-server"
READY = "ready to accept connections"
TOO_NEW = "Can't handle RDB format version"
KILLED = 128 + 9
DATABASES = 1024
START_SECONDS = 3600.0
"""A large dump takes its time; the time-out of the job is shorter."""


def found() -> tuple[str, tuple[int, ...]]:
    """Find the server's program and its version. Raises `Unprovable`."""
    program = shutil.which(PROGRAM)
    if program is None:
        raise Unprovable("there is no redis-server on this machine", hint="install the package redis-server")
    return program, version_of(program)


def version_of(program: str) -> tuple[int, ...]:
    """Ask a program of Redis for its version."""
    import subprocess

    said = subprocess.run(
        [program, "--version"], capture_output=True, text=True, check=False, timeout=30
    ).stdout
    number = re.search(r"(\d+)\.(\d+)\.(\d+)", said)
    return tuple(map(int, number.groups())) if number else (0,)


@asynccontextmanager
async def redis_sandbox(dump: Path, space: Workspace) -> AsyncIterator["Redis"]:
    """Start a server on a dump, which it gets for itself; give a connection. Raises `Unprovable`, `Damaged`."""
    from redis.asyncio import Redis

    program, version = await asyncio.to_thread(found)
    servant = Servant.choose()
    home = servant.home(space)
    await asyncio.to_thread(shutil.move, dump, home / "dump.rdb")
    servant.own(home / "dump.rdb")
    folder = home if len(str(home)) < LONGEST_SOCKET_FOLDER else servant.own(space.beside(short_root()))
    socket = folder / "redis.sock"
    ready = asyncio.Event()

    def heard(line: str) -> None:
        if READY in line:
            ready.set()

    argv = ["/bin/sh", "-c", 'exec "$@" >&2', PROGRAM, program, *_options(home, socket, version)]
    identity = servant.identity()
    async with child(argv, env=environment(), cwd=home, identity=identity, on_line=heard) as running:
        if not await running.until(ready, START_SECONDS):
            said = " ".join(running.said.split())[-300:]
            if TOO_NEW in said:
                raise Unprovable(
                    f"redis-server {'.'.join(map(str, version))} here is older than the one that wrote the backup",
                    hint="install one that is as new",
                )
            _excuse(running.process.returncode, said)
            raise Damaged(f"a Redis does not load the dump: {said}")
        connection = plain(Redis(unix_socket_path=str(socket), protocol=2))
        try:
            yield connection
        finally:
            await connection.aclose()


def _excuse(code: int | None, said: str) -> None:
    """Say so when it is this machine that cannot load a dump. Raises `Unprovable`."""
    if code is None:
        raise Unprovable(f"the dump was not loaded within {START_SECONDS / 60:.0f} minutes")
    if code == KILLED or "Out Of Memory" in said:
        raise Unprovable(
            "the Redis that loads the dump was killed", hint="is there memory enough? prove it elsewhere"
        )


def _options(home: Path, socket: Path, version: tuple[int, ...]) -> list[str]:
    # A replica, of nobody, keeps every key: a primary would drop what has expired since the dump was made.
    options = {
        "dir": str(home),
        "dbfilename": "dump.rdb",
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "save": "",
        "appendonly": "no",
        "replicaof": "127.0.0.1 1",
        "replica-read-only": "yes",
        "databases": str(DATABASES),
        "proto-max-bulk-len": "4gb",
        "daemonize": "no",
    }
    if version >= (7,):
        options["enable-debug-command"] = "local"
    return [
        word
        for name, value in options.items()
        for word in (f"--{name}", *(value.split(" ") if value else [""]))
    ]
