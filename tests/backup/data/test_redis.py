"""Redis: its own snapshot, loaded into a throwaway server, keys and contents compared."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstay.backup.data.base import DataError, Unprovable
from mainstay.backup.data.redis import DUMP, RedisData
from mainstay.backup.data.redis_sandbox import _excuse
from mainstay.backup.dump import DumpError
from mainstay.core.errors import MainstayError
from mainstay.core.secret import SecretUrl
from mainstay.store.backups import BackupState
from tests.backup.data.room import Room, equal, flip
from tests.helpers import ROOT, eventually
from tests.servers.redis import RedisServer

AT_ONCE = ("--repl-diskless-sync-delay", "0")
"""A replica is served at once: there is only ours."""


@pytest.fixture(scope="module")
def shared() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder), *AT_ONCE)
        yield server
        server.stop()


@pytest.fixture
def server(shared: RedisServer) -> RedisServer:
    """A Redis with one key of each type, in two databases."""
    shared.flush()
    with shared.client() as client:
        client.set("greeting", "hello")
        client.set(b"\xff\x00odd", b"\x00\x01")
        client.set("session", "soon over", px=3_600_000)
        client.set("over", "in a moment", px=1)
        client.rpush("queue", *range(50))
        client.sadd("tags", *"abcdef")
        client.hset("user:1", mapping={"name": "Ada", "born": "1815"})
        client.zadd("scores", {"a": 0.1, "b": float("inf"), "c": 1e-300})
        client.xadd("events", {"what": "login"})
        client.mset({f"bulk:{n}": os.urandom(20) for n in range(500)})
        client.select(3)
        client.set("elsewhere", "too")
    return shared


def secret(url: str) -> SecretUrl:
    return SecretUrl("redis_url", url)


async def test_a_server_is_taken_and_proven(room: Room, server: RedisServer) -> None:
    room.set(RedisData, url=secret(server.url))
    outcome = await room.backup()
    assert outcome.data["proven"] is True
    backup = await room.house.get(outcome.data["backup"])
    assert backup.rows in (509, 510)  # the key that is over may be in the snapshot, and then is in the copy
    manifest = room.manifest(backup)
    assert manifest.program.startswith("Redis ")
    assert int(manifest.facts["sampled"]) > 100
    assert [name for name in room.house.files() if "scratch" in name] == []


async def test_it_fills_an_empty_server(room: Room, server: RedisServer, redis: RedisServer) -> None:
    room.set(RedisData, url=secret(server.url))
    backup = await room.proven()
    done = await room.restore(backup, redis.url)
    assert equal(done.judgement)
    with redis.client() as there, server.client() as here:
        assert sorted(there.lrange("queue", 0, -1)) == sorted(here.lrange("queue", 0, -1))
        assert there.zrange("scores", 0, -1, withscores=True) == here.zrange("scores", 0, -1, withscores=True)
        assert there.get(b"\xff\x00odd") == b"\x00\x01"
        assert 3_000_000 < there.pttl("session") <= 3_600_000
        assert there.exists("over") == 0
        there.select(3)
        assert there.get("elsewhere") == b"too"
    with pytest.raises(MainstayError, match=r"there are .* keys in"):
        await room.restore(backup, redis.url, replace=True)


async def test_it_comes_back_as_a_file_that_redis_loads(
    room: Room, server: RedisServer, tmp_path: Path
) -> None:
    room.set(RedisData, url=secret(server.url))
    backup = await room.proven()
    folder = tmp_path / "there"
    folder.mkdir()
    done = await room.restore(backup, folder / "dump.rdb")
    assert equal(done.judgement)
    assert done.next is not None
    assert (folder / "dump.rdb").stat().st_mode & 0o777 == 0o600
    again = RedisServer(folder)
    try:
        with again.client() as client:
            assert client.hget("user:1", "name") == b"Ada"
    finally:
        again.stop()


async def test_a_flipped_bit_is_found(room: Room, server: RedisServer) -> None:
    room.set(RedisData, url=secret(server.url))
    backup = await room.proven()
    flip(room.object(backup, DUMP))
    assert (await room.house.prove(backup)).verdict is BackupState.FAILED


async def test_contents_that_are_others_in_the_copy_are_found(room: Room, server: RedisServer) -> None:
    """The sample was read from the server itself: a dump of something else is not equal to it."""
    from mainstay.backup.data.redis import _compared, connected
    from mainstay.backup.data.redis_content import keys_by_database, sample

    room.set(RedisData, url=secret(server.url))
    backup = await room.proven()
    async with connected(server.url, None) as there:
        seen = await sample(there, await keys_by_database(there))
        with server.client() as client:
            for each in seen:
                if each.type == "string":
                    client.select(each.db)
                    client.set(bytes.fromhex(each.key), "changed")
        judgement = await _compared(room.manifest(backup), there, seen, gone=0)
    assert judgement.verdict is BackupState.FAILED
    assert "sampled keys" in judgement.differences[0].what


async def test_writes_meanwhile_are_no_difference(room: Room, server: RedisServer) -> None:
    stop, writing = threading.Event(), threading.Event()

    def write() -> None:
        with server.client() as client:
            turn = 0
            while not stop.is_set():
                turn += 1
                client.mset({f"bulk:{n}": f"{turn}" for n in range(500)})
                client.lpush("queue", turn)
                writing.set()

    thread = threading.Thread(target=write)
    thread.start()
    writing.wait()
    try:
        room.set(RedisData, url=secret(server.url))
        await room.proven()
    finally:
        stop.set()
        thread.join()


async def test_a_server_that_dies_meanwhile_leaves_no_backup(room: Room) -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder), *AT_ONCE, "--rdb-key-save-delay", "2000")
        try:
            with server.client() as client:
                client.mset({f"key:{n}": os.urandom(5000) for n in range(1000)})
            room.set(RedisData, url=secret(server.url))
            run = room.house.run()

            def told(label: str) -> None:
                if label == "dumping":
                    threading.Timer(0.3, server.kill).start()

            run.on_progress = told
            with pytest.raises((DataError, DumpError)):
                await room.backup(run)
        finally:
            server.stop()
    assert await room.house.all() == []
    assert room.house.files() == []


async def test_an_account_with_the_documented_rights_is_enough_and_a_wrong_password_is_said(
    room: Room, server: RedisServer
) -> None:
    page = (ROOT / "docs/how-to/back-up-other-data.md").read_text()
    rights = next(line for line in page.splitlines() if line.startswith("ACL SETUSER backup"))
    with server.client() as client:
        client.execute_command(*rights.replace("PASSWORD", "right-horse").split())
    url = f"redis://backup:right-horse@127.0.0.1:{server.port}"
    room.set(RedisData, url=secret(url.replace("right", "wr0ng")))
    with pytest.raises(DataError, match="invalid username-password") as fault:
        await room.backup()
    assert "wr0ng-horse" not in str(fault.value)
    room.set(RedisData, url=secret(url), rules={"prove": "0 4 * * 0"})
    run = room.house.run()
    await room.backup(run)
    assert "right-horse" not in run.said
    assert int(room.manifest(await room.newest()).facts["sampled"]) > 100


async def test_an_empty_server_may_be_the_wrong_one(room: Room, shared: RedisServer) -> None:
    shared.flush()
    room.set(RedisData, url=secret(shared.url))
    with pytest.raises(DataError, match="there is no key"):
        await room.backup()


async def test_without_a_server_program_it_is_unproven_and_says_why(
    room: Room, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.set(RedisData, url=secret(server.url))
    monkeypatch.setattr("mainstay.backup.data.redis_sandbox.PROGRAM", "redis-server-that-is-not-there")
    outcome = await room.backup()
    assert (outcome.data["verdict"], outcome.data["proven"]) == ("taken", False)
    assert "unproven because there is no redis-server" in outcome.summary
    assert (await room.newest()).state is BackupState.TAKEN


async def test_keys_whose_time_is_over_are_no_difference(room: Room, server: RedisServer) -> None:
    """A throwaway server keeps them, and hides them: a proof of sessions would fail an hour later."""
    server.flush()
    with server.client() as client:
        for n in range(20):
            client.set(f"session:{n}", "v", px=2000)
        client.set("stays", "x")
        room.set(RedisData, url=secret(server.url), rules={"prove": "0 4 * * 0"})
        await room.backup()
        eventually(lambda: not client.exists("session:19"))
    proof = await room.house.prove(await room.newest())
    assert proof.verdict is BackupState.PROVEN, proof


async def test_what_another_server_does_not_take_is_said(
    room: Room, server: RedisServer, tmp_path: Path
) -> None:
    """Never into another database instead, and never that all is equal."""
    room.set(RedisData, url=secret(server.url), rules={"prove": "0 4 * * 0"})
    await room.backup()
    less = RedisServer(tmp_path, "--databases", "2", "--rename-command", "FUNCTION", "")
    try:
        with pytest.raises(DataError, match="has no database 3"):
            await room.restore(await room.newest(), less.url)
        less.flush()
        with server.client() as client:
            client.select(3)
            client.flushdb()
            client.function_load("#!lua name=ours\nredis.register_function('one', function() return 1 end)")
        room.house.clock.step(3600)
        await room.backup()
        with pytest.raises(DataError, match="the functions are not"):
            await room.restore(await room.newest(), less.url)
    finally:
        with server.client() as client:
            client.function_flush("SYNC")
        less.stop()


def test_a_machine_that_cannot_load_a_dump_says_nothing_about_it() -> None:
    _excuse(1, "Wrong signature trying to load DB from file")
    for code, said in ((None, ""), (137, ""), (134, "Out Of Memory allocating 4096 bytes")):
        with pytest.raises(Unprovable):
            _excuse(code, said)
