"""pgBackRest as a program: as which account, with which options, and what it said. Its secrets stay in its own file."""

import json
import os
import pwd
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mainstay.backup.pgbackrest.info import Info, read_info
from mainstay.backup.physical.cluster import Owner
from mainstay.backup.physical.settings import WalSettings
from mainstay.core.errors import MainstayError
from mainstay.ports.postgres.child import child
from mainstay.ports.postgres.sandbox import environment
from mainstay.ports.scratch import Workspace

PROGRAM = "pgbackrest"


class Account(Owner):
    """The account that owns the server's files and its repository."""

    def __init__(self, user: pwd.struct_passwd | None) -> None:
        super().__init__(user, lasting=True)
        if user is not None:
            self._group = user.pw_gid

    @classmethod
    def of(cls, settings: WalSettings) -> "Account":
        """Find it; whoever is not root works as itself. Raises `MainstayError`."""
        if os.geteuid() != 0:
            return cls(None)
        try:
            return cls(pwd.getpwnam(settings.user))
        except KeyError:
            raise MainstayError(
                f"there is no account {settings.user} on this machine",
                hint="say under `wal: user:` as whom pgbackrest runs",
            ) from None


@dataclass(frozen=True)
class PgBackRest:
    """pgBackRest for one stanza. What it writes to its console goes to `on_line` of each call."""

    settings: WalSettings
    account: Account
    space: Workspace

    def argv(self, command: str, *options: str) -> list[str]:
        """Give a command line; there is nothing secret in it."""
        config = [f"--config={self.settings.config}"] if self.settings.config else []
        return [PROGRAM, *config, f"--stanza={self.settings.stanza}", *options, command]

    async def run(
        self, command: str, *options: str, on_line: Callable[[str], None] = lambda line: None
    ) -> None:
        """Run a command to its end. Raises `MainstayError` with its own words."""
        loud = ("--log-level-console=off", "--log-level-stderr=info", "--no-log-timestamp")
        code, said, _ = await self._run(self.argv(command, *loud, *options), on_line)
        if code:
            raise MainstayError(
                f"pgbackrest {command} ended with {code}: {_reason(said)}",
                hint=f"as {self.account.name}: {' '.join(self.argv(command, *options))}",
            )

    async def info(self) -> Info:
        """Ask what there is. Raises `MainstayError`."""
        argv = self.argv("info", "--output=json", "--log-level-console=off", "--log-level-stderr=error")
        code, said, out = await self._run(argv, lambda line: None)
        if code:
            raise MainstayError(
                f"pgbackrest info ended with {code}: {_reason(said)}", hint="look at its configuration"
            )
        try:
            found: list[dict[str, Any]] = json.loads(out)
        except ValueError:
            raise MainstayError(
                "pgbackrest info gave no JSON", hint="is it version 2.30 or newer? pgbackrest version"
            ) from None
        return read_info(found, self.settings.stanza)

    async def _run(self, argv: list[str], on_line: Callable[[str], None]) -> tuple[int, str, str]:
        file = self.space.path / "pgbackrest.out"
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            async with child(
                argv, env=environment(), stdout=handle, cwd=Path("/"), identity=self.identity, on_line=on_line
            ) as running:
                code = await running.finish()
            return code, running.said, file.read_text(errors="replace")
        finally:
            os.close(handle)

    @property
    def identity(self) -> Mapping[str, Any]:
        """The arguments for a process that runs as the account."""
        return self.account.identity()


def _reason(said: str) -> str:
    """Its errors, without what it did before."""
    lines = [line.split("ERROR: ", 1)[-1].strip() for line in said.splitlines() if "ERROR: " in line]
    return " ".join(lines or said.split())[-500:] or "it said nothing"
