"""What could cost somebody a good backup or a live database, tried on purpose."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mainstay.backup.manifest import _hash
from mainstay.backup.restore import plan_restore, restore
from mainstay.backup.trial import _without_tablespaces
from mainstay.core.errors import MainstayError
from mainstay.ports.objects.directory import Directory
from mainstay.ports.postgres.dsn import Dsn, PostgresError
from mainstay.store import backups
from mainstay.store.backups import BackupState
from tests.backup.house import House, execute
from tests.servers.postgres import PostgresServer

DAY = 86400.0


@pytest.fixture
def target(copies_server: PostgresServer) -> Iterator[str]:
    """The URL of a database that is not there yet; it and what is named after it is dropped afterwards."""
    name = f"safe_{next(copies_server.names)}"
    yield copies_server.dsn(name)
    for (each,) in copies_server.execute(f"SELECT datname FROM pg_database WHERE datname LIKE '{name}%'"):
        copies_server.drop(each)


async def test_a_disk_that_was_not_mounted_for_a_night_costs_nothing(house: House) -> None:
    await house.backup()
    (first,) = await house.all()
    house.clock.step(DAY)
    mounted, away = house.vault.path, house.directory / "away"
    mounted.rename(away)
    mounted.mkdir()  # where it was mounted
    with pytest.raises(MainstayError, match="lacks the mark"):
        await house.backup()
    assert list(mounted.iterdir()) == []
    assert (await house.get(first.id)).state is first.state
    mounted.rmdir()
    away.rename(mounted)
    house.clock.step(9 * DAY)
    await house.backup()
    assert (await house.get(first.id)).state is first.state
    assert house.file(first).exists()


async def test_a_backup_that_failed_its_proof_stays_failed(house: House) -> None:
    backup = await house.take()
    house.file(backup).write_bytes(b"x")
    with pytest.raises(MainstayError, match="cannot be restored"):
        await house.prove_job()
    house.clock.step(DAY)
    await house.backup()
    assert (await house.get(backup.id)).state is BackupState.FAILED


async def test_a_manifest_of_an_older_version_is_no_forgery(house: House) -> None:
    backup = await house.take()
    body: dict[str, Any] = json.loads(backup.manifest)
    del body["sha256"], body["settings"]
    text = json.dumps({"sha256": _hash(body), **body})
    house.file(backup, "manifest.json").write_text(text)
    old = dataclasses.replace(backup, manifest=text)
    await house.ports.store.write(lambda tx: backups.put(tx, old))
    assert (await house.prove(old)).verdict is BackupState.PROVEN


async def test_a_copy_is_not_blamed_for_the_first_storage(house: House, tmp_path: Path) -> None:
    house.storage("second", Directory(path=tmp_path / "second"))
    house.database("shop", house.ports.database("shop").dsn.reveal(), to=["vault", "second"])

    run = house.run()
    inner = run.step

    async def step(name: str, action: Any) -> Any:
        if name == "prove":
            for file in house.vault.path.rglob("dump.pgc.zst"):
                file.write_bytes(b"x")
        return await inner(name, action)

    run.step = step  # type: ignore[method-assign]
    with pytest.raises(MainstayError, match="cannot be restored"):
        await house.backup(run=run)
    states = {each.storage: each.state for each in await house.all()}
    assert states == {"vault": BackupState.FAILED, "second": BackupState.TAKEN}


async def test_a_copy_that_nobody_read_is_not_proven(house: House, tmp_path: Path) -> None:
    house.storage("second", Directory(path=tmp_path / "second", read_back=False))
    house.database("shop", house.ports.database("shop").dsn.reveal(), to=["vault", "second"])
    await house.backup()
    states = {each.storage: each.state for each in await house.all()}
    assert states == {"vault": BackupState.PROVEN, "second": BackupState.TAKEN}


@pytest.mark.parametrize(
    "content",
    [
        "SELECT lo_from_bytea(4711, 'precious')",
        "CREATE FUNCTION precious() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TYPE mood AS ENUM ('sad')",
        """CREATE FOREIGN DATA WRAPPER far; CREATE SERVER f FOREIGN DATA WRAPPER far;
        CREATE FOREIGN TABLE precious (a int) SERVER f""",
    ],
)
async def test_a_database_without_tables_is_not_yet_empty(
    house: House, shop: str, target: str, copies_server: PostgresServer, content: str
) -> None:
    execute(shop, "SELECT lo_from_bytea(4711, 'other')")
    backup = await house.take()
    copies_server.execute(f'CREATE DATABASE "{Dsn.parse(target).name}" TEMPLATE template0')
    execute(target, content)
    with pytest.raises(MainstayError, match="is not empty"):
        await restore(house.run(), house.ports, backup.id, Dsn.parse(target))


async def test_a_database_that_fills_while_the_backup_is_fetched_is_left_alone(
    house: House, target: str, copies_server: PostgresServer
) -> None:
    backup = await house.take()
    copies_server.execute(f'CREATE DATABASE "{Dsn.parse(target).name}" TEMPLATE template0')
    run = house.run()
    inner = run.log

    def log(line: str) -> None:
        if line.startswith("fetched"):
            execute(target, "CREATE TABLE precious AS SELECT 'gold' AS what")
        inner(line)

    run.log = log  # type: ignore[method-assign]
    with pytest.raises(MainstayError, match="no longer empty"):
        await restore(run, house.ports, backup.id, Dsn.parse(target))
    assert execute(target, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(1,)]


async def test_a_copy_with_parts_missing_never_takes_the_place(
    house: House, shop: str, target: str, copies_server: PostgresServer
) -> None:
    backup = await house.take()
    manifest = house.manifest(backup)
    schema = manifest.schema_.model_copy(
        update={"extensions": {**manifest.schema_.extensions, "nowhere": "1"}}
    )
    await house.tamper(backup, schema_=schema)
    copies_server.execute(f'CREATE DATABASE "{Dsn.parse(target).name}" TEMPLATE template0')
    execute(target, "CREATE TABLE precious AS SELECT 'gold' AS what")
    with pytest.raises(
        PostgresError, match=r"nowhere is missing.*was left alone|was left alone.*nowhere is missing"
    ):
        await restore(house.run(), house.ports, backup.id, Dsn.parse(target), replace=True)
    assert execute(target, "SELECT what FROM precious") == [("gold",)]


async def test_a_setting_cannot_smuggle_a_statement(house: House, shop: str, target: str) -> None:
    name = shop.rpartition("/")[2]
    execute(
        shop,
        "SELECT set_config('search_path', 'a;create/**/role/**/smuggled/**/superuser', false);"
        f'ALTER DATABASE "{name}" SET search_path FROM CURRENT',
    )
    backup = await house.take()
    await restore(house.run(), house.ports, backup.id, Dsn.parse(target))
    found = execute(target, "SELECT 1 FROM pg_roles WHERE rolname = 'smuggled'")
    if found:
        execute(target, "DROP ROLE smuggled")
    assert found == []


async def test_the_server_s_own_databases_are_not_replaced(
    house: House, copies_server: PostgresServer
) -> None:
    backup = await house.take()
    copies_server.execute("CREATE TABLE precious AS SELECT 'gold' AS what")
    try:
        for name in ("postgres", "template1"):
            dsn = Dsn.parse(copies_server.dsn(name))
            plan = await plan_restore(house.ports, backup.id, dsn, replace=True)
            assert plan.refused == f"{name} belongs to the server itself"
    finally:
        copies_server.execute("DROP TABLE precious")


async def test_a_long_name_is_not_cut_in_silence(house: House, copies_server: PostgresServer) -> None:
    backup = await house.take()
    name = f"long_{next(copies_server.names)}_".ljust(63, "x")
    target = copies_server.dsn(name)
    copies_server.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    kept = None
    try:
        execute(target, "CREATE TABLE precious AS SELECT 'gold' AS what")
        done = await restore(house.run(), house.ports, backup.id, Dsn.parse(target), replace=True)
        kept = done.kept_as
        assert kept is not None
        assert execute(copies_server.dsn(kept), "SELECT what FROM precious") == [("gold",)]
        assert execute(target, "SELECT count(*) FROM customer") == [(300,)]
    finally:
        for each in (name, kept):
            if each:
                copies_server.drop(each)


async def test_a_restore_that_is_cut_off_does_not_leave_a_part_under_the_name(
    house: House, target: str, copies_server: PostgresServer
) -> None:
    backup = await house.take()
    run = house.run()

    def cut(label: str) -> None:
        raise KeyError(label)

    run.on_progress = cut
    with pytest.raises(KeyError):
        await restore(run, house.ports, backup.id, Dsn.parse(target))
    name = Dsn.parse(target).name
    found = copies_server.execute(f"SELECT datname FROM pg_database WHERE datname LIKE '{name}%'")
    assert [each.startswith(f"{name}_restoring_") for (each,) in found] == [True]


def test_a_trial_makes_no_tablespaces(tmp_path: Path) -> None:
    roles = tmp_path / "globals.sql"
    roles.write_text(
        "CREATE ROLE app;\nCREATE TABLESPACE fast OWNER app LOCATION '/srv/fast';\n"
        "ALTER TABLESPACE fast SET (x=1);\nGRANT ALL ON TABLESPACE fast TO app;\nGRANT app TO other;\n"
    )
    assert _without_tablespaces(roles).read_text() == "CREATE ROLE app;\nGRANT app TO other;\n"
