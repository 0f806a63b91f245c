"""Everything that can be wrong around a backup: one line that says so, nothing left behind, no false verdict."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstay.backup.load import Complaints
from mainstay.backup.trial import OUR_FAULT
from mainstay.core.errors import MainstayError
from mainstay.core.job import JobFailed
from mainstay.ports.objects import StorageError
from mainstay.ports.objects.directory import Directory
from mainstay.ports.postgres.dsn import PostgresError
from mainstay.ports.postgres.tools import Tools, ToolsError
from mainstay.ports.scratch import Scratch
from mainstay.store.backups import BackupState
from tests.backup.house import House, execute
from tests.contracts.test_objects import s3_storage
from tests.helpers import eventually
from tests.servers.postgres import PostgresServer
from tests.servers.process import free_port
from tests.servers.s3 import Bucket

PASSWORD = "correct-horse-battery"


@pytest.fixture
def locked(postgres: PostgresServer) -> Iterator[str]:
    """A user of the wheel's server who needs a password; the URL lacks it. The server trusts everybody else."""
    hba = postgres.data / "pg_hba.conf"
    before = hba.read_text()
    postgres.execute(f"CREATE ROLE odoo LOGIN PASSWORD '{PASSWORD}' IN ROLE pg_read_all_data")
    hba.write_text(f"host all odoo 127.0.0.1/32 scram-sha-256\n{before}")
    postgres.execute("SELECT pg_reload_conf()")
    yield f"postgresql://odoo@127.0.0.1:{postgres.port}"
    hba.write_text(before)
    postgres.execute("SELECT pg_reload_conf()")
    postgres.execute("DROP ROLE odoo")


def with_password(url: str, shop: str, password: str) -> str:
    return url.replace("odoo@", f"odoo:{password}@") + "/" + shop.rpartition("/")[2]


async def nothing_left(house: House) -> None:
    assert await house.all() == []
    assert house.files() == []


async def test_a_wrong_password_is_told_without_it(house: House, shop: str, locked: str) -> None:
    house.database("shop", with_password(locked, shop, "wrong-horse-77"))
    with pytest.raises(PostgresError, match="password authentication failed") as told:
        await house.backup()
    assert "look at the password" in str(told.value)
    assert "wrong-horse-77" not in str(told.value)
    await nothing_left(house)


async def test_a_server_that_is_down_is_told(house: House) -> None:
    house.database("shop", f"postgresql://postgres@127.0.0.1:{free_port()}/shop")
    with pytest.raises(PostgresError, match=r"cannot connect to postgres@127\.0\.0\.1") as told:
        await house.backup()
    assert "is the server running" in str(told.value)
    await nothing_left(house)


async def test_a_database_that_is_not_there_is_told(house: House, postgres: PostgresServer) -> None:
    house.database("shop", postgres.dsn("nowhere"))
    with pytest.raises(PostgresError, match='database "nowhere" does not exist'):
        await house.backup()


async def test_tables_that_may_not_be_read_are_told(house: House, shop: str) -> None:
    execute(shop, "CREATE ROLE stranger LOGIN")
    try:
        house.database("shop", shop.replace("postgres@", "stranger@"))
        with pytest.raises(PostgresError, match="permission denied for table") as told:
            await house.backup()
        assert "GRANT pg_read_all_data TO stranger" in str(told.value)
    finally:
        execute(shop, "DROP ROLE stranger")
    await nothing_left(house)


async def test_large_objects_that_may_not_be_read_are_told(house: House, shop: str) -> None:
    execute(shop, "SELECT lo_from_bytea(4712, 'mine')", "CREATE ROLE stranger LOGIN IN ROLE pg_read_all_data")
    try:
        house.database("shop", shop.replace("postgres@", "stranger@"))
        with pytest.raises(MainstayError, match="permission denied for large object 4712"):
            await house.backup()
    finally:
        execute(shop, "DROP ROLE stranger")
    await nothing_left(house)


async def test_programs_that_are_missing_are_told(house: House, debian_shop: str, tmp_path: Path) -> None:
    house.tools(Tools(npm=tmp_path / "nothing", only=("npm",)))
    with pytest.raises(ToolsError, match="there is no pg_dump for PostgreSQL 18"):
        await house.backup()
    await nothing_left(house)


async def test_a_server_newer_than_what_is_here_is_told_and_proven_nowhere(house: House) -> None:
    backup = await house.take()
    house.tools(Tools(only=("system",)))  # older than the wheel's, whose server was dumped
    with pytest.raises(
        ToolsError, match="there is no server of PostgreSQL 18 or newer to restore into"
    ) as told:
        await house.prove_job()
    assert "install postgresql-18" in (told.value.hint or "")
    assert (await house.get(backup.id)).state is BackupState.TAKEN
    with pytest.raises(ToolsError, match="there is no pg_dump for PostgreSQL 18") as told:
        await house.backup()
    assert "install postgresql-client-18" in (told.value.hint or "")
    assert [each.id for each in await house.all()] == [backup.id]


async def test_a_proof_that_cannot_be_made_is_no_verdict(house: House, tmp_path: Path) -> None:
    backup = await house.take()
    house.tools(Tools(npm=tmp_path / "nothing", only=("npm",)))
    with pytest.raises(ToolsError):
        await house.prove_job()
    assert (await house.get(backup.id)).state is BackupState.TAKEN
    house.tools(Tools())
    manifest = house.manifest(backup)
    huge = manifest.server.model_copy(update={"bytes": 10**18})
    await house.tamper(backup, server=huge)
    with pytest.raises(MainstayError, match="no room to prove shop"):
        await house.prove_job()
    assert (await house.get(backup.id)).state is BackupState.TAKEN
    assert [name for name in house.files() if name.startswith("scratch")] == []


async def test_without_room_for_the_archive_it_is_streamed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = await house.take()
    real = os.statvfs

    def small(path: Path) -> os.statvfs_result:
        found = list(real(path))
        found[4] = int(1.31 * house.manifest(backup).server.bytes / found[1])  # blocks that are free
        return os.statvfs_result(found)

    monkeypatch.setattr(os, "statvfs", small)
    proof = await house.prove(backup)
    assert (proof.verdict, proof.rows) == (BackupState.PROVEN, 3300)
    house.file(backup).write_bytes(house.file(backup).read_bytes()[:-5])
    assert (await house.prove(backup)).verdict is BackupState.FAILED


async def test_a_server_that_dies_in_the_middle_leaves_nothing(
    house: House, shop: str, postgres: PostgresServer
) -> None:
    execute(
        shop,
        "INSERT INTO sale (customer, amount, note) SELECT 1, 1, repeat('x', 3000) FROM generate_series(1, 30000)",
    )

    def kill() -> None:
        eventually(lambda: list(house.vault.path.rglob("*.part")), 30)
        postgres.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with pytest.raises(MainstayError):
            await house.backup()
    finally:
        killer.join()
        postgres.start()
    await nothing_left(house)


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    place = tmp_path / "tiny"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("only root may make a file system of 1 MB")
    yield place
    subprocess.run(["umount", str(place)], check=True)


async def test_a_storage_that_is_full_is_told(house: House, shop: str, tiny: Path) -> None:
    execute(
        shop,
        "INSERT INTO sale (customer, amount, note) SELECT 1, 1, md5(random()::text) FROM generate_series(1, 60000)",
    )
    house.storage("vault", Directory(path=tiny / "vault"))
    with pytest.raises(StorageError, match=r"No space left|are needed") as told:
        await house.backup()
    assert "free some space" in str(told.value)
    assert [p.name for p in tiny.rglob("*") if p.is_file()] == ["owner.json"]
    assert await house.all() == []


async def test_a_scratch_disk_that_is_full_is_no_verdict(house: House, tiny: Path) -> None:
    backup = await house.take()
    (tiny / "ballast").write_bytes(bytes(900_000))
    full = Scratch(tiny / "scratch")
    object.__setattr__(house.ports, "scratch", full)
    with pytest.raises(MainstayError):
        await house.prove_job()
    assert (await house.get(backup.id)).state is BackupState.TAKEN


async def test_a_bucket_that_is_not_there_is_told(house: House, bucket: Bucket) -> None:
    house.storage("vault", s3_storage(bucket).model_copy(update={"bucket": "nowhere-at-all"}))
    with pytest.raises(StorageError, match="there is no bucket nowhere-at-all"):
        await house.backup()


async def test_a_bucket_is_as_good_as_a_directory(house: House, bucket: Bucket) -> None:
    house.storage("vault", s3_storage(bucket, prefix="shop-backups"))
    outcome = await house.backup()
    assert outcome.data["proven"] is True
    backup = await house.get(outcome.data["backup"])
    key = f"shop-backups/{backup.path}/dump.pgc.zst"
    data = bucket.get(key)
    bucket.put(key, data[:1000] + b"\xff" + data[1001:])
    with pytest.raises(JobFailed, match=r"dump\.pgc\.zst in bucket .* was changed"):
        await house.prove_job()


def test_faults_of_this_machine_are_told_from_those_of_a_backup() -> None:
    ours = (
        "could not extend file: No space left on device",
        "could not execute query: server closed the connection unexpectedly",
        "FATAL: terminating connection due to administrator command",
    )
    theirs = (
        "could not execute query: ERROR: relation does not exist",
        'COPY failed for table "x": ERROR: bad row',
    )
    assert all(OUR_FAULT.search(line) for line in ours)
    assert not any(OUR_FAULT.search(line) for line in theirs)


def test_complaints_are_collected_and_counted() -> None:
    items = 0

    def item() -> None:
        nonlocal items
        items += 1

    complaints = Complaints(item)
    for line in (
        'pg_restore: processing data for table "public.a"',
        "pg_restore: error: could not execute query: ERROR: no",
        "Command was: SELECT 1",
        "pg_restore: warning: errors ignored on restore: 1",
        *["pg_restore: error: again"] * 100,
    ):
        complaints.hear(line)
    assert complaints.lines[:2] == ["could not execute query: ERROR: no", "again"]
    assert (len(complaints.lines), items) == (50, 1)
