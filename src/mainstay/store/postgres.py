"""The journal in PostgreSQL, shared by the nodes of a company."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection, Connection
from psycopg.rows import DictRow

from mainstay.core.errors import JournalError
from mainstay.core.ids import new_id
from mainstay.ports.clock import Clock
from mainstay.store.base import Unit
from mainstay.store.migrate import Migration, forward, migrations
from mainstay.store.named import query
from mainstay.store.postgres_link import Place, PostgresLink, PostgresReader, adapt, connect, told
from mainstay.store.readers import Readers
from mainstay.store.topics import Topics
from mainstay.store.writer import GroupWriter

T = TypeVar("T")

OLDEST = 13
"""The oldest major version of PostgreSQL that a journal may live in."""
LONGEST_PAUSE = 5.0


async def open_postgres(url: str, clock: Clock) -> "PostgresStore":
    """Open a journal, make it if it is not there, bring it to the newest schema. Raises `JournalError`."""
    place = Place.parse(url)
    with clock.busy():
        await asyncio.to_thread(prepare, place)
        store = PostgresStore(place, clock)
        try:
            await store.listening()
        except BaseException:
            await store.close()
            raise
        return store


def prepare(place: Place, steps: tuple[Migration, ...] = ()) -> None:
    """Make the schema if needed and bring it to the newest; only one process at a time does so.

    Raises `JournalError`.
    """
    try:
        with connect(place) as connection:
            if connection.info.server_version < OLDEST * 10000:
                raise JournalError(f"the journal at {place} needs PostgreSQL {OLDEST} or newer")
            connection.execute("SET lock_timeout = 0")
            key = f"mainstay journal {place.schema}"
            connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (key,))
            forward(
                schema(connection, place), steps or migrations(), _applier(connection), lambda present: None
            )
    except psycopg.Error as error:
        raise told(error, place) from error


def schema(connection: Connection[DictRow], place: Place) -> int:
    """Give the schema's number, 0 if it is new. Raises `JournalError` if it is somebody else's."""
    held = connection.execute(
        "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname = %(schema)s) AS schemas,"
        " (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        "   WHERE n.nspname = %(schema)s AND c.relname IN ('meta', 'check_state')) AS tables,"
        " (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        "   WHERE n.nspname = %(schema)s AND c.relkind IN ('r', 'p')) AS relations",
        {"schema": place.schema},
    ).fetchone()
    if held is None or not held["schemas"]:
        connection.execute(f'CREATE SCHEMA "{place.schema}"'.encode())
        return 0
    if not held["relations"]:
        return 0
    row = None
    if held["tables"] == 2:
        row = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    if row is None:
        raise JournalError(
            f"the schema {place.schema} at {place} is not a journal of mainstay",
            hint="give the journal a schema of its own with ?schema=NAME",
        )
    return int(row["value"])


def _applier(connection: Connection[DictRow]) -> Callable[[Migration], None]:
    def apply(step: Migration) -> None:
        with connection.transaction():
            connection.execute(step.text.encode())
            connection.execute(
                query("meta.put", "postgres").text.encode(), {"key": "schema", "value": str(step.number)}
            )

    return apply


class PostgresStore:
    """An open PostgreSQL journal."""

    dialect = "postgres"

    def __init__(self, place: Place, clock: Clock) -> None:
        self.place = place
        self.renewed = 0
        self._clock = clock
        self._node = new_id(clock.now())
        self._topics = Topics(clock)
        self._readers = Readers(lambda: PostgresReader(place), clock)
        self.writer = GroupWriter(PostgresLink(place, self._node), clock, self._told)
        self._first = asyncio.get_running_loop().create_future()
        self._listener = asyncio.create_task(self._listen(), name="journal-listener")

    async def listening(self) -> None:
        """Return once no signal can be missed any more. Raises `JournalError`."""
        await asyncio.shield(self._first)

    async def write(self, unit: Unit[T]) -> T:
        return await self.writer.write(unit)

    async def read(self, unit: Unit[T]) -> T:
        return await self._readers.read(unit)

    def wait(self, topic: str, timeout: float) -> Coroutine[Any, Any, bool]:
        return self._topics.wait(topic, timeout, self._topics.version(topic))

    def version(self, topic: str) -> int:
        return self._topics.version(topic)

    async def close(self) -> None:
        await self.writer.close()
        await self._readers.close()
        self._listener.cancel()
        with suppress(asyncio.CancelledError):
            await self._listener

    def _told(self, topics: list[str]) -> None:
        for topic in topics:
            self._topics.bump(topic)

    async def _listen(self) -> None:
        """Hear other processes' signals, for ever; after a lost connection everybody looks again."""
        pause = 0.05
        while True:
            try:
                async with await AsyncConnection.connect(self.place.conninfo, autocommit=True) as connection:
                    adapt(connection)
                    await connection.execute(f'LISTEN "{self.place.channel}"'.encode())
                    pause = 0.05
                    self._heard_again()
                    async for notice in connection.notifies():
                        node, _, topic = notice.payload.partition(" ")
                        if node != self._node:
                            self._topics.bump(topic)
            except psycopg.Error as error:
                if not self._first.done():
                    self._first.set_exception(told(error, self.place))
                    return
            await self._clock.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    def _heard_again(self) -> None:
        if self._first.done():
            self._topics.bump_all()
        else:
            self._first.set_result(None)
