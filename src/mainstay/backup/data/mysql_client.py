"""MariaDB's and MySQL's own programs: their password in a file of ours, their answers as lines."""

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mainstay.backup.data.base import DataError, Unprovable
from mainstay.ports.postgres.child import child
from mainstay.ports.postgres.sandbox import environment

SCHEMES = ("mysql", "mariadb")
SBIN = os.pathsep.join(("/usr/sbin", "/sbin", "/usr/local/sbin"))
VERIFIED = {"loose-ssl-verify-server-cert": "1", "loose-ssl-mode": "VERIFY_IDENTITY"}
"""Holds the server to its certificate and its name; the first is MariaDB's, the second MySQL's. An authority alone does
not, and either leaves the other's out."""
QUIET = "SET time_zone = '+00:00', sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'"


class MysqlFault(DataError):
    """A program of MariaDB ended badly. `said` is what it wrote."""

    def __init__(self, what: str, said: str) -> None:
        told = " ".join(said.split())[-400:]
        super().__init__(f"{what}: {told or 'it said nothing'}", hint=_hint(told))
        self.said = said


def _hint(said: str) -> str | None:
    if "1044" in said or "1142" in said or "denied to user" in said or "PROCESS privilege" in said:
        return "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE, LOCK TABLES ON the database TO the account of the url"
    return None


def program(*names: str, package: str) -> str:
    """Find the first of some programs. Raises `Unprovable` when there is none."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), SBIN])
    for name in names:
        if found := shutil.which(name, path=path):
            return found
    raise Unprovable(f"there is no {names[0]} on this machine", hint=f"install the package {package}")


def client() -> str:
    """Find the client."""
    return program("mariadb", "mysql", package="mariadb-client")


@dataclass(frozen=True)
class Server:
    """A server and a database on it, and the file (mode 0600, in `folder`) that tells programs how to get there.

    `identity` is whom they run as: who restores a dump lets somebody else's statements run.
    """

    options: Mapping[str, str]
    database: str
    folder: Path
    identity: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, url: str, folder: Path, ca: Path | None = None, *, asked: bool = False) -> "Server":
        """Take an address apart. Raises `DataError`.

        One that a person gave (`asked`) may leave its password to $MYSQL_PWD.
        """
        parts = urlsplit(url)
        database = unquote(parts.path.strip("/"))
        if parts.scheme not in SCHEMES or not database:
            raise DataError(
                "that is not the URL of a database", hint="it looks like mysql://USER@HOST:3306/DATABASE"
            )
        options = {"host": parts.hostname or "localhost", "port": str(parts.port or 3306)}
        options |= {"user": unquote(parts.username)} if parts.username else {}
        secret = (
            unquote(parts.password) if parts.password else os.environ.get("MYSQL_PWD", "") if asked else ""
        )
        options |= {"password": secret} if secret else {}
        # For these programs `localhost` is the socket, whatever the port, and so maybe another server.
        options |= {"protocol": "tcp"} if parts.port or ca else {}
        options |= {"ssl-ca": str(ca), **VERIFIED} if ca else {}
        return cls(options, database, folder)

    def target(self) -> str:
        """Say where it is, without secrets."""
        return f"{self.options.get('host') or self.options['socket']}/{self.database}"

    def file(self) -> str:
        """Write the file; give the argument that names it, which must come first."""
        path = self.folder / "my.cnf"
        lines = ["[client]", *(f"{name} = {_quoted(value)}" for name, value in self.options.items())]
        path.unlink(missing_ok=True)
        sink = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(sink, "w") as file:
            file.write("\n".join([*lines, ""]))
        if "user" in self.identity:
            os.chown(path, self.identity["user"], -1)
        return f"--defaults-file={path}"

    async def ask(self, *statements: str, database: str | None = None) -> list[list[str]]:
        """Run statements; give the rows of all of them. Raises `MysqlFault`."""
        script, output = self.folder / "script.sql", self.folder / "answer.tsv"
        text = ";\n".join([QUIET, *statements, ""])
        await asyncio.to_thread(script.write_text, text)
        name = self.database if database is None else database
        argv = [client(), self.file(), "--batch", "--skip-column-names", "--binary-mode"]
        argv += ["--default-character-set=utf8mb4", *([name] if name else [])]
        with script.open("rb") as source, output.open("wb") as sink:
            await self.run(argv, stdin=source.fileno(), stdout=sink.fileno())
        return [line.split("\t") for line in (await asyncio.to_thread(output.read_text)).splitlines()]

    async def run(self, argv: Sequence[str], *, stdin: int, stdout: int) -> None:
        """Run a program. Raises `MysqlFault`."""
        async with child(
            argv, env=environment(), stdin=stdin, stdout=stdout, identity=self.identity
        ) as running:
            code = await running.finish()
        if code:
            raise MysqlFault(f"{Path(argv[0]).name} at {self.target()} ended with {code}", running.said)


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    if "\n" in escaped or "\0" in escaped:
        raise DataError("a password with a line break cannot be given to MariaDB's programs")
    return f'"{escaped}"'
