"""pgBackRest, driven: backups, a watch over its archive, proofs and restores, with a repository on disk."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mainstay.app.wal import jobs_of
from mainstay.backup.pgbackrest.info import read_info
from mainstay.backup.pgbackrest.jobs import PgBackRestBackup, PgBackRestCheck, PgBackRestProof
from mainstay.backup.pgbackrest.restore import _begin, _note, opened, plan, restore_server
from mainstay.backup.pgbackrest.watch import unwell
from mainstay.backup.physical.picture import pictures
from mainstay.backup.physical.settings import WalSettings
from mainstay.backup.physical.target import Kind, Target
from mainstay.backup.ports import BackupPorts
from mainstay.core.errors import MainstayError
from mainstay.core.job import JobFailed
from mainstay.ports.clock import SystemClock
from mainstay.store.base import Store
from mainstay.store.open import open_store
from tests.backup.house import Run
from tests.backup.physical.conftest import Cloned
from tests.backup.physical.house import ports_of
from tests.backup.physical.started import running
from tests.helpers import aeventually, mainstay
from tests.servers.postgres import PostgresServer, debian_binaries
from tests.servers.process import missing, program

CONFIG = """
[global]
repo1-path={base}/repo
log-path={base}/logs
lock-path={base}/lock
log-level-file=off
start-fast=y
archive-timeout=30

[shop]
pg1-path={data}
pg1-port={port}
pg1-socket-path={base}
pg1-user=postgres
"""
FILE = """
name: example
state_dir: state
databases:
  shop:
    dsn: {{secret: shop_dsn}}
    wal: {{engine: pgbackrest, stanza: shop, config: {config}, user: {user}}}
"""


@pytest.fixture(scope="module")
def archived() -> Iterator[PostgresServer]:
    """A server whose log a pgBackRest archives, with a stanza `shop`."""
    programs = debian_binaries()
    if programs is None:
        missing("the system's PostgreSQL", "postgresql")
    program("pgbackrest", "pgbackrest")
    server = Cloned(programs)
    try:
        server.stop()
        for name in ("repo", "lock", "logs"):
            (server.base / name).mkdir()
            server._own(server.base / name)
        config = server.base / "pgbackrest.conf"
        config.write_text(CONFIG.format(base=server.base, data=server.data, port=server.port))
        with (server.data / "postgresql.conf").open("a") as file:
            push = f"pgbackrest --config={config} --stanza=shop archive-push %p"
            file.write(f"\narchive_mode = on\narchive_command = '{push}'\n")
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    made = await open_store(f"sqlite:///{tmp_path}/journal.db", SystemClock())
    yield made
    await made.close()


@pytest.fixture
def ports(tmp_path: Path, archived: PostgresServer, store: Store) -> BackupPorts:
    made = ports_of(store, tmp_path, archived.dsn())
    settings = WalSettings(
        engine="pgbackrest", stanza="shop", config=archived.base / "pgbackrest.conf", user=user(archived),
    )  # fmt: skip
    shop = made.databases["shop"].model_copy(update={"wal": settings})
    return dataclasses.replace(made, databases={"shop": shop})


def user(server: PostgresServer) -> str:
    return server.servant.pw_name if server.servant else "postgres"


async def test_what_it_takes_is_watched_proven_and_restored(
    tmp_path: Path, archived: PostgresServer, ports: BackupPorts, store: Store
) -> None:
    run = Run(ports, "base_backup:shop")
    with pytest.raises(MainstayError, match="pgbackrest has no stanza shop"):
        await PgBackRestBackup(database="shop").run(run)
    async with opened(ports, "shop") as rest:
        await rest.run("stanza-create")
        assert rest.argv("info") == [
            "pgbackrest",
            f"--config={archived.base}/pgbackrest.conf",
            "--stanza=shop",
            "info",
        ]
    with pytest.raises(JobFailed, match="no valid backups"):
        await PgBackRestCheck(database="shop").run(Run(ports, "check_log:shop"))
    archived.execute("CREATE TABLE life (id int)")
    first = await PgBackRestBackup(database="shop").run(Run(ports, "base_backup:shop"))
    archived.execute("INSERT INTO life VALUES (1)")
    second = await PgBackRestBackup(database="shop").run(Run(ports, "base_backup:shop"))
    assert (first.data["kind"], second.data["kind"]) == ("full", "incremental")
    assert second.data["bytes"] < first.data["bytes"]
    looked = await PgBackRestCheck(database="shop").run(Run(ports, "check_log:shop"))
    assert "archived up to 0000000100000000" in looked.summary
    found = (await store.read(lambda tx: pictures(tx, {"shop": "x"}, ports.clock.now())))["shop"]
    assert found.seen is not None
    assert (found.seen["segment"], found.seen["mode"], found.seen["storage_lag_seconds"]) == (
        looked.data["segment"], "archived", 0.0,
    )  # fmt: skip
    proof = await PgBackRestProof(database="shop").run(Run(ports, "prove_log:shop"))
    assert (proof.data["proven"], proof.data["faults"]) == (True, [])
    assert proof.data["markers"] >= 1
    assert list(ports.scratch.root.glob("mainstay-*")) == []
    await restored_to_a_moment(tmp_path, archived, ports)


async def restored_to_a_moment(tmp_path: Path, server: PostgresServer, ports: BackupPorts) -> None:
    ((at,),) = server.execute("SELECT extract(epoch FROM clock_timestamp())::float8 + 0.001")
    await aeventually(
        lambda: server.execute(f"SELECT extract(epoch FROM clock_timestamp()) > {at} + 0.1") == [(True,)]
    )
    server.execute("DELETE FROM life")
    into = server.base / "back"
    async with opened(ports, "shop") as rest:
        await rest.run("check")
        way = await plan(rest, Target(Kind.TIME, at=at))
        with pytest.raises(MainstayError, match="no backup of stanza shop is old enough"):
            await plan(rest, Target(Kind.TIME, at=at - 86400))
        # Begun before, and killed while pgBackRest copied.
        into.mkdir(mode=0o700)
        (into / "backup.manifest").touch()
        with pytest.raises(MainstayError, match="is not empty"):
            await restore_server(Run(ports), ports, rest, "shop", way, into)
        shutil.rmtree(into)
        done = await restore_server(Run(ports), ports, rest, "shop", way, into)
    assert done.soundness.faults == []
    with running(server, done.data) as connection:
        assert connection.execute("SELECT id FROM life").fetchall() == [(1,)]
        # Its postgresql.conf came along, and would archive into the original's stanza.
        assert connection.execute("SHOW archive_mode").fetchone() == ("off",)
    assert not (server.base / "back.mainstay-restore").exists()
    command(tmp_path, server)


def command(tmp_path: Path, server: PostgresServer) -> None:
    """The commands say the same."""
    config = server.base / "pgbackrest.conf"
    (tmp_path / "mainstay.yaml").write_text(FILE.format(config=config, user=user(server)))
    env = {"MAINSTAY_SHOP_DSN": server.dsn()}
    said = mainstay("restore", "shop", "--json", cwd=tmp_path, env=env)
    assert said.returncode == 0, said.stderr
    assert [one["kind"] for one in json.loads(said.stdout)["bases"]] == ["full", "incr"]
    planned = mainstay("restore", "shop", "--new-server", "/tmp/nowhere", "--dry-run", cwd=tmp_path, env=env)
    assert "by pgbackrest --config=" in planned.stdout, planned.stderr
    refused = mainstay("restore", "shop", "--to", "latest", "--tables", "life", cwd=tmp_path, env=env)
    assert "pgBackRest brings the whole server back" in refused.stderr


def test_a_restore_that_died_goes_on_but_never_over_a_server_that_is_whole(tmp_path: Path) -> None:
    data, mark = tmp_path / "data", tmp_path / "data.mainstay-restore"
    assert _begin(data, mark, "shop at latest") is False
    _note(mark, {"what": "shop at latest"})
    (data / "global").mkdir()
    (data / "PG_VERSION").touch()
    assert _begin(data, mark, "shop at latest") is True, "pgBackRest was killed"
    (data / "recovery.signal").touch()
    (data / "global" / "pg_control").touch()
    assert _begin(data, mark, "shop at latest") is True, "the replay was killed"
    (data / "recovery.signal").unlink()
    with pytest.raises(MainstayError, match="a whole server"):
        _begin(data, mark, "shop at latest")


async def test_an_archive_that_gets_nothing_is_told(archived: PostgresServer, ports: BackupPorts) -> None:
    repo, away = archived.base / "repo", archived.base / "away"
    repo.rename(away)
    repo.touch()
    try:
        with pytest.raises(JobFailed, match="shop: pgbackrest"):
            await PgBackRestCheck(database="shop").run(Run(ports, "check_log:shop"))
    finally:
        repo.unlink()
        away.rename(repo)


def test_what_is_wrong_with_a_stanza_is_said() -> None:
    taken = {
        "label": "20260921-141320F", "type": "full", "timestamp": {"start": 1000, "stop": 1100}, "error": False,
        "archive": {"start": "A", "stop": "B"}, "database": {"id": 1},
        "info": {"size": 10, "repository": {"delta": 3}},
    }  # fmt: skip
    stanza = {
        "name": "shop", "status": {"code": 0, "message": "ok"}, "backup": [taken],
        "db": [{"id": 1, "system-id": 7, "version": "15"}], "archive": [{"database": {"id": 1}, "max": "C"}],
    }  # fmt: skip
    info = read_info([stanza], "shop")
    settings = WalSettings(engine="pgbackrest", stanza="shop", oldest=3600.0)
    assert (info.newest, info.major, info.since_full(), info.before(1100.0)) == ("C", 15, 0, info.backups[0])
    assert info.before(1050.0) is None
    assert unwell(info, "7", settings, 1200.0) == ""
    assert "another server" in unwell(info, "8", settings, 1200.0)
    assert unwell(info, "7", settings, 9000.0) == "the last backup is 2h 11m old"
    damaged = read_info([{**stanza, "backup": [{**taken, "error": True}]}], "shop")
    assert unwell(damaged, "7", settings, 1200.0) == "there is no backup in stanza shop"
    assert "missing" in unwell(
        read_info([{**stanza, "status": {"code": 1, "message": "missing"}}], "shop"), "7", settings, 1.0
    )
    with pytest.raises(MainstayError, match="has no stanza crm"):
        read_info([stanza], "crm")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "say `to`"),
        ({"to": "vault", "stanza": "shop"}, "say `engine: pgbackrest`"),
        ({"engine": "pgbackrest"}, "say `stanza`"),
        ({"engine": "pgbackrest", "stanza": "shop", "to": "vault"}, "leave `to` out"),
        ({"engine": "pgbackrest", "stanza": "shop", "mode": "synchronous"}, "leave `mode` out"),
        ({"engine": "pgbackrest", "stanza": "--config=x"}, "stanza"),
    ],
)
def test_what_does_not_fit_together_is_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        WalSettings.model_validate(given)


def test_its_jobs_have_the_names_that_commands_and_pages_know() -> None:
    jobs = jobs_of("shop", WalSettings(engine="pgbackrest", stanza="shop"))
    assert sorted(jobs) == ["base_backup:shop", "check_log:shop", "prove_log:shop"]
