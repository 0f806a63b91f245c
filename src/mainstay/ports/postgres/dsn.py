"""Connection strings, taken apart once, so that a password never reaches an argument list, a log or an error."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstay.core.errors import MainstayError
from mainstay.core.secret import ESCAPES, Secret, torn
from mainstay.ports.environment import inherited

if TYPE_CHECKING:
    from psycopg import AsyncConnection

CONNECT_TIMEOUT = "10"
SECRET_KEYS = frozenset({"password", "sslpassword"})


class PostgresError(MainstayError):
    """The server cannot be reached, refused us or did not do what it was asked to."""


@dataclass(frozen=True, slots=True)
class Dsn:
    """A database's address: libpq's parameters. Shows itself without secrets."""

    params: dict[str, str] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "Dsn":
        """Read a URL or a `key=value` string as libpq does. Raises `PostgresError`."""
        from psycopg import Error
        from psycopg.conninfo import conninfo_to_dict

        if torn(text):
            raise PostgresError("this PostgreSQL address cannot be taken apart", hint=ESCAPES)
        try:
            found = conninfo_to_dict(text)
        except Error:
            # libpq's message quotes what it could not read, which may be the password.
            raise PostgresError(
                "this is not a PostgreSQL address", hint="write it like postgresql://user@host:5432/name"
            ) from None
        params = {key: str(value) for key, value in found.items() if value is not None}
        for key in SECRET_KEYS & params.keys():
            Secret("dsn", params[key])  # known from now on, so that every log masks it
        return cls(params)

    def with_(self, **changes: str) -> "Dsn":
        """Give the same address with other parameters; an empty one is left out."""
        return Dsn({key: value for key, value in {**self.params, **changes}.items() if value})

    @property
    def name(self) -> str:
        """The database's name."""
        return self.params.get("dbname") or self.params.get("user") or os.environ.get("PGDATABASE", "")

    def __str__(self) -> str:
        host = self.params.get("host") or self.params.get("hostaddr") or "localhost"
        port = self.params.get("port")
        user = self.params.get("user")
        return f"{user + '@' if user else ''}{host}{':' + port if port else ''}/{self.name}"

    def public(self) -> str:
        """Give what may be seen by everyone: a connection string without secrets."""
        from psycopg.conninfo import make_conninfo

        return make_conninfo(**{k: v for k, v in self.params.items() if k not in SECRET_KEYS})

    async def connect(self, **options: Any) -> "AsyncConnection[tuple[Any, ...]]":
        """Open an autocommit connection with the server's clock and formats pinned. Raises `PostgresError`."""
        from psycopg import AsyncConnection, Error
        from psycopg.conninfo import make_conninfo

        defaults = {"connect_timeout": CONNECT_TIMEOUT, "application_name": "mainstay", **options}
        text = make_conninfo(**{**defaults, **self.params})
        try:
            return await AsyncConnection.connect(text, autocommit=True)
        except Error as fault:
            raise unreachable(self, fault) from None


def unreachable(dsn: Dsn, fault: Exception) -> PostgresError:
    """Say in one line why a connection failed, and what to do."""
    text = _shortened(" ".join(str(fault).split()))
    hints = {
        "password authentication failed": "look at the password",
        "no password supplied": "the server wants a password, from the secret, $PGPASSWORD or ~/.pgpass",
        "does not exist": "look at the names of the user and the database",
        "Connection refused": "is the server running, and is this its port?",
        "timeout": "is the server running, and does a firewall let us through?",
        "resolve": "look at the host's name",
        "SSL": "look at sslmode and sslrootcert",
        "too many clients": "the server's max_connections are used up",
    }
    hint = next((hint for word, hint in hints.items() if word in text), "look at the server's log")
    return PostgresError(f"cannot connect to {dsn}: {text}", hint=hint)


_SERVER = r'connection to server (?:at|on socket) "[^"]*"(?: \([^)]*\))?(?:, port \d+)? failed: '
_GUESS = r" Is the server running .*?(?:TCP/IP connections|on that socket)\?"


def _shortened(text: str) -> str:
    """Leave out of libpq's words what stands before them anyway; of several attempts nothing is left out."""
    if text.count("connection failed: ") != 1:
        return text
    return re.sub(_GUESS, "", re.sub(f"^connection failed: (?:{_SERVER})?", "", text))


def passfile(dsn: Dsn, folder: Path) -> dict[str, str]:
    """Give the environment in which PostgreSQL's programs find the password: in a file, not in what `ps` shows.

    The file lives in `folder`, which only mainstay's user may enter.
    """
    if "sslpassword" in dsn.params:
        raise PostgresError(
            "sslpassword cannot be given to pg_dump safely", hint="use a key file without a pass phrase"
        )
    env = {**inherited(), "LC_ALL": "C", "PGCONNECT_TIMEOUT": CONNECT_TIMEOUT, "PGAPPNAME": "mainstay"}
    password = dsn.params.get("password")
    if password is None:
        return env
    env.pop("PGPASSWORD", None)
    if "\n" in password or "\0" in password:
        raise PostgresError("a password with a line break cannot be given to pg_dump")
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    file = folder / "pgpass"
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w") as out:
        out.write(f"*:*:*:*:{escaped}\n")
    return {**env, "PGPASSFILE": str(file)}
