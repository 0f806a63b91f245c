"""What only a PostgreSQL journal can suffer."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import psycopg
import pytest

from mainstay.core.errors import JournalError
from mainstay.ports.clock import SystemClock
from mainstay.store import meta
from mainstay.store.base import OutcomeUnknown, Store, Tx
from mainstay.store.migrate import Migration, migrations
from mainstay.store.open import open_store
from mainstay.store.postgres import prepare
from mainstay.store.postgres_link import Place
from tests.helpers import aeventually
from tests.journals import Journal, get, lost, postgres_url, put
from tests.servers.postgres import PostgresServer


@pytest.fixture
def journal(postgres: PostgresServer) -> Iterator[Journal]:
    for url in postgres_url(postgres):
        yield Journal(url, "postgres", server=postgres)


class Writers:
    """Eight tasks that write for ever, what was acknowledged to them and what they were told instead."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.acknowledged: list[str] = []
        self.told: list[JournalError] = []
        self.stop = False
        self.tasks = [asyncio.create_task(self.write(number)) for number in range(8)]

    async def write(self, writer: int) -> None:
        for number in itertools.count():
            if self.stop:
                return
            key = f"{writer}:{number}"
            try:
                await self.store.write(put(key))
                self.acknowledged.append(key)
            except JournalError as error:
                self.told.append(error)

    async def more(self, count: int) -> None:
        enough = len(self.acknowledged) + count
        await aeventually(lambda: len(self.acknowledged) >= enough, 60)

    async def end(self) -> None:
        self.stop = True
        await asyncio.gather(*self.tasks)


@pytest.mark.slow
async def test_a_killed_server_loses_nothing_and_is_found_again(journal: Journal) -> None:
    server = journal.server
    assert server
    async with journal.opened() as store, journal.opened() as other:
        writers = Writers(store)
        for _ in range(3):
            await writers.more(50)
            server.kill()
            server.start()  # here, not in a thread: the kernel ends the server with the thread that started it
            await writers.more(50)
        await writers.end()
        assert await store.read(lost(writers.acknowledged)) == []
        # Signals are heard again too, as soon as the listening connection is back.
        version = other.version("runs")

        async def hears() -> bool:
            await store.write(lambda tx: tx.signal("runs"))
            return other.version("runs") > version

        assert await aeventually(hears)


async def test_a_server_that_stays_away_is_told_in_words(journal: Journal) -> None:
    server = journal.server
    assert server
    async with journal.opened() as store:
        await store.write(put("a"))
        server.stop()
        with pytest.raises(JournalError, match="the journal at 127") as caught:
            await store.write(put("b"))
        assert caught.value.hint
        with pytest.raises(JournalError, match="the journal at 127"):
            await store.read(get("a"))
        with pytest.raises(JournalError, match="the journal at 127"):
            async with journal.opened():
                pass
        server.start()
        await store.write(put("c"))
        assert await store.read(get("a")) == "1"


async def test_a_session_that_is_cut_off_within_a_unit_is_repeated(journal: Journal) -> None:
    server = journal.server
    assert server
    ran = []

    def cut_off_once(tx: Tx) -> None:
        meta.put(tx, "a", "1")
        ran.append(1)
        if len(ran) == 1:
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'mainstay' AND state = 'idle in transaction'"
            )
        meta.put(tx, "b", "1")

    async with journal.opened() as store:
        await store.write(cut_off_once)
        assert len(ran) == 2
        assert await store.read(lost("ab")) == []


async def test_a_url_says_which_schema(journal: Journal) -> None:
    assert journal.server
    store = await open_store(f"{journal.url}?schema=other&application_name=probe", SystemClock())
    try:
        await store.write(put("a"))
        with psycopg.connect(journal.url) as connection:
            (value,) = connection.execute("SELECT value FROM other.meta WHERE key = 'a'").fetchone() or ("",)
        assert value == "1"
    finally:
        await store.close()
    async with journal.opened() as first:
        assert await first.read(get("a")) is None


@pytest.mark.parametrize("schema", ['a"b', "A", "1a", "a b", ""])
def test_a_schema_s_name_is_plain(schema: str) -> None:
    with pytest.raises(JournalError, match="no name for the journal's schema"):
        Place.parse(f"postgresql://h/d?schema={schema}")


def test_a_malformed_url_does_not_tell_the_password() -> None:
    with pytest.raises(JournalError, match="malformed") as caught:
        Place.parse("postgresql://u:pass%zzword@h/d")
    assert "pass" not in str(caught.value).replace("PASSWORD", "").replace("password", "")
    assert "secret" not in repr(Place.parse("postgresql://u:secret@h/d"))
    with pytest.raises(JournalError, match="cannot be taken apart") as told:
        Place.parse("postgresql://u:pass/word9@h/d")
    assert "word9" not in str(told.value)


async def test_somebody_else_s_schema_is_refused(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE public.customers (id int)")
    with pytest.raises(JournalError, match="not a journal of mainstay"):
        await open_store(f"{database}?schema=public", SystemClock())


def test_migrating_forward_keeps_what_is_there(journal: Journal) -> None:
    place = Place.parse(journal.url)
    newer = (
        *migrations(),
        Migration(len(migrations()) + 1, "more", "CREATE TABLE more (a TEXT); SELECT 'a;b';"),
    )
    prepare(place, newer)
    with pytest.raises(JournalError, match=f"schema {len(newer)}"):
        prepare(place)
    broken = (*newer, Migration(len(newer) + 1, "broken", "CREATE TABLE half (a TEXT); SELECT nothing;"))
    with pytest.raises(JournalError, match="could not be applied"):
        prepare(place, broken)
    with psycopg.connect(journal.url) as connection:
        found = connection.execute(
            "SELECT to_regclass('mainstay.more'), to_regclass('mainstay.half')"
        ).fetchone()
    assert found == ("mainstay.more", None)
    prepare(place, newer)


TRIGGER = """
SET search_path = mainstay;
CREATE FUNCTION hurt() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {does} RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER hurt AFTER INSERT ON meta {deferred}
    FOR EACH ROW WHEN (NEW.key LIKE 'bad%') EXECUTE FUNCTION hurt();
"""
AT_COMMIT = "DEFERRABLE INITIALLY DEFERRED"


def hurt(journal: Journal, does: str, deferred: str = "") -> None:
    """Let the server do something to who writes a key that begins with `bad`."""
    with psycopg.connect(journal.url) as connection:
        connection.execute(TRIGGER.format(does=does, deferred=deferred).encode())


async def test_a_connection_lost_while_committing_is_told_as_unknown(journal: Journal) -> None:
    hurt(journal, "PERFORM pg_terminate_backend(pg_backend_pid());", AT_COMMIT)
    async with journal.opened() as store:
        with pytest.raises(OutcomeUnknown, match="may be kept or not") as caught:
            await store.write(put("bad"))
        assert caught.value.hint
        await store.write(put("good"))
        assert await store.read(lost(["bad", "good"])) == ["bad"]


async def test_a_commit_that_is_refused_is_told_and_nothing_is_kept(journal: Journal) -> None:
    hurt(journal, "RAISE EXCEPTION 'not today';", AT_COMMIT)
    async with journal.opened() as store:
        with pytest.raises(JournalError, match="not today"):
            await store.write(put("bad"))
        await store.write(put("good"))
        assert await store.read(lost(["bad", "good"])) == ["bad"]


async def test_a_full_server_is_told_to_everybody_in_the_group(journal: Journal) -> None:
    hurt(journal, "RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100';")
    async with journal.opened() as store:
        await store.write(put("first"))
        given = await asyncio.gather(
            *[store.write(put(key)) for key in ("a", "bad", "b")], return_exceptions=True
        )
        # The first may have gone alone, before the others were there.
        assert all(isinstance(one, JournalError) for one in given[1:])
        assert {one.hint for one in given if isinstance(one, JournalError)} == {
            "make room on the server's disk"
        }
        await store.write(put("after"))
        assert await store.read(lost(["first", "after"])) == []


async def test_a_server_that_always_asks_to_repeat_is_told_at_last(journal: Journal) -> None:
    hurt(journal, "RAISE EXCEPTION 'again' USING ERRCODE = '40001';")
    async with journal.opened() as store:
        given = await asyncio.gather(
            *[store.write(put(key)) for key in ("a", "bad", "b")], return_exceptions=True
        )
        assert [type(one) for one in given] == [type(None), JournalError, type(None)]
        assert "refused the write" in str(given[1])


async def test_an_old_or_wrong_server_is_told(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mainstay.store.postgres.OLDEST", 99)
    with pytest.raises(JournalError, match="needs PostgreSQL 99"):
        await open_store(journal.url, SystemClock())
    assert journal.server
    with pytest.raises(JournalError, match="does not exist") as caught:
        await open_store(journal.server.dsn("nowhere", password="tell-nobody"), SystemClock())
    assert "tell-nobody" not in str(caught.value)
    assert caught.value.hint
