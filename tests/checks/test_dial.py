"""Connecting: several addresses, early talkers."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator

import pytest

from mainstay.checks import HttpCheck
from mainstay.checks import tls as our_tls
from mainstay.checks.dial import Trail, dial
from mainstay.checks.talk import Talk
from mainstay.core.check import Verdict
from mainstay.ports.clock import SystemClock
from mainstay.ports.place import LocalPlace
from mainstay.ports.resolver import Resolver
from tests.places import Say
from tests.servers.authority import Authority
from tests.servers.process import LOOPBACK, free_port


@pytest.fixture
def full() -> Iterator[tuple[str, int]]:
    """An address that neither accepts nor refuses: its queue of connections is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.2", 0))
        listener.listen(0)
        address = listener.getsockname()
        with socket.create_connection(address), socket.socket() as second:
            second.setblocking(False)
            second.connect_ex(address)
            yield address


def place(*addresses: str) -> LocalPlace:
    clock = SystemClock()
    return LocalPlace(clock, Resolver(clock, lambda host: list(addresses)))


async def heard(there: LocalPlace, port: int) -> bytes:
    transport, talk = await dial(there, "several.example.com", port, Talk, Trail(""))
    try:
        return await talk.until(b"!")
    finally:
        transport.abort()


async def test_an_address_that_refuses_is_passed_over(say: Say) -> None:
    port = await say(b"here!")
    assert await heard(place("127.0.0.3", LOOPBACK), port) == b"here!"


async def test_an_address_that_hangs_costs_a_quarter_of_a_second(full: tuple[str, int]) -> None:
    host, port = full
    with socket.create_server((LOOPBACK, port)) as listener:
        trail = Trail("")
        transport, _ = await dial(place(host, LOOPBACK), "x.example.com", port, Talk, trail)
        connection, _ = listener.accept()
        with connection:
            assert transport.get_extra_info("peername")[0] == LOOPBACK
            transport.abort()
    assert 0.2 < trail.phases["connect"] < 2


async def test_when_all_refuse_that_is_said() -> None:
    with pytest.raises(ConnectionRefusedError):
        await heard(place(LOOPBACK, "127.0.0.3", "127.0.0.4"), free_port())


async def test_what_the_service_says_beats_what_we_lack() -> None:
    # 240.0.0.1 is in a network that nobody may route.
    with pytest.raises(ConnectionRefusedError):
        await heard(place("240.0.0.1", LOOPBACK), free_port())


async def test_giving_up_leaves_no_connection_behind(full: tuple[str, int]) -> None:
    host, port = full
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.4):
            await heard(place(host, host.replace("2", "2")), port)
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_words_before_tls_are_never_an_answer(say: Say, authority: Authority) -> None:
    port = await say(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", hang=True)
    check = HttpCheck(url=f"https://localhost:{port}/", ca=authority.ca)
    answer = await check.probe(place(LOOPBACK))
    assert answer.verdict is Verdict.FAIL
    assert "it does not speak TLS on this port" in answer.detail


async def test_a_page_over_tls(say: Say, authority: Authority) -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    port = await say(said, after=b"\r\n\r\n", tls=authority.issue())
    check = HttpCheck(url=f"https://localhost:{port}/", ca=authority.ca, contains=("hello",))
    for _ in range(3):
        answer = await check.probe(place(LOOPBACK))
        assert answer.verdict is Verdict.OK, answer.detail


async def test_a_refused_certificate_closes_the_connection(say: Say, authority: Authority) -> None:
    port = await say(b"", tls=authority.issue("other.example.com"), hang=True)
    with pytest.raises(ssl.SSLCertVerificationError):
        await dial(
            place(LOOPBACK), "x.example.com", port, Talk, Trail(""), tls=our_tls.context(ca=authority.ca)
        )
