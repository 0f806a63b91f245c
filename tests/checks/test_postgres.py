"""Checks of real PostgreSQL servers: alone, full, as primary and replica, and of other things on the port."""

from __future__ import annotations

import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mainstay.checks import PostgresCheck
from mainstay.core.check import Answer, Check, Verdict
from mainstay.core.secret import SecretUrl
from tests.helpers import aeventually
from tests.places import Say
from tests.servers.postgres import PostgresServer
from tests.servers.process import free_port

Ask = Callable[[Check], Awaitable[Answer]]


def check(dsn: str, **options: Any) -> PostgresCheck:
    return PostgresCheck.model_validate({"dsn": SecretUrl("dsn", dsn), **options})


async def test_a_healthy_server(database: str, ask: Ask) -> None:
    answer = await ask(check(database))
    assert answer.verdict is Verdict.OK, answer.detail
    assert answer.detail.startswith("answers in ")
    assert answer.facts["role"] == "primary"
    assert answer.facts["connections_limit"] == 57
    assert 1 <= answer.facts["connections"] < 20
    assert answer.facts["version"][0].isdigit()
    assert {"dns", "connect", "first_byte"} <= answer.facts.keys()


@pytest.mark.parametrize(
    ("query", "expect", "complaint"),
    [
        ("SELECT count(*) FROM generate_series(1, 5)", "< 10", None),
        ("SELECT count(*) FROM generate_series(1, 50)", "< 10", "the query gives 50, expected < 10"),
        ("SELECT 'green'", "green", None),
        ("SELECT 1.5::numeric", 1.5, None),
        ("SELECT true", True, None),
        ("SELECT DATE '2026-01-02'", "2026-01-02", None),
        ("SELECT 1 WHERE false", None, None),
        ("SELECT 1 WHERE false", 1, "the query gives null, expected = 1"),
        ("CREATE TABLE t (a int)", 1, "read-only transaction"),
        ("SELECT nonsense", 1, 'column "nonsense" does not exist'),
    ],
)
async def test_a_query_of_ones_own(
    database: str, ask: Ask, query: str, expect: Any, complaint: str | None
) -> None:
    answer = await ask(check(database, query=query, expect=expect))
    if complaint is None:
        assert answer.verdict is Verdict.OK, answer.detail
    else:
        assert answer.verdict is Verdict.FAIL
        assert complaint in answer.detail


async def test_a_query_that_hangs_is_ended_on_the_server(
    postgres: PostgresServer, database: str, ask: Ask
) -> None:
    answer = await ask(check(database, query="SELECT 1 FROM pg_sleep(30)", expect=1, timeout="300ms"))
    assert answer.verdict is Verdict.FAIL
    sleeping = (
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND pid <> pg_backend_pid()"
    )
    await aeventually(lambda: postgres.execute(f"{sleeping} AND state = 'active'") == [(0,)])


async def test_a_full_server(postgres: PostgresServer, database: str, ask: Ask) -> None:
    with ExitStack() as stack:
        for _ in range(30):
            stack.enter_context(postgres.connect())
        answer = await ask(check(database, connections_warn="50%"))
        assert answer.verdict is Verdict.WARN
        assert "of 57 connections are in use (5" in answer.detail
        answer = await ask(check(database, connections_fail="50%"))
        assert answer.verdict is Verdict.FAIL


async def test_a_plain_account_sees_the_same_figures(
    postgres: PostgresServer, database: str, ask: Ask
) -> None:
    postgres.execute("CREATE ROLE watcher LOGIN")
    try:
        answer = await ask(check(database.replace("postgres@", "watcher@"), max_replication_lag="1m"))
        assert answer.verdict is Verdict.OK, answer.detail
        assert answer.facts["replication_lag"] == 0.0
        assert answer.facts["connections"] >= 1
    finally:
        postgres.execute("DROP ROLE watcher")


async def test_no_server_and_no_database(database: str, ask: Ask) -> None:
    port = free_port()
    answer = await ask(check(f"postgresql://postgres@localhost:{port}/x"))
    assert answer.verdict is Verdict.FAIL
    assert "Connection refused" in answer.detail
    assert "\n" not in answer.detail
    answer = await ask(check(f"{database}_gone"))
    assert "does not exist" in answer.detail


async def test_other_things_on_the_port(say: Say, ask: Ask) -> None:
    port = await say(b"", hang=True)
    answer = await ask(check(f"postgresql://localhost:{port}/x", timeout="200ms"))
    assert answer.detail == f"timed out after 200ms connecting to localhost:{port}/x"
    answer = await ask(check(f"postgresql://localhost:{await say(b'HTTP/1.1 400 Bad Request')}/x"))
    assert answer.verdict is Verdict.FAIL


async def test_the_password_stays_secret(debian_postgres: PostgresServer, ask: Ask) -> None:
    answer = await ask(check(debian_postgres.dsn("nowhere", "s3cr3t-password")))
    assert answer.verdict is Verdict.FAIL
    assert "s3cr3t-password" not in answer.detail
    asked = check("postgresql://user:s3cr3t-password@db.example.com:6432/erp")
    assert asked.target() == "db.example.com:6432/erp"
    assert asked.host() == "db.example.com"
    assert "s3cr3t" not in repr(asked)


async def test_an_unknown_name(ask: Ask) -> None:
    answer = await ask(check("postgresql://no-such-host.invalid/x"))
    assert answer.detail == "there is no host named no-such-host.invalid"


def test_targets_of_every_spelling() -> None:
    assert check("host=/run/postgresql dbname=erp").host() is None
    assert check("host=a.example.com,b.example.com").host() == "a.example.com"
    unresolved = PostgresCheck.model_validate({"dsn": {"secret": "erp_dsn"}})
    assert unresolved.host() is None
    assert unresolved.target() == "localhost:5432"


def test_query_and_expect_belong_together() -> None:
    with pytest.raises(ValidationError, match="belong together"):
        check("postgresql://localhost/x", query="SELECT 1")


class Pair:
    """A primary and its streaming replica."""

    def __init__(self, primary: PostgresServer, replica: PostgresServer) -> None:
        self.primary = primary
        self.replica = replica


@pytest.fixture
def pair(postgres: PostgresServer) -> Iterator[Pair]:
    replica = PostgresServer(postgres.bin)
    try:
        replica.stop()
        copy_of(postgres, replica)
        replica.start()
        yield Pair(postgres, replica)
    finally:
        replica.remove()


def copy_of(primary: PostgresServer, replica: PostgresServer) -> None:
    as_owner: dict[str, Any] = {}
    if replica.servant:
        as_owner = {"user": replica.servant.pw_uid, "group": replica.servant.pw_gid, "extra_groups": []}
    target = replica.base / "copy"
    source = f"host={primary.host} port={primary.port} user={primary.user}"
    argv = [primary.bin / "pg_basebackup", "-d", source, "-D", target, "-R", "-X", "stream", "-c", "fast"]
    subprocess.run(
        [*map(str, argv)], check=True, capture_output=True, cwd=replica.base, timeout=60, **as_owner
    )
    auto = (target / "postgresql.auto.conf").read_text()
    conninfo = [line for line in auto.splitlines() if line.startswith("primary_conninfo")]
    (target / "postgresql.conf").write_text(
        (target / "postgresql.conf").read_text() + "\n" + "\n".join(conninfo)
    )
    (Path(replica.data)).rename(replica.base / "old")
    target.rename(replica.data)


async def test_replication(pair: Pair, ask: Ask) -> None:
    primary, replica = pair.primary, pair.replica

    async def streams() -> bool:
        answer = await ask(check(primary.dsn(), max_replication_lag="1m", replicas=1))
        return answer.verdict is Verdict.OK and answer.facts["replicas"] == 1

    await aeventually(streams)
    answer = await ask(check(primary.dsn(), replicas=2))
    assert answer.verdict is Verdict.FAIL
    assert answer.detail == "1 replicas are connected, expected at least 2"
    answer = await ask(check(replica.dsn(), max_replication_lag="1m"))
    assert answer.verdict is Verdict.OK, answer.detail
    assert answer.facts["role"] == "replica"
    replica.execute("SELECT pg_wal_replay_pause()")
    primary.execute("CREATE TABLE IF NOT EXISTS moving (a int)")
    primary.execute("INSERT INTO moving VALUES (1)")

    async def behind() -> bool:
        answer = await ask(check(replica.dsn(), max_replication_lag="1ms"))
        return answer.verdict is Verdict.FAIL and "behind, at most 1ms is fine" in answer.detail

    await aeventually(behind)
    primary.execute("DROP TABLE moving")
