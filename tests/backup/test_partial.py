"""A server that lacks an extension proves what it can, names the rest, and still finds real damage."""

from __future__ import annotations

import pytest

from mainstay.ports.postgres.tools import Tools
from mainstay.store.backups import BackupState
from tests.backup.house import House, execute
from tests.servers.postgres import PostgresServer

# What an ERP's database looks like, more or less.
SCRIPT = (
    "CREATE EXTENSION hstore",
    "CREATE EXTENSION pg_trgm",
    'CREATE EXTENSION "uuid-ossp"',
    "CREATE TABLE plain (id int PRIMARY KEY, name text)",
    "INSERT INTO plain SELECT n, 'name ' || n FROM generate_series(1, 500) n",
    "CREATE INDEX plain_trgm ON plain USING gin (name gin_trgm_ops)",
    "CREATE TABLE tagged (id int PRIMARY KEY, tags hstore)",
    "INSERT INTO tagged VALUES (1, 'a=>1')",
    "CREATE TABLE tagged_many (tags hstore[])",
    "CREATE DOMAIN labels AS hstore",
    "CREATE TABLE labelled (l labels)",
    "CREATE TABLE named (id uuid DEFAULT uuid_generate_v4(), plain int REFERENCES plain)",
    "INSERT INTO named (plain) VALUES (1), (2)",
    "CREATE TABLE checked (name text CHECK (similarity(name, 'x') < 2))",
    "CREATE VIEW tags AS SELECT id, tags -> 'a' AS a FROM tagged",
    "CREATE FUNCTION tag(h hstore) RETURNS text LANGUAGE sql AS 'SELECT $1 -> ''a'''",
    "ALTER TABLE tagged ADD CONSTRAINT has CHECK (tags ? 'a')",
)


@pytest.fixture
def erp(empty_house: House, debian_database: str) -> House:
    """A house with an ERP on the system's server, of which only the wheel's can make copies."""
    execute(debian_database, *SCRIPT)
    empty_house.database("shop", debian_database)
    return empty_house


async def test_a_server_with_the_extensions_proves_everything(erp: House) -> None:
    outcome = await erp.backup()
    assert outcome.data["proven"] is True, outcome.summary


async def test_a_server_without_them_proves_the_rest_and_names_what_is_missing(erp: House) -> None:
    backup = await erp.take()
    erp.tools(Tools(only=("wheel",)))
    proof = await erp.prove(backup)
    assert proof.verdict is BackupState.PARTIAL, proof.summary
    assert "extension hstore is missing" in proof.summary
    assert "partially proven" in proof.summary
    unproven = proof.detail["unproven"]
    assert {name for name in unproven if name.startswith("table ")} == {
        "table public.tagged", "table public.tagged_many", "table public.labelled", "table public.named",
        "table public.checked",
    }  # fmt: skip
    assert unproven["table public.named"] == "extension uuid-ossp is missing"
    assert unproven["index public.plain_trgm"] == "extension pg_trgm is missing"
    assert unproven["relation public.tags"] == "extension hstore is missing"
    assert (proof.tables, proof.rows) == (1, 500)


async def test_what_can_be_proven_must_still_be_equal(erp: House) -> None:
    backup = await erp.take()
    erp.tools(Tools(only=("wheel",)))
    tables = dict(erp.manifest(backup).tables)
    tables["public.plain"] = tables["public.plain"].model_copy(update={"rows": 501})
    proof = await erp.prove(await erp.tamper(backup, tables=tables))
    assert proof.verdict is BackupState.FAILED
    assert [each["what"] for each in proof.detail["differences"]] == ["table public.plain"]


async def test_a_partial_proof_is_no_failure_and_counts_for_retention(erp: House) -> None:
    taken = await erp.take()
    erp.tools(Tools(only=("wheel",)))
    outcome = await erp.prove_job()
    assert (outcome.data["verdict"], outcome.data["proven"]) == ("partial", False)
    assert (await erp.get(taken.id)).state is BackupState.PARTIAL


async def test_icu_counts_as_an_extension(empty_house: House, debian_database: str) -> None:
    execute(
        debian_database,
        "CREATE COLLATION german (provider = icu, locale = 'de-DE')",
        'CREATE TABLE sorted (name text COLLATE german, other text COLLATE "en-x-icu")',
        "CREATE TABLE plain AS SELECT 1 AS a",
    )
    empty_house.database("shop", debian_database)
    backup = await empty_house.take()
    assert (await empty_house.prove(backup)).verdict is BackupState.PROVEN
    empty_house.tools(Tools(only=("wheel",)))
    proof = await empty_house.prove(backup)
    assert proof.verdict is BackupState.PARTIAL, proof.summary
    assert proof.detail["unproven"]["table public.sorted"] == "ICU is missing"


async def test_a_locale_that_is_missing_excuses_what_it_computes(
    empty_house: House, debian_postgres: PostgresServer
) -> None:
    debian_postgres.execute(
        "CREATE DATABASE german TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de-DE' LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    try:
        execute(
            debian_postgres.dsn("german"),
            "CREATE TABLE shout (a text, b text GENERATED ALWAYS AS (upper(a)) STORED)",
            "INSERT INTO shout (a) VALUES ('\u00fcber'), ('plain')",
            "CREATE TABLE ranged (a text) PARTITION BY RANGE (a)",
            "CREATE TABLE ranged_1 PARTITION OF ranged FOR VALUES FROM ('a') TO ('z')",
            "INSERT INTO ranged VALUES ('B'), ('c')",
            "CREATE TABLE plain AS SELECT '\u00fcber' AS a",
        )
        empty_house.database("shop", debian_postgres.dsn("german"))
        backup = await empty_house.take()
        run = empty_house.run()
        assert (await empty_house.prove(backup, run)).verdict is BackupState.PROVEN, run.said
        empty_house.tools(Tools(only=("wheel",)))
        run = empty_house.run()
        proof = await empty_house.prove(backup, run)
    finally:
        debian_postgres.drop("german")
    assert "does not know the locale de-DE" in run.said
    assert proof.verdict is BackupState.PARTIAL, proof.summary
    assert proof.detail["unproven"] == {
        "table public.ranged_1": "locale de-DE is missing",
        "table public.shout": "locale de-DE is missing",
    }
    assert proof.rows == 1
