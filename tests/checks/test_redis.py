"""Checks of real Redis servers: with a password, over TLS, over a socket, full; and of something else on the port."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mainstay.checks import RedisCheck
from mainstay.core.check import Answer, Check, Verdict
from mainstay.core.errors import MainstayError
from mainstay.core.secret import IN_FILE, SecretUrl
from tests.helpers import aeventually
from tests.places import Say
from tests.servers.authority import Authority
from tests.servers.process import free_port
from tests.servers.redis import RedisServer

Ask = Callable[[Check], Awaitable[Answer]]


def check(url: str, **options: object) -> RedisCheck:
    return RedisCheck.model_validate({"url": SecretUrl("redis_url", url), **options})


@contextmanager
def running(directory: Path, *arguments: str) -> Iterator[RedisServer]:
    server = RedisServer(directory, *arguments)
    try:
        yield server
    finally:
        server.stop()


async def test_a_healthy_redis(redis: RedisServer, ask: Ask) -> None:
    answer = await ask(check(redis.url))
    assert answer.verdict is Verdict.OK
    assert answer.detail.startswith("PONG in ")
    assert answer.facts["role"] == "master"
    assert answer.facts["memory_used"] > 100_000
    assert answer.facts["clients"] >= 1
    assert answer.facts["version"][0].isdigit()


async def test_another_database_and_one_too_many(redis: RedisServer, ask: Ask) -> None:
    base = f"redis://127.0.0.1:{redis.port}"
    assert (await ask(check(f"{base}/3"))).verdict is Verdict.OK
    answer = await ask(check(f"{base}/999"))
    assert answer.verdict is Verdict.FAIL
    assert "DB index is out of range" in answer.detail


async def test_a_stopped_redis_is_refused(ask: Ask) -> None:
    port = free_port()
    answer = await ask(check(f"redis://localhost:{port}"))
    assert answer.verdict is Verdict.FAIL
    assert answer.detail == f"connection refused by localhost:{port}"


async def test_passwords(redis: RedisServer, ask: Ask) -> None:
    with redis.client() as client:
        client.acl_setuser("watcher", enabled=True, passwords=["+p@ss/w:rd"], commands=["+ping", "+auth"])
    base = f"127.0.0.1:{redis.port}"
    answer = await ask(check(f"redis://watcher:p%40ss%2Fw%3Ard@{base}"))
    assert answer.verdict is Verdict.OK
    assert "memory_used" not in answer.facts
    answer = await ask(check(f"redis://watcher:wrong-one@{base}"))
    assert answer.verdict is Verdict.FAIL
    assert answer.detail.startswith("Redis answers: WRONGPASS")
    assert "wrong-one" not in answer.detail


async def test_a_full_memory(redis: RedisServer, ask: Ask) -> None:
    with redis.client() as client:
        used = int(client.info("memory")["used_memory"])
        client.config_set("maxmemory", used + 44_000_000)
        try:
            assert (await ask(check(redis.url))).verdict is Verdict.OK
            for number in range(12):
                client.set(f"big:{number}", b"x" * 3_000_000)
            answer = await ask(check(redis.url))
            assert answer.verdict is Verdict.WARN
            assert "% of its memory is used" in answer.detail
            answer = await ask(check(redis.url, memory_fail="82%"))
            assert answer.verdict is Verdict.FAIL
            client.config_set("maxmemory-policy", "allkeys-lru")
            assert (await ask(check(redis.url, memory_fail="82%"))).verdict is Verdict.OK
        finally:
            client.config_set("maxmemory", 0)
            client.config_set("maxmemory-policy", "noeviction")


async def test_tls_and_a_socket(tmp_path: Path, authority: Authority, ask: Ask) -> None:
    certificate, key = authority.issue("localhost")
    port, socket = free_port(), tmp_path / "redis.sock"
    arguments = ["--tls-port", str(port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    arguments += [
        "--tls-ca-cert-file",
        str(authority.ca),
        "--tls-auth-clients",
        "no",
        "--unixsocket",
        str(socket),
    ]
    with running(tmp_path, *arguments):
        url = f"rediss://localhost:{port}"
        answer = await ask(check(url, ca=authority.ca))
        assert answer.verdict is Verdict.OK, answer.detail
        assert answer.facts["tls"] > 0
        assert "not trusted" in (await ask(check(url))).detail
        assert (await ask(check(url, verify=False))).verdict is Verdict.OK
        assert (await ask(check(f"unix://{socket}?db=2"))).verdict is Verdict.OK
    answer = await ask(check(f"unix://{socket}"))
    assert answer.verdict is Verdict.FAIL
    assert str(socket) in answer.detail


async def test_a_replica_without_its_primary(redis: RedisServer, tmp_path: Path, ask: Ask) -> None:
    with running(tmp_path, "--replicaof", "127.0.0.1", str(redis.port)) as replica:

        async def linked() -> bool:
            return (await ask(check(replica.url))).facts.get("link") == "up"

        await aeventually(linked)
        with replica.client() as client:
            client.replicaof("127.0.0.1", free_port())
        answer = await ask(check(replica.url))
        assert answer.verdict is Verdict.WARN
        assert "lost the connection to its primary" in answer.detail


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$x\r\n", b"*1\r\n$4\r\nPONG\r\n"])
async def test_something_else_on_the_port(say: Say, ask: Ask, said: bytes) -> None:
    answer = await ask(check(f"redis://127.0.0.1:{await say(said)}"))
    assert answer.verdict is Verdict.FAIL
    assert "something that is not its protocol" in answer.detail


async def test_silence_and_a_hang_up(say: Say, ask: Ask) -> None:
    port = await say(b"", hang=True)
    answer = await ask(check(f"redis://127.0.0.1:{port}", timeout="100ms"))
    assert answer.detail == f"timed out after 100ms waiting for the answer of 127.0.0.1:{port}"
    answer = await ask(check(f"redis://127.0.0.1:{await say(b'')}"))
    assert answer.verdict is Verdict.FAIL


async def test_another_kind_of_url(ask: Ask) -> None:
    with pytest.raises(MainstayError, match="not the URL of a Redis"):
        await ask(check("http://localhost:6379"))


def test_what_is_shown_holds_no_password() -> None:
    asked = check("redis://user:hunter22@cache.example.com:6380/1")
    assert asked.target() == "cache.example.com:6380"
    assert asked.host() == "cache.example.com"
    assert "hunter22" not in repr(asked)
    unresolved = RedisCheck.model_validate({"url": {"secret": "redis_url"}})
    assert unresolved.target() == "redis"
    assert unresolved.host() is None
    assert RedisCheck(url=SecretUrl(IN_FILE, "unix:///run/redis.sock")).target() == "/run/redis.sock"
