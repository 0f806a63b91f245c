"""Connections to a PostgreSQL journal, and the transaction over one."""

import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import Connection, Cursor
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row
from psycopg.sql import Identifier, Literal
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import StrDumper

from mainstay.core.errors import JournalError
from mainstay.core.secret import ESCAPES, torn
from mainstay.store.base import Conflict, OutcomeUnknown, Rejected, Row, Unit
from mainstay.store.named import Query, query, together
from mainstay.store.postgres_arrays import column, register
from mainstay.store.writer import Again, Broken

T = TypeVar("T")

PATIENCE = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0, 1.0, 1.0)
"""Pauses between attempts to connect, in seconds: about as long as a server takes to restart."""

FEW = 4
"""Rows which are quicker one by one: the server plans for arrays longer."""
_SESSION = {
    # A node that is paused inside a transaction must not keep the others from writing.
    "idle_in_transaction_session_timeout": "10s",
    "lock_timeout": "20s",
    "client_min_messages": "warning",
}
_DEFAULTS = {
    "connect_timeout": "5",
    "application_name": "mainstay",
    "keepalives_idle": "10",
    "keepalives_interval": "3",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    # After a fail-over the same list of hosts leads to the new primary.
    "target_session_attrs": "read-write",
}
_WAITING = "coalesce(nullif(current_setting('synchronous_commit'), 'off'), 'on')"
_REPEAT = {"40001", "40P01"}
_LOST = {"57P01", "57P02", "57P03", "25P03", "25006"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a PostgreSQL journal is: `postgresql://USER@HOST/DATABASE?schema=NAME` (schema `mainstay` if left out)."""

    conninfo: str
    schema: str

    @classmethod
    def parse(cls, url: str) -> "Place":
        parts = urlsplit(url)
        options = parse_qsl(parts.query, keep_blank_values=True)
        schema = dict(options).get("schema", "mainstay")
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", schema):
            raise JournalError(f"{schema!r} is no name for the journal's schema", hint="use a-z, 0-9 and _")
        if torn(url):
            raise JournalError("the journal's URL cannot be taken apart", hint=ESCAPES)
        rest = urlencode([(key, value) for key, value in options if key != "schema"])
        try:
            given = conninfo_to_dict(urlunsplit(parts._replace(query=rest)))
        except psycopg.Error:
            # What the parser says may contain the password.
            hint = "write postgresql://USER:PASSWORD@HOST:5432/DATABASE, with %40 for an @ in the password"
            raise JournalError("the journal's URL is malformed", hint=hint) from None
        merged: dict[str, Any] = {**_DEFAULTS, **given}
        return cls(make_conninfo("", **merged), schema)

    def __repr__(self) -> str:
        return f"Place({self})"

    def __str__(self) -> str:
        """Say where it is, without secrets."""
        parts = conninfo_to_dict(self.conninfo)
        return f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"

    @property
    def channel(self) -> str:
        return f"mainstay_{self.schema}"[:63]

    def session(self) -> str:
        """Give the statement that prepares a session."""
        settings = {**_SESSION, "search_path": self.schema}
        calls = [f"set_config('{name}', '{value}', false)" for name, value in settings.items()]
        return f"SELECT {', '.join(calls)}, set_config('synchronous_commit', {_WAITING}, false)"


class _Number(Loader):
    """Sums of whole numbers come as numeric; give what SQLite gives."""

    def load(self, data: Buffer) -> int | float:
        text = bytes(data).decode()
        return int(text) if text.lstrip("-").isdigit() else float(text)


class _Truth(Loader):
    def load(self, data: Buffer) -> int:
        return int(bytes(data) == b"t")


def adapt(connection: "psycopg.BaseConnection[Any]") -> None:
    """Make values go in and come out as with SQLite."""
    connection.adapters.register_loader("numeric", _Number)
    connection.adapters.register_loader("bool", _Truth)
    connection.adapters.register_dumper(int, Int8Dumper)
    connection.adapters.register_dumper(str, StrDumper)
    register(connection)


def connect(place: Place) -> Connection[DictRow]:
    """Open one connection, once. Raises `psycopg.Error`."""
    connection = Connection.connect(place.conninfo, autocommit=True, row_factory=dict_row)
    try:
        adapt(connection)
        connection.execute(place.session().encode())
    except BaseException:
        connection.close()
        raise
    return connection


def told(error: psycopg.Error, place: Place) -> JournalError:
    """Say in people's words what PostgreSQL says."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    hint = _HINTS.get(error.sqlstate or "")
    if error.sqlstate is None:
        hint = "see that the server runs, and the journal's address, user and password"
    return JournalError(f"the journal at {place}: {first}", hint=hint)


_HINTS = {
    "53100": "make room on the server's disk",
    "53300": "raise max_connections on the server: each process of mainstay needs up to 6",
    "42501": "give the user the right to create in the database, or make the schema for it",
    "55P03": "another session holds the journal's tables locked: see pg_stat_activity",
}


class PostgresTx:
    """A transaction over one connection."""

    dialect = "postgres"

    def __init__(self, place: Place) -> None:
        self.place = place
        self.connection: Connection[DictRow] | None = None
        self.signals: list[str] = []
        self.failed: Exception | None = None

    def all(self, name: str, /, **params: Any) -> list[Row]:
        return cast("list[Row]", self._asked(name, params).fetchall())

    def one(self, name: str, /, **params: Any) -> Row | None:
        return self._asked(name, params).fetchone()

    def run(self, name: str, /, **params: Any) -> int:
        return max(0, self._asked(name, params).rowcount)

    def many(self, name: str, /, rows: Iterable[Mapping[str, Any]]) -> int:
        found, whole = query(name, self.dialect), together(name)
        ready = [found.checked(row) for row in rows]
        if whole is not None and len(ready) > FEW:
            packed = {key: column([row[key] for row in ready]) for key in whole.params}
            return max(0, self._execute(whole, packed).rowcount)
        try:
            with self._live().cursor() as cursor:
                cursor.executemany(found.text.encode(), ready)
                return max(0, cursor.rowcount)
        except psycopg.Error as error:
            raise self._fault(error, name) from error

    def signal(self, topic: str) -> None:
        self.signals.append(topic)

    def _asked(self, name: str, params: Mapping[str, Any]) -> Cursor[DictRow]:
        found = query(name, self.dialect)
        return self._execute(found, found.checked(params))

    def _execute(self, found: Query, params: Mapping[str, Any]) -> Cursor[DictRow]:
        try:
            return self._live().execute(found.text.encode(), params)
        except psycopg.Error as error:
            raise self._fault(error, found.name) from error

    def _live(self) -> Connection[DictRow]:
        if self.connection is None:
            raise psycopg.OperationalError("the connection is closed")
        return self.connection

    def _lost(self, error: psycopg.Error) -> bool:
        gone = self.connection is None or self.connection.closed
        return gone or error.sqlstate in _LOST or (error.sqlstate or "").startswith("08")

    def _fault(self, error: psycopg.Error, name: str) -> Exception:
        fault: Exception
        if error.sqlstate in _REPEAT:
            fault = Again(str(error))
        elif self._lost(error):
            fault = Again(told(error, self.place).what)
            self.drop()
        elif (error.sqlstate or "").startswith("53") or error.sqlstate == "55P03":
            fault = Broken(told(error, self.place))
        else:
            kind = Conflict if isinstance(error, psycopg.IntegrityError) else Rejected
            fault = kind(f"the journal refused {name}: {str(error).strip().splitlines()[0]}")
        if self.failed is None or isinstance(fault, Again | Broken):
            self.failed = fault
        return fault

    def _say(self, statement: str) -> Cursor[DictRow]:
        try:
            return self._live().execute(statement.encode(), prepare=False)
        except psycopg.Error as error:
            fault = self._fault(error, statement)
            raise fault if isinstance(fault, Again | Broken) else Broken(told(error, self.place)) from error

    def rollback(self) -> None:
        """Undo the transaction, if there is one. Never raises."""
        if self.connection is None:
            return
        try:
            if self.connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                self.connection.execute("ROLLBACK")
        except psycopg.Error:
            self.drop()

    def drop(self) -> None:
        """Close the connection. Never raises."""
        if self.connection is not None:
            closing, self.connection = self.connection, None
            closing.close()


class PostgresReader(PostgresTx):
    """A connection that reads."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        try:
            self.connection = connect(place)
        except psycopg.Error as error:
            raise told(error, place) from error

    def snapshot(self, unit: Unit[T]) -> T:
        self.failed = None
        self._say("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            given = unit(self)
        finally:
            self.rollback()
        if self.failed is not None:
            raise self.failed
        return given


class PostgresLink(PostgresTx):
    """The connection that writes; opened when needed, opened anew when the server comes back."""

    careful = False
    """Savepoints would be two more journeys to the server for every unit."""

    def __init__(self, place: Place, node: str) -> None:
        super().__init__(place)
        self._node = node
        self._patient = True

    @property
    def tx(self) -> "PostgresLink":
        return self

    def begin(self) -> None:
        if self.connection is None:
            self.connection = self._reach()
        self._say("BEGIN ISOLATION LEVEL SERIALIZABLE")

    def _reach(self) -> Connection[DictRow]:
        """Connect, waiting as long as a restart takes; after that only once each time until it is back."""
        for pause in (*PATIENCE, None) if self._patient else (None,):
            try:
                opened = connect(self.place)
                # A scan of a whole table would stand in the way of every other writer of it until both have committed.
                opened.execute("SET enable_seqscan = off")
            except psycopg.Error as error:
                if pause is None:
                    self._patient = False
                    raise Broken(told(error, self.place)) from error
                threading.Event().wait(pause)
            else:
                self._patient = True
                return opened
        raise AssertionError("unreachable")

    def mark(self) -> None:
        self._say("SAVEPOINT unit")

    def keep(self) -> None:
        self._say("RELEASE SAVEPOINT unit")

    def undo(self) -> None:
        self._say("ROLLBACK TO SAVEPOINT unit; RELEASE SAVEPOINT unit")

    def commit(self) -> list[str]:
        topics = list(dict.fromkeys(self.signals))
        try:
            connection = self._live()
            calls = [_notify(self.place.channel, f"{self._node} {topic}", connection) for topic in topics]
            ended = connection.execute("; ".join([*calls, "COMMIT"]).encode(), prepare=False)
            while ended.nextset():
                pass
        except psycopg.Error as error:
            raise self._uncertain(error) from error
        if ended.statusmessage != "COMMIT":
            raise Broken(JournalError(f"the journal at {self.place} undid the write"))
        return topics

    def _uncertain(self, error: psycopg.Error) -> Exception:
        if error.sqlstate in _REPEAT:
            return Again(str(error))
        if not self._lost(error):
            return Broken(told(error, self.place))
        what = f"the connection to the journal at {self.place} was lost while committing: the write may be kept or not"
        return Broken(OutcomeUnknown(what, hint="repeating it does no harm if it has a unique key"))

    def idle(self) -> None:
        """Nothing is to be done between groups."""


def _notify(channel: str, payload: str, connection: Connection[DictRow]) -> str:
    return f"NOTIFY {Identifier(channel).as_string(connection)}, {Literal(payload).as_string(connection)}"
