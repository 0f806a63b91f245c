"""What a connection does beyond one plain request: late bodies, slow clients, deadlines, ends."""

from __future__ import annotations

import logging
from functools import partial

import pytest

from mainstay.edge.http.exchange import Exchange
from mainstay.edge.http.limits import HeadLimits, Limits
from mainstay.ports.clock import FakeClock
from tests.edge.door import Answering, Ledger, Reading, calling, serving
from tests.edge.problems import problem
from tests.helpers import aeventually

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
ROOMY = Limits(head=HeadLimits(body=200_000_000))
MEGABYTE = b"x" * 1_000_000


async def test_head_gets_the_length_and_no_body() -> None:
    handler = Answering(lambda exchange: exchange.respond(200, [], b"hello"))
    async with serving(handler) as server, calling(server) as client:
        client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
        status, headers, body = await client.answer(b"HEAD")
        assert (status, headers[b"content-length"], body) == (200, b"5", b"")
        assert (await client.answer())[2] == b"hello"


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_that_have_no_body(status: int) -> None:
    handler = Answering(lambda exchange: exchange.respond(status, [], b""))
    async with serving(handler) as server, calling(server) as client:
        client.send(GET + GET)
        for _ in range(2):
            found, headers, _ = await client.answer()
            assert found == status
            assert b"content-length" not in headers


async def test_every_answer_says_when_and_how_long() -> None:
    def answer(exchange: Exchange) -> None:
        exchange.respond(200, [(b"content-length", b"99"), (b"connection", b"x"), (b"date", b"y")], b"hello")

    async with serving(Answering(answer), clock=FakeClock()) as server, calling(server) as client:
        client.send(GET)
        _, headers, body = await client.answer()
        assert body == b"hello"
        assert headers == {b"date": b"Thu, 28 May 2026 20:26:40 GMT", b"content-length": b"5"}


@pytest.mark.parametrize("bad", [b"a\r\nX-User-ID: 1", b"a\nb", b"a\rb", b"a\0b"])
async def test_a_header_of_an_answer_cannot_hold_another(
    bad: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.respond(200, [(b"x", bad)], b"")

    async with serving(Answering(answer)) as server, calling(server) as client:
        client.send(GET)
        assert problem(*await client.answer())["error"] == "internal"
        assert "a handler broke" in caplog.text


async def test_a_body_of_unknown_length_comes_in_chunks_and_ends_the_connection_in_10() -> None:
    def answer(exchange: Exchange) -> None:
        exchange.begin(200, [], None)
        exchange.write(b"hel")
        exchange.write(b"l" * 5000)
        exchange.write(b"")
        exchange.end()

    async with serving(Answering(answer)) as server, calling(server) as client:
        client.send(GET)
        _, headers, body = await client.answer()
        assert headers[b"transfer-encoding"] == b"chunked"
        assert body == b"hel" + b"l" * 5000
        client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        _, headers, body = await client.answer()
        assert b"transfer-encoding" not in headers
        assert body == b"hel" + b"l" * 5000


@pytest.mark.parametrize("length", [4, 6])
async def test_an_answer_of_the_wrong_length_never_looks_whole(length: int) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.begin(200, [], length)
        exchange.write(b"hello")
        exchange.end()

    async with serving(Answering(answer)) as server, calling(server) as client:
        client.send(GET)
        assert b"hello" not in (await client.ended())[-length:] or length == 6
        assert server.open == 0


async def test_a_second_answer_is_an_error_of_ours() -> None:
    found: list[Exchange] = []
    async with serving(Answering(found.append)) as server, calling(server) as client:
        client.send(GET)
        await aeventually(lambda: found)
        found[0].respond(200)
        with pytest.raises(RuntimeError):
            found[0].respond(200)
        with pytest.raises(RuntimeError):
            found[0].begin(200, [], 1)
        assert (await client.answer())[0] == 200


async def test_a_handler_that_breaks_answers_500_and_the_server_lives(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def answer(exchange: Exchange) -> None:
        raise ValueError(exchange.head.target)

    async with serving(Answering(answer)) as server:
        for _ in range(2):
            async with calling(server) as client:
                client.send(GET)
                assert (await client.answer())[0] == 500
                assert await client.ended() == b""
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2


async def test_a_body_that_is_asked_for_late_is_whole() -> None:
    ledger = Ledger()
    found: list[Exchange] = []
    async with serving(Answering(found.append)) as server, calling(server) as client:
        client.send(POST + b"hello")
        await aeventually(lambda: found)
        found[0].receive(Reading(ledger, found[0]))
        assert (await client.answer())[0] == 200
        assert ledger.seen == [b"POST / hello"]
        client.send(GET)
        await aeventually(lambda: len(found) == 2)
        found[1].receive(Reading(ledger, found[1]))
        assert (await client.answer())[0] == 200


async def test_a_short_body_that_nobody_wants_is_dropped() -> None:
    handler = Answering(lambda exchange: exchange.respond(401))
    async with serving(handler) as server, calling(server) as client:
        client.send(POST)
        assert (await client.answer())[0] == 401
        client.send(b"hello" + GET)
        assert (await client.answer())[0] == 401


async def test_a_long_body_that_nobody_wants_ends_the_connection_after_the_answer() -> None:
    handler = Answering(lambda exchange: exchange.respond(401, [], b"no"))
    async with serving(handler, ROOMY) as server, calling(server) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n" + MEGABYTE)
        status, headers, body = await client.answer()
        assert (status, headers[b"connection"], body) == (401, b"close", b"no")
        client.send(MEGABYTE)
        assert await client.ended() == b""


async def test_100_continue_is_said_when_the_body_is_asked_for() -> None:
    ledger = Ledger()
    found: list[Exchange] = []
    head = POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
    async with serving(Answering(found.append)) as server, calling(server) as client:
        client.send(head)
        await aeventually(lambda: found)
        found[0].receive(Reading(ledger, found[0]))
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"hello")
        assert (await client.answer())[0] == 200
        assert ledger.seen == [b"POST / hello"]


async def test_who_is_refused_before_100_continue_may_keep_the_body() -> None:
    handler = Answering(lambda exchange: exchange.respond(401))
    head = POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
    async with serving(handler) as server, calling(server) as client:
        client.send(head)
        status, headers, _ = await client.answer()
        assert (status, headers[b"connection"]) == (401, b"close")
        assert await client.ended() == b""


async def test_requests_sent_ahead_wait_for_a_slow_answer() -> None:
    found: list[Exchange] = []
    async with serving(Answering(found.append)) as server, calling(server) as client:
        client.send(GET + b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        await aeventually(lambda: found)
        found[0].respond(200, [], b"1")
        await aeventually(lambda: len(found) == 2)
        assert found[1].head.target == b"/2"
        found[1].respond(200, [], b"2")
        assert [(await client.answer())[2] for _ in range(2)] == [b"1", b"2"]


async def test_what_is_sent_ahead_without_end_is_not_read() -> None:
    found: list[Exchange] = []
    async with serving(Answering(found.append)) as server, calling(server) as client:
        client.send(GET * 400_000)
        await aeventually(lambda: found)
        await aeventually(client.writer.transport.get_write_buffer_size)
        assert server.buffered < 1_000_000
        assert len(found) == 1


async def test_who_sends_ahead_lets_others_in_between() -> None:
    order: list[bytes] = []

    def answer(exchange: Exchange) -> None:
        order.append(exchange.head.target)
        exchange.respond(200)

    limits = Limits(pipeline=3)
    async with (
        serving(Answering(answer), limits) as server,
        calling(server) as greedy,
        calling(server) as modest,
    ):
        await aeventually(lambda: server.open == 2)
        greedy.send(GET * 50)
        modest.send(b"GET /modest HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await modest.answer())[0] == 200
        assert order.index(b"/modest") <= 6
        assert [(await greedy.answer())[0] for _ in range(50)] == [200] * 50


async def test_who_does_not_read_answers_gets_no_more_of_them() -> None:
    served = 0

    def answer(exchange: Exchange) -> None:
        nonlocal served
        served += 1
        exchange.respond(200, [], MEGABYTE)

    async with serving(Answering(answer)) as server, calling(server) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(GET * 100)
        await aeventually(lambda: served)
        async with calling(server) as other:
            other.send(GET)
            await other.answer()
        assert served < 12
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(100):
            assert len((await client.answer())[2]) == len(MEGABYTE)


async def test_back_pressure_reaches_the_handler_and_ends() -> None:
    stalled: list[Exchange] = []
    sent = 0

    def answer(exchange: Exchange) -> None:
        exchange.begin(200, [], 50 * len(MEGABYTE))
        more(exchange)

    def more(exchange: Exchange) -> None:
        nonlocal sent
        while sent < 50:
            sent += 1
            if not exchange.write(MEGABYTE):
                stalled.append(exchange)
                exchange.on_drain(lambda: more(exchange))
                return
        exchange.end()

    async with serving(Answering(answer)) as server, calling(server) as client:
        client.send(GET)
        assert len((await client.answer())[2]) == 50 * len(MEGABYTE)
        assert len(stalled) > 5


def grown(body: bytearray, before: int) -> bool:
    return len(body) > before


async def test_a_body_stops_coming_while_the_handler_pauses() -> None:
    class Pausing(Reading):
        def data(self, piece: bytes) -> None:
            super().data(piece)
            self.exchange.pause()

    ledger = Ledger()
    readings: list[Pausing] = []

    def answer(exchange: Exchange) -> None:
        readings.append(Pausing(ledger, exchange))
        exchange.receive(readings[0])

    async with serving(Answering(answer), ROOMY) as server, calling(server) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n" + 100 * MEGABYTE)
        await aeventually(lambda: readings and readings[0].body)
        assert len(readings[0].body) < 1_000_000
        assert server.buffered < 1_000_000
        pieces = 0
        while len(readings[0].body) < 100_000_000:
            before = len(readings[0].body)
            readings[0].exchange.resume()
            await aeventually(partial(grown, readings[0].body, before))
            pieces += 1
        assert pieces > 100
        assert (await client.answer())[0] == 200


async def test_a_client_that_goes_is_told_of_once() -> None:
    ledger = Ledger()
    async with serving(ledger) as server:
        async with calling(server) as client:
            client.send(POST + b"hel")
            await aeventually(lambda: ledger.begun)
        await aeventually(lambda: ledger.lost)
        exchange = ledger.begun[0]
        assert exchange.gone
        exchange.respond(200, [], b"too late")
        assert server.open == 0
    assert ledger.lost == 1
    assert ledger.seen == []


async def test_a_client_that_goes_while_it_waits_is_told_of() -> None:
    class Waiting(Reading):
        def end(self) -> None:
            self.ledger.seen.append(bytes(self.body))

    ledger = Ledger()
    handler = Answering(lambda exchange: exchange.receive(Waiting(ledger, exchange)))
    async with serving(handler) as server:
        async with calling(server) as client:
            client.send(POST + b"hello")
            await aeventually(lambda: ledger.seen)
            client.writer.write_eof()
        await aeventually(lambda: ledger.lost == 1)


async def test_an_answer_that_is_aborted_ends_without_its_end() -> None:
    def answer(exchange: Exchange) -> None:
        exchange.begin(200, [], None)
        exchange.write(b"half")
        exchange.abort()

    async with serving(Answering(answer)) as server, calling(server) as client:
        client.send(GET)
        assert not (await client.ended()).endswith(b"0\r\n\r\n")


async def test_a_tunnel_passes_bytes_both_ways() -> None:
    class Echo:
        def __init__(self, exchange: Exchange) -> None:
            self.exchange = exchange

        def data(self, piece: bytes) -> None:
            self.exchange.write(piece.upper())

        def end(self) -> None:
            self.exchange.end()

        def lost(self) -> None:
            pass

    def answer(exchange: Exchange) -> None:
        assert exchange.head.upgrade == b"websocket"
        exchange.tunnel(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", Echo(exchange))

    head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n"
    async with serving(Answering(answer)) as server, calling(server) as client:
        client.send(head + b"early ")
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        expected = b"HTTP/1.1 101 Switching Protocols\r\n\r\nEARLY GET / HTTP/1.1\r\n\r\n"
        assert await client.reader.readexactly(len(expected)) == expected
        client.writer.write_eof()
        assert await client.ended() == b""


async def test_there_is_a_most_of_connections() -> None:
    limits = Limits(connections=2)
    async with (
        serving(Ledger(), limits) as server,
        calling(server) as one,
        calling(server) as two,
        calling(server) as three,
    ):
        status, headers, _ = await three.answer()
        assert (status, headers[b"connection"]) == (503, b"close")
        assert headers[b"retry-after"]
        one.send(GET)
        assert (await one.answer())[0] == 200
        two.close()
        three.close()
        await aeventually(lambda: server.open == 1)
        async with calling(server) as four:
            four.send(GET)
            assert (await four.answer())[0] == 200
