"""Whatever a database may contain is counted once, compared rightly and restored equal."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mainstay.backup.fingerprint import Counted, Method, count_tables
from mainstay.backup.manifest import Manifest, seal
from mainstay.backup.session import session
from mainstay.backup.tables import Table, list_tables, quoted
from mainstay.ports.postgres.dsn import Dsn
from mainstay.ports.postgres.tools import Tools
from mainstay.store.backups import BackupState
from tests.backup.copies import Copies
from tests.backup.house import House, execute

if TYPE_CHECKING:
    from mainstay.backup.session import Connection

HERE = Path(__file__).parent
NAMES = (HERE / "names.sql").read_text()
TYPES = (HERE / "types.sql").read_text()


@pytest.mark.parametrize("script", [NAMES, TYPES], ids=["names", "types"])
async def test_everything_is_restored_equal(
    empty_house: House, database: str, copies: Copies, script: str
) -> None:
    execute(database, script)
    backup = await empty_house.take()
    judgement = await copies.judge(empty_house, backup)
    assert (judgement.verdict, judgement.summary()) == (
        BackupState.PROVEN,
        f"restored and compared: {backup.tables} tables, {backup.rows:,} rows equal",
    )


@pytest.mark.parametrize("script", [NAMES, TYPES], ids=["names", "types"])
async def test_everything_is_restored_equal_on_the_system_s_server(
    empty_house: House, debian_database: str, script: str
) -> None:
    execute(
        debian_database,
        script,
        "CREATE EXTENSION hstore",
        "CREATE TABLE h AS SELECT 'a=>1,b=>NULL'::hstore AS h",
    )
    empty_house.database("shop", debian_database)
    outcome = await empty_house.backup()
    assert outcome.data["proven"] is True, outcome.summary


async def test_a_newer_server_holds_an_older_one_s_data(empty_house: House, debian_database: str) -> None:
    execute(debian_database, TYPES)
    empty_house.database("shop", debian_database)
    empty_house.tools(Tools(only=("wheel",)))
    outcome = await empty_house.backup()
    assert outcome.data["proven"] is True, outcome.summary


async def tables_of(dsn: Dsn) -> list[Table]:
    async with session(dsn) as connection:
        found = await list_tables(connection)
    return [table for table in found if table.skipped(False, frozenset()) is None]


async def counted(url: str, method: Method = Method.MIXED) -> dict[str, Counted]:
    dsn = Dsn.parse(url)
    return await count_tables(dsn, await tables_of(dsn), method)


@pytest.mark.parametrize(("alone", "processes"), [(False, ["0"]), (True, ["2", "2"])])
async def test_beside_a_dump_one_process_of_the_server_counts(
    database: str, alone: bool, processes: list[str]
) -> None:
    """A dump takes longest, and what counts in several takes the processor from it."""
    execute(database, NAMES)
    dsn = Dsn.parse(database)
    seen: list[str] = []

    async def join(connection: Connection) -> None:
        setting = await connection.execute("SHOW max_parallel_workers_per_gather")
        seen.extend(await setting.fetchone() or ())

    await count_tables(dsn, await tables_of(dsn), Method.MIXED, join, alone=alone)
    assert seen == processes


async def test_every_column_counts_whatever_it_is_called(database: str) -> None:
    execute(database, NAMES)
    before = await counted(database)
    execute(database, "UPDATE t SET _r_ = 5 WHERE t = 1", "UPDATE _r_ SET rows = 'z'")
    after = await counted(database)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"public.t", "public._r_"}


async def test_names_are_quoted_without_asking_the_server(database: str) -> None:
    execute(database, NAMES)
    names = set(await counted(database))
    assert {'"Odd schema"."drop table x; --"', 'public."a.b"', "public.a", "public.user"} <= names
    assert quoted("a", "B c", 'd"e') == 'a."B c"."d""e"'


async def test_equal_rows_count_as_often_as_they_are_there(database: str) -> None:
    execute(database, "CREATE TABLE twin (a int)", "INSERT INTO twin VALUES (1), (1), (2)")
    first = await counted(database)
    execute(database, "UPDATE twin SET a = 2 WHERE ctid = '(0,1)'")
    second = await counted(database)
    assert first["public.twin"].rows == second["public.twin"].rows == 3
    assert first != second


async def test_what_a_session_would_see_otherwise_is_pinned(database: str) -> None:
    execute(
        database,
        "CREATE TABLE v (at timestamptz, i interval, b bytea, f float8, m money)",
        "INSERT INTO v VALUES ('2026-01-01 00:00 UTC', '1 day 2:03', '\\x00ff', 0.1::float8 + 0.2, 12.5)",
    )
    before = await counted(database)
    name = database.rpartition("/")[2]
    for setting in (
        "timezone = 'Asia/Manila'", "datestyle = 'SQL, DMY'", "intervalstyle = 'iso_8601'", "bytea_output = 'escape'",
        "extra_float_digits = -5", "search_path = 'nowhere'", "statement_timeout = '50ms'", "lc_monetary = 'C'",
    ):  # fmt: skip
        execute(database, f'ALTER DATABASE "{name}" SET {setting}')
    assert await counted(database) == before


async def test_a_foreign_table_is_named_and_left_out(empty_house: House, debian_database: str) -> None:
    execute(
        debian_database,
        "CREATE EXTENSION postgres_fdw",
        "CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '1')",
        "CREATE FOREIGN TABLE far (a int) SERVER elsewhere",
        "CREATE MATERIALIZED VIEW made AS SELECT 1 AS a",
        "CREATE TABLE near AS SELECT 1 AS a",
    )
    empty_house.database("shop", debian_database)
    backup = await empty_house.take()
    assert empty_house.manifest(backup).skipped == {
        "public.far": "a foreign table: its rows live on another server",
        "public.made": "a materialized view: computed anew by a restore",
    }
    assert (await empty_house.prove(backup)).verdict is BackupState.PROVEN


async def test_a_table_that_row_security_hides_is_not_taken_for_empty(house: House, shop: str) -> None:
    execute(
        shop,
        "CREATE ROLE reader LOGIN IN ROLE pg_read_all_data",
        "ALTER TABLE sale ENABLE ROW LEVEL SECURITY",
    )
    try:
        house.database("shop", shop.replace("postgres@", "reader@"))
        with pytest.raises(Exception, match="row-level security"):
            await house.take()
        assert await house.all() == []
    finally:
        execute(shop, "DROP ROLE reader")


async def test_a_reader_without_superuser_rights_is_enough(house: House, shop: str) -> None:
    execute(shop, "CREATE ROLE reader LOGIN PASSWORD 'sesame' IN ROLE pg_read_all_data")
    try:
        house.database("shop", shop.replace("postgres@", "reader@"))
        outcome = await house.backup()
    finally:
        execute(shop, "DROP ROLE reader")
    assert outcome.data["proven"] is True


def test_a_table_says_why_it_is_left_out() -> None:
    from mainstay.backup.tables import Table

    table = Table(1, "public", "x", "r", "p", 0, (), (), False)
    assert table.skipped(True, frozenset()) is None
    assert "standby" in (dataclasses.replace(table, persistence="u").skipped(True, frozenset()) or "")
    assert "extension" in (dataclasses.replace(table, of_extension=True).skipped(False, frozenset()) or "")
    assert "partitions" in (dataclasses.replace(table, kind="p").skipped(False, frozenset()) or "")


ALIKE = {
    "numeric": ("1.0", "1.00"),
    "float8": ("0", "-0"),
    "interval": ("1 day", "24:00"),
    "json": ('{"a":1}', '{"a": 1}'),
    "jsonb": ('{"a": 1.0}', '{"a": 1.00}'),
    "bpchar": ("a", "a "),
    "text": ("", None),
    "int8": ("7", "8"),
    "bytea": ("\\x00ff", "\\x00fe"),
    "numeric(8,2)": ("1.00", "1.01"),
    "timestamptz": ("2026-03-29 02:30Z", "2026-03-29 02:30:00.000001Z"),
    "text[]": ("{a,NULL}", "{a,'NULL'}"),
    'text COLLATE "folded"': ("a", "A"),
}
"""By type two values that are not written alike, though most of them are equal to the server."""


@pytest.mark.parametrize("method", Method)
async def test_what_is_not_written_alike_is_not_counted_alike(debian_database: str, method: Method) -> None:
    execute(
        debian_database,
        "CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
    )
    for number, (kind, (one, other)) in enumerate(ALIKE.items()):
        for which, value in (("one", one), ("other", other)):
            literal = "NULL" if value is None else f"'{value.replace(chr(39), chr(39) * 2)}'"
            execute(
                debian_database,
                f"CREATE TABLE {which}_{number} (k int, v {kind})",
                f"INSERT INTO {which}_{number} VALUES (1, {literal})",
            )
    found = await counted(debian_database, method)
    same = [
        kind
        for number, kind in enumerate(ALIKE)
        if found[f"public.one_{number}"] == found[f"public.other_{number}"]
    ]
    assert same == []


@pytest.mark.parametrize("method", [Method.TEXT, Method.MIXED])
async def test_a_value_in_the_row_of_another_is_found(debian_database: str, method: Method) -> None:
    """More than one pair: where the hash of a row is a sum, about half of them look the same."""
    pairs = range(20)
    for number in pairs:
        execute(
            debian_database,
            f"CREATE TABLE one_{number} (name text, balance numeric(8,2))",
            f"CREATE TABLE other_{number} (name text, balance numeric(8,2))",
            f"INSERT INTO one_{number} VALUES ('a', {number}), ('b', 777)",
            f"INSERT INTO other_{number} VALUES ('b', {number}), ('a', 777)",
        )
    found = await counted(debian_database, method)
    assert [each for each in pairs if found[f"public.one_{each}"] == found[f"public.other_{each}"]] == []


async def test_a_manifest_that_names_no_method_was_counted_by_text(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Method, "best", lambda major: Method.TEXT)
    backup = await house.take()
    body = json.loads(backup.manifest)
    assert (body.pop("sha256"), body.pop("method")) == (json.loads(backup.manifest)["sha256"], "text")
    assert Manifest.unseal(seal(body)).method is Method.TEXT
    assert (await house.prove(backup)).verdict is BackupState.PROVEN


def test_servers_that_cannot_hash_a_row_are_asked_for_its_text() -> None:
    assert [Method.best(major) for major in (11, 13, 14, 18)] == [
        Method.TEXT, Method.TEXT, Method.MIXED, Method.MIXED,
    ]  # fmt: skip
