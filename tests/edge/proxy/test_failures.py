"""Origins that fail: what the client is told, and what is never passed off as whole."""

from __future__ import annotations

import asyncio

import pytest

from mainstay.edge.gateway.policy import Ask, Decision
from mainstay.ports.clock import FakeClock
from tests.edge.origins import Behaviour, Call, answer, polite, raw_origin, says
from tests.edge.problems import problem
from tests.edge.proxy.parts import HOST, Open, read_all, read_answer, route, running
from tests.helpers import aeventually
from tests.servers.process import free_port

GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"


def error(said: bytes) -> tuple[int, str]:
    """The status and the code of an answer of the gateway's own."""
    head, _, body = said.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    status = int(first.split(b" ")[1])
    pairs = (line.partition(b": ")[::2] for line in lines)
    told = problem(status, {name.lower(): value for name, value in pairs}, body)
    assert told["request_id"]
    return status, told["error"]


MALFORMED = {
    "both framings": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both, turned round": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "equal lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "list of lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc",
    "signed length": b"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc",
    "huge length": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nabc",
    "empty length": b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nabc",
    "gzip coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
    "gzip then chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked then gzip": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\nabc",
    "chunked twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked on 1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "folded header": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "space before colon": b"HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc",
    "bare CR": b"HTTP/1.1 200 OK\r\nA: b\rSet-Cookie: x\r\nContent-Length: 0\r\n\r\n",
    "NUL": b"HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n",
    "control character": b"HTTP/1.1 200 OK\r\nA: b\x01c\r\nContent-Length: 0\r\n\r\n",
    "no colon": b"HTTP/1.1 200 OK\r\nABC\r\nContent-Length: 0\r\n\r\n",
    "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/0.9": b"<html>hello</html>",
    "status 000": b"HTTP/1.1 000 No\r\nContent-Length: 0\r\n\r\n",
    "status 099": b"HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n",
    "status 600": b"HTTP/1.1 600 No\r\nContent-Length: 0\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 No\r\nContent-Length: 0\r\n\r\n",
    "101 that nobody asked for": b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nabc",
    "bare 101": b"HTTP/1.1 101 Yes\r\n\r\n",
    "a second request line": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 400 + b"Content-Length: 0\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("said", MALFORMED.values(), ids=MALFORMED)
async def test_an_answer_that_can_be_read_in_two_ways_is_not_passed_on(said: bytes) -> None:
    async with raw_origin(says(said)) as origin, running(route(origin.url)) as gateway:
        assert error(await gateway.get()) == (502, "origin_answer_malformed")
        assert len(origin.calls) == 1


async def test_an_answer_with_an_endless_head_is_cut() -> None:
    async def behave(call: Call) -> None:
        await call.request()
        await call.send(b"HTTP/1.1 200 OK\r\nA: ")
        while True:
            await call.send(b"a" * 65536)

    async with raw_origin(behave) as origin, running(route(origin.url)) as gateway:
        assert error(await gateway.get()) == (502, "origin_answer_too_large")


async def test_a_large_head_in_one_piece_is_refused_as_well() -> None:
    large = b"HTTP/1.1 200 OK\r\n" + b"".join(b"A%d: %b\r\n" % (n, b"x" * 1000) for n in range(100)) + b"\r\n"
    async with raw_origin(says(large)) as origin, running(route(origin.url)) as gateway:
        assert error(await gateway.get())[0] == 502


HALF = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    "within a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhalf",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nxyz\r\n\r\n",
    "chunk that ends late": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalfX\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("half", HALF.values(), ids=HALF)
async def test_half_an_answer_is_never_passed_off_as_a_whole_one(half: bytes) -> None:
    async def behave(call: Call) -> None:
        await call.request()
        await call.send(half)

    async with raw_origin(behave) as origin, running(route(origin.url)) as gateway:
        reader, writer = await gateway.connect()
        writer.write(GET)
        said = await read_all(reader)
        assert said.startswith(b"HTTP/1.1 200 OK\r\n")
        assert not said.endswith(b"0\r\n\r\n")
        assert b"content-length: 4\r\n" not in said.lower()
        writer.close()
        assert gateway.counted[0][1] == "origin_died"
        assert len(origin.calls) == 1  # nothing is asked twice once an answer has begun


async def test_a_reset_in_an_answer_that_ends_with_its_connection_is_not_its_end() -> None:
    async def behave(call: Call) -> None:
        await call.request()
        await call.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        call.reset()

    async with raw_origin(behave) as origin, running(route(origin.url)) as gateway:
        reader, writer = await gateway.connect()
        writer.write(GET)
        assert not (await read_all(reader)).endswith(b"0\r\n\r\n")
        writer.close()


async def quits(call: Call) -> None:
    await call.request()


async def quits_within_the_head(call: Call) -> None:
    await call.request()
    await call.send(b"HTTP/1.1 200 OK\r\nContent-Le")


@pytest.mark.parametrize("behave", [quits, quits_within_the_head])
async def test_an_origin_that_goes_before_it_answered(behave: Behaviour) -> None:
    async with raw_origin(behave) as origin, running(route(origin.url)) as gateway:
        assert error(await gateway.get()) == (502, "origin_closed")
        assert len(origin.calls) == 1  # a first request on a connection is not asked again


class Changing(Open):
    """Has other routes after the first question."""

    def decide(self, ask: Ask, now: float, wall: float) -> Decision:
        try:
            return super().decide(ask, now, wall)
        finally:
            self.routes = [route([], name="here")]


async def test_a_route_that_goes_while_the_policy_makes_up_its_mind_is_decided_anew() -> None:
    async with raw_origin() as origin:
        changing = Changing([route([], name="gone")])
        async with running(route(origin.url, name="here"), policy=changing) as gateway:
            assert (await gateway.get()).startswith(b"HTTP/1.1 200 ")
            assert len(changing.asks) == 2


async def test_no_origin_and_nobody_there() -> None:
    async with running(route([])) as gateway:
        assert error(await gateway.get()) == (503, "no_origin")
    async with running(route(f"http://127.0.0.1:{free_port()}")) as gateway:
        said = await gateway.get()
        assert error(said) == (502, "origin_unreachable")
        assert b"retry-after: 1\r\n" in said


def once_then(last: Behaviour) -> Behaviour:
    """Serves one request on each connection, then does something else with the second."""

    async def behave(call: Call) -> None:
        await call.request()
        await call.send(answer(b"first"))
        await last(call)

    return behave


@pytest.mark.parametrize(
    ("method", "body", "again"),
    [(b"GET", b"", True), (b"DELETE", b"", True), (b"POST", b"", False), (b"PUT", b"x", False), (b"PATCH", b"", False)],
)  # fmt: skip
async def test_only_what_can_be_repeated_is_asked_again_and_only_once(
    method: bytes, body: bytes, again: bool
) -> None:
    async with raw_origin(once_then(quits)) as origin, running(route(origin.url)) as gateway:
        await gateway.get()
        said = await gateway.get(method=method, body=body)
        assert origin.heads == (3 if again else 2)
        if again:
            assert said.endswith(b"first")  # on a connection of its own
        else:
            assert error(said) == (502, "origin_closed")


async def test_what_was_heard_in_part_is_not_asked_again() -> None:
    async with raw_origin(once_then(quits_within_the_head)) as origin, running(route(origin.url)) as gateway:
        await gateway.get()
        assert error(await gateway.get()) == (502, "origin_closed")
        assert origin.heads == 2


@pytest.mark.parametrize("late", [b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad"])
async def test_what_an_origin_says_unasked_is_never_an_answer(late: bytes) -> None:
    said_it = asyncio.Event()

    async def behave(call: Call) -> None:
        await call.request()
        await call.send(answer(b"good"))
        await call.send(late)
        said_it.set()
        assert await call.read() == b""

    async with raw_origin(behave) as origin, running(route(origin.url)) as gateway:
        for _ in range(3):
            said_it.clear()
            assert (await gateway.get()).endswith(b"good")
            await said_it.wait()
            await aeventually(lambda: not gateway.plane.state()[0]["origins"][0]["connections"])


@pytest.mark.parametrize("joined", [b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad"])
async def test_what_follows_an_answer_in_the_same_packet_is_never_the_next_answer(joined: bytes) -> None:
    async with raw_origin(says(answer(b"good") + joined)) as origin, running(route(origin.url)) as gateway:
        for _ in range(3):
            assert (await gateway.get()).endswith(b"good")
        assert len(origin.calls) == 3
        for _ in range(2):  # the same past the parser: a body that is longer than one read
            origin.behave = says(answer(b"g" * 400_000) + joined)
            assert (await gateway.get()).endswith(b"g" * 1000)
        assert b"bad" not in b"".join(call.seen for call in origin.calls)


async def test_a_body_after_an_answer_to_head_is_never_the_next_answer() -> None:
    async with (
        raw_origin(says(answer(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad"))) as origin,
        running(route(origin.url)) as gateway,
    ):
        for _ in range(2):
            said = await gateway.get(method=b"HEAD")
            assert said.endswith(b"\r\n\r\n")
            assert b"bad" not in said
        assert len(origin.calls) == 2


async def silent(call: Call) -> None:
    await call.request()
    await call.read()


async def silent_in_the_middle(call: Call) -> None:
    await call.request()
    await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await call.read()


async def test_an_origin_that_does_not_answer_in_time() -> None:
    clock = FakeClock()
    async with raw_origin(silent) as origin, running(route(origin.url), clock=clock) as gateway:
        asking = asyncio.create_task(gateway.get())
        await aeventually(lambda: origin.heads)
        await clock.advance(59)
        assert not asking.done()
        await clock.advance(3)
        assert error(await asking) == (504, "origin_timeout")


async def test_an_origin_that_falls_silent_in_the_middle() -> None:
    clock = FakeClock()
    async with raw_origin(silent_in_the_middle) as origin, running(route(origin.url), clock=clock) as gateway:
        reader, writer = await gateway.connect()
        writer.write(GET)
        await reader.readuntil(b"half")
        await clock.advance(62)
        assert await read_all(reader) == b""
        writer.close()
        assert gateway.counted[0][1] == "origin_died"


async def test_an_origin_that_never_says_continue_gets_the_body() -> None:
    clock = FakeClock()
    async with raw_origin() as origin, running(route(origin.url), clock=clock) as gateway:
        reader, writer = await gateway.connect()
        writer.write(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        await aeventually(
            lambda: (
                (origin.calls and b"expect: 100-continue\r\n" in origin.seen)
                or b"HTTP" in origin.calls[0].seen
            )
        )
        await clock.advance(2)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        assert (await reader.readuntil(b"abc")).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()


async def test_unused_connections_are_closed_in_time() -> None:
    clock = FakeClock()
    short = says(answer(b"x", b"Keep-Alive: timeout=2"))
    async with raw_origin(polite) as origin, running(route(origin.url), clock=clock) as gateway:
        (group,) = gateway.plane.groups.values()
        await gateway.get()
        await clock.advance(3.5)
        assert group.origins[0].connections == 1
        await clock.advance(1.5)
        await aeventually(lambda: group.origins[0].connections == 0)
        origin.behave = short  # the origin's own word, when that is less
        await gateway.get()
        await clock.advance(1.75)
        await aeventually(lambda: group.origins[0].connections == 0)


async def test_what_cannot_be_repeated_goes_out_on_a_fresh_connection() -> None:
    clock = FakeClock()
    async with raw_origin(polite) as origin, running(route(origin.url), clock=clock) as gateway:
        await gateway.get()
        await gateway.get(method=b"POST", body=b"x")
        assert len(origin.calls) == 1
        await clock.advance(2)
        await gateway.get()
        assert len(origin.calls) == 1
        await clock.advance(2)
        await gateway.get(method=b"POST", body=b"x")
        assert len(origin.calls) == 2


async def test_when_an_origin_has_all_it_may_have_others_wait_outside() -> None:
    async with raw_origin(silent) as origin, running(route(origin.url, carry={"connections": 2})) as gateway:
        asking = [asyncio.create_task(gateway.get()) for _ in range(2)]
        await aeventually(lambda: origin.heads == 2)
        said = await gateway.get()
        assert error(said) == (503, "overloaded")
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)


async def test_a_connection_that_the_origin_has_ended_is_not_used_for_what_cannot_be_repeated() -> None:
    async def once(call: Call) -> None:
        await call.request()
        await call.send(answer(b"once"))

    async with raw_origin(once) as origin, running(route(origin.url)) as gateway:
        reader, writer = await gateway.connect()
        for _ in range(30):
            writer.write(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc")
            assert (await read_answer(reader))[1] == b"once"
        writer.close()
        assert len(origin.calls) == 30
