"""A backup back into a real server: into a new database, an empty one, or in the place of one that stays."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mainstay.backup.restore import new_roles, plan_restore, restore
from mainstay.core.errors import MainstayError
from mainstay.ports.postgres.dsn import Dsn, PostgresError
from mainstay.store.backups import BackupState
from tests.backup.house import House, execute
from tests.servers.postgres import PostgresServer


@pytest.fixture
def target(copies_server: PostgresServer) -> Iterator[str]:
    """The URL of a database that is not there yet; it and what is named after it is dropped afterwards."""
    name = f"restored_{next(copies_server.names)}"
    yield copies_server.dsn(name)
    rows = copies_server.execute(f"SELECT datname FROM pg_database WHERE datname LIKE '{name}%'")
    for (each,) in rows:
        copies_server.drop(each)


async def test_into_a_new_database(house: House, target: str) -> None:
    backup = await house.take()
    dsn = Dsn.parse(target)
    plan = await plan_restore(house.ports, backup.id, dsn)
    assert (plan.exists, plan.occupied, plan.refused) == (False, 0, None)
    assert plan.explain()[1].startswith(f"create database {dsn.name} on postgres@127.0.0.1")
    run = house.run()
    done = await restore(run, house.ports, backup.id, dsn)
    assert (done.database, done.judgement.verdict, done.kept_as) == (dsn.name, BackupState.PROVEN, None)
    assert execute(target, "SELECT count(*) FROM sale") == [(3000,)]
    assert {label for label, *_ in run.marks} == {"restoring", "comparing"}
    assert [name for name in house.files() if name.startswith("scratch")] == []


async def test_the_settings_of_the_database_come_along(house: House, shop: str, target: str) -> None:
    name = shop.rpartition("/")[2]
    execute(
        shop,
        f'ALTER DATABASE "{name}" SET search_path TO "$user", public, "odd schema"',
        f"ALTER DATABASE \"{name}\" SET datestyle TO 'SQL, DMY'",
        f"ALTER DATABASE \"{name}\" SET my.own TO 'it''s = 1'",
        f"ALTER ROLE postgres IN DATABASE \"{name}\" SET timezone TO 'Asia/Manila'",
    )
    backup = await house.take()
    await restore(house.run(), house.ports, backup.id, Dsn.parse(target))
    shown = ", ".join(
        f"current_setting('{each}')" for each in ("search_path", "datestyle", "my.own", "timezone")
    )
    for url in (shop, target):
        assert execute(url, f"SELECT {shown}") == [
            ('"$user", public, "odd schema"', "SQL, DMY", "it's = 1", "Asia/Manila")
        ]


async def test_into_an_empty_database(house: House, target: str, copies_server: PostgresServer) -> None:
    backup = await house.take()
    copies_server.execute(f'CREATE DATABASE "{Dsn.parse(target).name}" TEMPLATE template0')
    done = await restore(house.run(), house.ports, backup.id, Dsn.parse(target))
    assert done.judgement.verdict is BackupState.PROVEN


async def test_what_is_there_is_never_overwritten(
    house: House, target: str, copies_server: PostgresServer
) -> None:
    backup = await house.take()
    dsn = Dsn.parse(target)
    copies_server.execute(f'CREATE DATABASE "{dsn.name}" TEMPLATE template0')
    execute(target, "CREATE TABLE precious AS SELECT 'gold' AS what")
    with pytest.raises(MainstayError, match="is not empty: it has 1 relations"):
        await restore(house.run(), house.ports, backup.id, dsn)
    done = await restore(house.run(), house.ports, backup.id, dsn, replace=True)
    assert done.kept_as == f"{dsn.name}_before_20260921_141320"
    assert execute(target, "SELECT count(*) FROM customer") == [(300,)]
    assert execute(copies_server.dsn(done.kept_as), "SELECT what FROM precious") == [("gold",)]


async def test_a_copy_that_differs_never_takes_the_place(
    house: House, target: str, copies_server: PostgresServer
) -> None:
    backup = await house.take()
    tables = dict(house.manifest(backup).tables)
    tables["public.sale"] = tables["public.sale"].model_copy(update={"rows": 1})
    await house.tamper(backup, tables=tables)
    copies_server.execute(f'CREATE DATABASE "{Dsn.parse(target).name}" TEMPLATE template0')
    execute(target, "CREATE TABLE precious AS SELECT 'gold' AS what")
    with pytest.raises(PostgresError, match=r"differs from the backup, so .* was left alone"):
        await restore(house.run(), house.ports, backup.id, Dsn.parse(target), replace=True)
    assert execute(target, "SELECT what FROM precious") == [("gold",)]


async def test_a_damaged_backup_touches_nothing(
    house: House, target: str, copies_server: PostgresServer
) -> None:
    backup = await house.take()
    house.file(backup).write_bytes(b"x")
    with pytest.raises(MainstayError, match="was changed"):
        await restore(house.run(), house.ports, backup.id, Dsn.parse(target))
    name = Dsn.parse(target).name
    assert copies_server.execute(f"SELECT 1 FROM pg_database WHERE datname = '{name}'") == []


async def test_missing_roles_are_made_and_others_left_alone(
    house: House, shop: str, target: str, copies_server: PostgresServer
) -> None:
    execute(shop, "CREATE ROLE clerk LOGIN PASSWORD 'one'", "CREATE ROLE boss", "GRANT boss TO clerk")
    execute(shop, "ALTER TABLE sale OWNER TO clerk", "GRANT SELECT ON customer TO boss")
    copies_server.execute("CREATE ROLE boss CONNECTION LIMIT 7")
    try:
        backup = await house.take()
        done = await restore(house.run(), house.ports, backup.id, Dsn.parse(target))
        assert done.judgement.verdict is BackupState.PROVEN, done.judgement.summary()
        assert copies_server.execute(
            "SELECT rolname, rolconnlimit, rolcanlogin FROM pg_roles WHERE rolname IN ('boss', 'clerk') ORDER BY 1"
        ) == [("boss", 7, False), ("clerk", -1, True)]
        assert copies_server.execute("SELECT pg_has_role('clerk', 'boss', 'member')") == [(True,)]
    finally:
        copies_server.drop(Dsn.parse(target).name)
        execute(shop, "REASSIGN OWNED BY clerk, boss TO postgres", "DROP OWNED BY clerk, boss")
        for server in (shop, copies_server.dsn()):
            execute(server, "DROP ROLE clerk", "DROP ROLE boss")


async def test_an_older_server_is_refused(house: House, debian_postgres: PostgresServer) -> None:
    backup = await house.take()
    plan = await plan_restore(house.ports, backup.id, Dsn.parse(debian_postgres.dsn("new")))
    assert "is older than the backup's 18" in (plan.refused or "")
    assert plan.explain()[-1].startswith("refused: ")


async def test_a_user_who_may_not_create_is_told(house: House, copies_server: PostgresServer) -> None:
    backup = await house.take()
    copies_server.execute("CREATE ROLE weak LOGIN")
    try:
        dsn = Dsn.parse(copies_server.dsn("brand_new").replace("postgres@", "weak@"))
        plan = await plan_restore(house.ports, backup.id, dsn)
        assert "weak may not create databases" in (plan.refused or "")
    finally:
        copies_server.execute("DROP ROLE weak")


async def test_extensions_that_the_server_lacks_are_named_beforehand(
    empty_house: House, debian_database: str, target: str
) -> None:
    execute(debian_database, "CREATE EXTENSION hstore", "CREATE TABLE h (h hstore)")
    empty_house.database("shop", debian_database)
    backup = await empty_house.take()
    plan = await plan_restore(empty_house.ports, backup.id, Dsn.parse(target))
    assert plan.lacks == ("hstore",)
    assert "extension hstore is missing there: what needs it cannot be restored" in plan.explain()


async def test_an_unknown_backup_is_told(house: House, target: str) -> None:
    with pytest.raises(MainstayError, match="there is no backup nonsense"):
        await plan_restore(house.ports, "nonsense", Dsn.parse(target))


async def test_a_backup_that_somebody_replaced_is_not_restored(house: House, target: str) -> None:
    """Its own hashes fit, and pg_restore would run whatever is in it as the owner of the server."""
    backup = await house.take()
    forged = house.manifest(backup).model_copy(update={"tables": {}})
    house.file(backup, "manifest.json").write_text(forged.seal())
    with pytest.raises(MainstayError, match="somebody replaced it"):
        await plan_restore(house.ports, backup.id, Dsn.parse(target))


def test_only_statements_about_new_roles_are_run() -> None:
    lines = [
        "SET default_transaction_read_only = off;",
        "CREATE ROLE old;",
        "ALTER ROLE old WITH SUPERUSER PASSWORD 'md5';",
        'CREATE ROLE "new one";',
        'ALTER ROLE "new one" WITH LOGIN;',
        'CREATE ROLE "say ""hi""";',
        "GRANT old TO old GRANTED BY postgres;",
        'GRANT old TO "new one" WITH INHERIT TRUE GRANTED BY postgres;',
        "CREATE TABLESPACE fast OWNER old LOCATION '/fast';",
        r"\restrict abc",
    ]
    assert new_roles(lines, {"old", "postgres"}) == [lines[3], lines[4], lines[5], lines[7]]
    assert new_roles(lines, {"old", "new one", 'say "hi"'}) == []
