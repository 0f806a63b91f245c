"""Clients that drip, idle or never read, and the end of a server: what the clock decides."""

from __future__ import annotations

import asyncio

import pytest

from mainstay.edge.http.exchange import Exchange
from mainstay.edge.http.limits import HeadLimits, Limits
from mainstay.edge.http.server import Server
from mainstay.ports.clock import FakeClock
from tests.edge.door import SMALL, Answering, Client, Ledger, Reading, calling, serving
from tests.helpers import aeventually

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
ROOMY = Limits(head=HeadLimits(body=200_000_000))
MEGABYTE = b"x" * 1_000_000


async def until_taken(server: Server, count: int) -> None:
    await aeventually(lambda: server.taken >= count)


async def drip(server: Server, client: Client, clock: FakeClock, data: bytes) -> float:
    """Send a byte a second until the server has enough; give how long that took."""
    began = clock.monotonic()
    for at in range(len(data)):
        before = server.taken
        client.send(data[at : at + 1])
        await until_taken(server, before + 1)
        await clock.advance(1)
        if server.served + server.sent_away:
            return clock.monotonic() - began
    raise AssertionError("it was never cut")


async def test_a_head_that_drips_is_cut_at_its_deadline() -> None:
    clock, ledger = FakeClock(), Ledger()
    async with serving(ledger, clock=clock) as server, calling(server) as client:
        took = await drip(server, client, clock, b"GET /" + b"a" * 500)
        assert (await client.answer())[0] == 408
        assert SMALL.head_timeout <= took <= SMALL.head_timeout + 4
        assert ledger.begun == []


async def test_a_body_that_drips_is_cut_at_its_deadline() -> None:
    clock, ledger = FakeClock(), Ledger()
    async with serving(ledger, clock=clock) as server, calling(server) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n")
        await aeventually(lambda: ledger.begun)
        took = await drip(server, client, clock, b"x" * 900)
        assert (await client.answer())[0] == 408
        assert SMALL.body_timeout <= took <= SMALL.body_timeout + 4
        assert ledger.lost == 1


async def test_a_slow_body_that_comes_on_is_not_cut() -> None:
    clock, ledger = FakeClock(), Ledger()
    async with serving(ledger, ROOMY, clock) as server, calling(server) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n")
        await aeventually(lambda: ledger.begun)
        for part in range(9):
            client.send(b"x" * 10_000)
            await until_taken(server, (part + 1) * 10_000)
            await clock.advance(29)
        assert (await client.answer())[0] == 200


async def test_a_body_that_waits_for_us_is_not_cut() -> None:
    clock = FakeClock()
    found: list[Exchange] = []
    ledger = Ledger()
    async with serving(Answering(found.append), clock=clock) as server, calling(server) as client:
        client.send(POST)
        await aeventually(lambda: found)
        await clock.advance(300)
        found[0].receive(Reading(ledger, found[0]))
        client.send(b"hello")
        assert (await client.answer())[0] == 200


@pytest.mark.parametrize("before", [b"", GET])
async def test_an_idle_connection_is_closed_without_a_word(before: bytes) -> None:
    clock = FakeClock()
    async with serving(Ledger(), clock=clock) as server, calling(server) as client:
        client.send(before)
        if before:
            assert (await client.answer())[0] == 200
        await aeventually(lambda: server.open == 1)
        await clock.advance(SMALL.idle_timeout - 5)
        assert server.open == 1
        await clock.advance(10)
        assert await client.ended() == b""


async def test_an_answer_may_take_as_long_as_its_handler_wants() -> None:
    clock = FakeClock()
    found: list[Exchange] = []
    async with serving(Answering(found.append), clock=clock) as server, calling(server) as client:
        client.send(GET)
        await aeventually(lambda: found)
        await clock.advance(3600)
        found[0].respond(200, [], b"late")
        assert (await client.answer())[2] == b"late"


async def test_a_client_that_takes_no_answer_is_cut() -> None:
    clock = FakeClock()

    def answer(exchange: Exchange) -> None:
        exchange.respond(200, [], 20 * MEGABYTE)

    async with serving(Answering(answer), clock=clock) as server, calling(server) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        await aeventually(lambda: server.served == 1)
        for _ in range(4):
            await clock.advance(SMALL.body_timeout + 1)
        await aeventually(lambda: server.open == 0)


async def test_draining_finishes_what_is_under_way_and_closes_the_rest() -> None:
    found: list[Exchange] = []
    async with serving(Answering(found.append)) as server, calling(server) as idle, calling(server) as busy:
        busy.send(GET + GET)
        await aeventually(lambda: found and server.open == 2)
        ending = asyncio.create_task(server.drain(20))
        assert await idle.ended() == b""
        assert not ending.done()
        found[0].respond(200, [], b"last")
        status, headers, body = await busy.answer()
        assert (status, headers[b"connection"], body) == (200, b"close", b"last")
        assert await busy.ended() == b""
        busy.close()
        assert await ending
        assert len(found) == 1


async def test_draining_does_not_wait_for_who_sends_the_rest_of_a_body_that_nobody_wants() -> None:
    async with (
        serving(Answering(lambda exchange: exchange.respond(404))) as server,
        calling(server) as client,
    ):
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
        assert (await client.answer())[0] == 404
        ending = asyncio.create_task(server.drain(3600))
        await aeventually(lambda: server.draining)
        client.send(b"ad all")
        assert await client.ended() == b""
        assert await ending


async def test_draining_ends_when_patience_does() -> None:
    clock = FakeClock()
    found: list[Exchange] = []
    async with serving(Answering(found.append), clock=clock) as server, calling(server) as client:
        client.send(GET)
        await aeventually(lambda: found)
        ending = asyncio.create_task(server.drain(20))
        await clock.advance(21)
        assert not await ending
        assert found[0].gone
        assert await client.ended() == b""
