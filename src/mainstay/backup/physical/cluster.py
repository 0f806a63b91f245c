"""A restored data directory, run for a while: on a socket that only we may open, with nothing of its own life."""

import asyncio
import os
import pwd
import re
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from mainstay.ports.clock import Clock
from mainstay.ports.postgres.child import child
from mainstay.ports.postgres.dsn import Dsn, PostgresError
from mainstay.ports.postgres.sandbox import READY, Servant, environment
from mainstay.ports.postgres.tools import Toolset
from mainstay.ports.scratch import Workspace, short_root

# What the original's configuration says about the world around it must not happen here.
QUIET = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": "5432",
    "hot_standby": "off",
    "archive_mode": "off",
    "synchronous_standby_names": "",
    "primary_conninfo": "",
    "primary_slot_name": "",
    "restore_command": "",
    "recovery_end_command": "",
    "recovery_target": "",
    "recovery_target_time": "",
    "recovery_target_lsn": "",
    "recovery_target_name": "",
    "recovery_target_xid": "",
    "archive_cleanup_command": "",
    "shared_preload_libraries": "",
    "session_preload_libraries": "",
    "local_preload_libraries": "",
    "ssl": "off",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_min_messages": "log",
    "log_checkpoints": "off",
    "lc_messages": "C",
    "external_pid_file": "",
    "shared_buffers": "128MB",
    "huge_pages": "off",
    "max_connections": "30",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "jit": "off",
    "allow_in_place_tablespaces": "on",
}
FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
"""For a copy that is thrown away: it need not survive a power cut."""
DOOR = "local all all trust\n"
PATIENCE = 120.0
"""Seconds that a server may take to shut down."""
LONGEST_START = 6 * 3600.0
NEW_IN = {"allow_in_place_tablespaces": 15, "archive_cleanup_command": 9}


def _alive(file: Path) -> bool:
    """Whether the server whose number stands in a file lives."""
    try:
        os.kill(int(file.read_text().split()[0]), 0)
    except (OSError, ValueError, IndexError):
        return False
    return True


class Owner(Servant):
    """As whom a restored server runs: as ourselves or, when we are root, as a user that is not."""

    def __init__(self, user: pwd.struct_passwd | None, *, lasting: bool) -> None:
        super().__init__(user)
        self.lasting = lasting

    @classmethod
    def find(cls, *, lasting: bool) -> "Owner":
        """Find the user; for a copy that lasts, the one that PostgreSQL's packages make. Raises `PostgresError`."""
        if os.geteuid() != 0:
            return cls(None, lasting=lasting)
        for name in ("postgres", "nobody") if lasting else ("nobody", "postgres"):
            with suppress(KeyError):
                return cls(pwd.getpwnam(name), lasting=lasting)
        raise PostgresError(
            "PostgreSQL does not run as root, and there is no user postgres", hint="run as a user"
        )

    def identity(self) -> dict[str, Any]:
        if self._user is None or not self.lasting:
            return super().identity()
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}

    def take(self, path: Path) -> None:
        """Hand a file or a folder over."""
        if self._user is not None:
            group = self._user.pw_gid if self.lasting else self._group
            os.chown(path, self._user.pw_uid, group, follow_symlinks=False)

    @property
    def name(self) -> str:
        """What the user is called."""
        return self._user.pw_name if self._user is not None else pwd.getpwuid(os.geteuid()).pw_name


class Cluster:
    """A data directory with the programs that can run it."""

    def __init__(self, data: Path, tools: Toolset, superuser: str, owner: Owner, space: Workspace) -> None:
        self.data = data
        self.tools = tools
        self.superuser = superuser
        self.owner = owner
        self._home = space.beside(short_root())
        self._identity = owner.identity()
        owner.take(self._home)
        for name, text in (("hba", DOOR), ("ident", ""), ("conf", "")):
            (self._home / name).write_text(text)
            owner.take(self._home / name)

    def dsn(self, database: str = "postgres") -> Dsn:
        """The address while it runs."""
        return Dsn(
            {
                "host": str(self._home),
                "port": "5432",
                "user": self.superuser,
                "dbname": database,
                "sslmode": "disable",
            }
        )

    async def tool(self, name: str, *arguments: str, env: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Run one of its programs as its owner; give the exit code and what it said."""
        said: list[str] = []
        async with child(
            [self.tools.program(name), *arguments], env=environment(**(env or {})), cwd=self._home,
            identity=self._identity, on_line=said.append,
        ) as running:  # fmt: skip
            code = await running.finish()
        return code, " ".join(said)

    async def control(self) -> dict[str, str]:
        """Give what pg_controldata says. Raises `PostgresError`."""
        lines: list[str] = []
        process = await asyncio.create_subprocess_exec(
            self.tools.program("pg_controldata"), str(self.data), stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT, env=environment(), cwd="/", **self._identity,
        )  # fmt: skip
        said, _ = await process.communicate()
        lines = said.decode(errors="replace").splitlines()
        if process.returncode:
            raise PostgresError(f"pg_controldata: {' '.join(lines)[-300:]}")
        return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}

    async def alone(self, clock: Clock) -> None:
        """Wait until nobody else runs it: the server of a restore that was killed needs a moment to shut down.

        Raises `PostgresError`.
        """
        file, begun = self.data / "postmaster.pid", clock.monotonic()
        while _alive(file):
            if clock.monotonic() - begun > PATIENCE:
                raise PostgresError(
                    f"a server runs in {self.data}",
                    hint="is it a restore that is still under way? else stop it",
                )
            await clock.sleep(0.2)

    @asynccontextmanager
    async def running(
        self, settings: Mapping[str, str], on_line: Callable[[str], None] = lambda line: None
    ) -> AsyncIterator[Dsn]:
        """Run it until the block ends, then shut it down in order. Raises `PostgresError` when it does not start.

        It is entered once it accepts connections: after a recovery, when that is over.
        """
        prepared = (await self.control()).get("max_prepared_xacts setting", "0")
        # PostgreSQL takes them in order, and after a target it bears no other one, not even an empty one.
        options = {key: value for key, value in QUIET.items() if key not in settings}
        options |= {"max_prepared_transactions": prepared, **settings}
        options |= {"config_file": str(self._home / "conf"), "hba_file": str(self._home / "hba")}
        options |= {"ident_file": str(self._home / "ident"), "unix_socket_directories": str(self._home)}
        known = {key: value for key, value in options.items() if NEW_IN.get(key, 0) <= self.tools.major}
        argv = [self.tools.program("postgres"), "-D", str(self.data)]
        for key, value in known.items():
            argv += ["-c", f"{key}={value}"]
        ready, fatal = asyncio.Event(), []

        def heard(line: str) -> None:
            on_line(line)
            if re.search(r"\b(FATAL|PANIC):", line):
                fatal.append(line)
            if READY in line:
                ready.set()

        async with child(
            argv, env=environment(), cwd=self._home, identity=self._identity, end="INT", on_line=heard
        ) as running:
            if not await running.until(ready, LONGEST_START):
                raise PostgresError(
                    f"the restored server does not start: {(fatal or [running.said])[-1][-400:]}",
                    hint="look at the log of the restore",
                )
            yield self.dsn()

    def close(self) -> None:
        """Delete what lay beside the data."""
        shutil.rmtree(self._home, ignore_errors=True)
