"""Several origins behind a route: who gets what, who is left out, and changing them while requests go on."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from functools import partial

import pytest

from mainstay.core.errors import MainstayError
from mainstay.edge.gateway.settings_origin import CarrySettings
from mainstay.edge.proxy.group import Group, NotHealthy
from mainstay.edge.proxy.origin import Origin
from mainstay.edge.proxy.ticker import Ticker
from mainstay.ports.clock import FakeClock
from tests.edge.origins import Call, RawOrigin, answer, raw_origin, says
from tests.edge.proxy.parts import HOST, Running, read_answer, route, running
from tests.helpers import aeventually
from tests.servers.process import free_port

SWAPS = int(os.environ.get("MAINSTAY_SWAPS", "20"))


def group_of(gateway: Running) -> Group:
    (group,) = gateway.plane.groups.values()
    return group


async def test_the_origin_with_the_fewest_requests_gets_the_next() -> None:
    hold = asyncio.Event()

    async def waits(call: Call) -> None:
        await call.request()
        await hold.wait()
        await call.send(answer(b"late"))

    async with (
        raw_origin(waits) as slow,
        raw_origin(says(answer(b"quick"))) as quick,
        running(route([slow.url, quick.url])) as gateway,
    ):
        first = [asyncio.create_task(gateway.get()) for _ in range(2)]
        await aeventually(lambda: slow.heads == 1)
        for _ in range(5):
            assert (await gateway.get()).endswith(b"quick")
        assert slow.heads == 1
        hold.set()
        assert sorted(said[-4:] for said in await asyncio.gather(*first)) == [b"late", b"uick"]


async def test_an_origin_that_takes_no_connections_costs_no_request() -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    async with raw_origin() as origin, running(route([dead, origin.url])) as gateway:
        for _ in range(6):
            assert b" 200 " in await gateway.get(method=b"POST", body=b"abc")
        states = {each["url"]: each for each in gateway.plane.state()[0]["origins"]}
        assert states[dead]["state"] == "ejected"
        assert states[dead]["failures"] == 3  # then it was left alone
        assert states[origin.url]["state"] == "up"


async def test_an_ejected_origin_is_tried_again_after_longer_and_longer() -> None:
    clock = FakeClock()
    ticker = Ticker(clock)
    origin = Origin("http://127.0.0.1:1", CarrySettings(eject_after=2), ticker)
    spans = []
    origin.failed()
    assert origin.usable(ticker.now)
    for _ in range(8):
        origin.failed()
        origin.failed()  # those that were under way already say nothing new
        spans.append(origin.ejected_until - ticker.now)
        assert not origin.usable(ticker.now)
        await clock.advance(spans[-1])
        ticker.tick()
        assert origin.usable(ticker.now)
    assert spans == [1, 2, 4, 8, 16, 32, 60, 60]
    origin.succeeded()
    origin.failed()
    assert origin.usable(ticker.now)


async def test_the_last_origin_is_never_left_out() -> None:
    async with raw_origin() as origin, running(route(origin.url)) as gateway:
        for _ in range(10):
            group_of(gateway).origins[0].failed()
        group_of(gateway).origins[0].healthy = False
        assert b" 200 " in await gateway.get()


async def test_a_failed_health_check_takes_an_origin_out_and_a_good_one_in_again() -> None:
    health = {"path": "/up", "every": "1s", "fails": 2}
    clock = FakeClock()
    async with (
        raw_origin(says(answer(b"a"))) as one,
        raw_origin(says(answer(b"b"))) as other,
        running(route([one.url, other.url], health=health), clock=clock) as gateway,
    ):
        origins = group_of(gateway).origins
        await aeventually(lambda: all(origin.healthy for origin in origins))
        assert b"GET /up HTTP/1.1\r\nhost: " + one.url[7:].encode() in one.seen
        one.behave = says(answer(b"a", status=b"500 No"))
        await clock.advance(1.1)
        await aeventually(lambda: origins[0].bad_answers == 1)
        assert origins[0].healthy
        await clock.advance(1.1)
        await aeventually(lambda: origins[0].healthy is False)
        assert {(await gateway.get())[-1:] for _ in range(6)} == {b"b"}
        one.behave = says(answer(b"a"))
        await clock.advance(1.1)
        await aeventually(lambda: origins[0].healthy)
        assert {(await gateway.get())[-1:] for _ in range(6)} == {b"a", b"b"}


async def test_requests_are_switched_only_to_an_origin_that_answers() -> None:
    async with (
        raw_origin(says(answer(b"old"))) as old,
        raw_origin(says(answer(b"", status=b"503 No"))) as new,
        running(route(old.url, name="shop", health={"path": "/up"})) as gateway,
    ):
        with pytest.raises(NotHealthy, match="it answers 503") as refused:
            await gateway.plane.swap("shop", [new.url], within=0.2)
        assert "hint:" in str(refused.value)
        assert (await gateway.get()).endswith(b"old")
        new.behave = says(answer(b"new"))
        await gateway.plane.swap("shop", [new.url], within=5)
        assert (await gateway.get()).endswith(b"new")
        with pytest.raises(MainstayError, match="no route is called ship"):
            await gateway.plane.swap("ship", [new.url])
        for wrong in ([], ["http://127.0.0.1:8000/path"], ["ftp://a"]):
            with pytest.raises(MainstayError):
                await gateway.plane.swap("shop", wrong)


async def test_what_is_under_way_ends_where_it_is() -> None:
    hold = asyncio.Event()

    async def waits(call: Call) -> None:
        await call.request()
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nold")
        await hold.wait()
        await call.send(b"old")

    async with (
        raw_origin(waits) as old,
        raw_origin(says(answer(b"new"))) as new,
        running(route(old.url)) as gateway,
    ):
        reader, writer = await gateway.connect()
        writer.write(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        await aeventually(lambda: old.heads)
        await gateway.plane.swap("/", [new.url])
        assert (await gateway.get()).endswith(b"new")
        assert [each["state"] for each in gateway.plane.state()[0]["origins"]] == ["up", "draining"]
        hold.set()
        assert (await read_answer(reader))[1] == b"oldold"
        writer.close()
        await aeventually(lambda: not group_of(gateway).draining)
        assert gateway.plane.state()[0]["swaps"] == 1


async def test_what_does_not_end_is_cut_when_its_time_is_over() -> None:
    clock = FakeClock()

    async def forever(call: Call) -> None:
        await call.request()
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        await call.read()

    async with (
        raw_origin(forever) as old,
        raw_origin() as new,
        running(route(old.url, carry={"drain": "5s"}), clock=clock) as gateway,
    ):
        reader, writer = await gateway.connect()
        writer.write(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await gateway.plane.swap("/", [new.url])
        await clock.advance(6)
        assert not (await reader.read()).endswith(b"0\r\n\r\n")
        writer.close()


async def ask_all_the_time(gateway: Running, stop: asyncio.Event, failed: list[bytes]) -> int:
    """One client with one connection, and a POST now and then; how many requests it made."""
    reader, writer = await gateway.connect()
    count = 0
    while not stop.is_set():
        count += 1
        post = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc"
        writer.write(post if count % 3 == 0 else b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        head, _ = await read_answer(reader)
        if not head.startswith(b"HTTP/1.1 200 "):
            failed.append(head)
    writer.close()
    return count


def serves(origin: RawOrigin) -> bool:
    return origin.heads > 8


async def test_origins_are_changed_again_and_again_without_a_failed_request() -> None:
    """Each new origin is another server; the old one is stopped as soon as it has drained."""
    stop = asyncio.Event()
    failed: list[bytes] = []
    async with AsyncExitStack() as stack:
        first = RawOrigin()
        await first.start()
        stack.push_async_callback(first.stop)
        gateway = await stack.enter_async_context(running(route(first.url)))
        clients = [asyncio.create_task(ask_all_the_time(gateway, stop, failed)) for _ in range(8)]
        before = first
        for _ in range(SWAPS):
            after = RawOrigin()
            await after.start()
            stack.push_async_callback(after.stop)
            await gateway.plane.swap("/", [after.url])
            await aeventually(partial(serves, after))
            await aeventually(lambda: not group_of(gateway).draining)
            await before.stop()
            before = after
        stop.set()
        counts = await asyncio.gather(*clients)
        assert failed == []
        assert min(counts) > 0
        assert gateway.plane.state()[0]["swaps"] == SWAPS


async def test_a_route_that_is_taken_away_lets_its_requests_end_or_is_cut_with_all_else() -> None:
    async def forever(call: Call) -> None:
        await call.request()
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        await call.read()

    async with raw_origin(forever) as old, raw_origin() as new:
        async with running(route(old.url, path="/old"), route(new.url)) as gateway:
            reader, writer = await gateway.connect()
            writer.write(b"GET /old HTTP/1.1\r\n" + HOST + b"\r\n")
            await reader.readuntil(b"\r\n\r\n")
            group = gateway.plane.named("/old")
            gateway.plane.reload([route(new.url)])
            gateway.policy.routes = [each.route for each in gateway.plane.groups.values()]
            await aeventually(lambda: [origin.active for origin in group.draining] == [1])
            assert b" 200 " in await gateway.get(b"/old")
            assert not reader.at_eof()
        assert not (await reader.read()).endswith(b"0\r\n\r\n")
        assert all(origin.connections == 0 for origin in group.draining)
        writer.close()


async def test_a_name_that_cannot_be_one_is_an_origin_that_is_not_there() -> None:
    async with running(route("http://a..b")) as gateway:
        assert b"origin_unreachable" in await gateway.get()


async def test_a_changed_configuration_is_taken_over_in_one_step() -> None:
    async with (
        raw_origin(says(answer(b"a"))) as one,
        raw_origin(says(answer(b"b"))) as other,
        running(route(one.url), route(other.url, path="/b")) as gateway,
    ):
        assert (await gateway.get(b"/b")).endswith(b"b")
        routes = [route(other.url, host="inner.example"), route(one.url, path="/c")]
        gateway.plane.reload(routes)
        gateway.policy.routes = routes
        await aeventually(lambda: gateway.plane.named("/").origins[0].url == other.url)
        assert (await gateway.get()).endswith(b"b")
        assert b"host: inner.example" in other.seen
        assert (await gateway.get(b"/c")).endswith(b"a")
        assert [each["route"] for each in gateway.plane.state()] == ["/", "/c"]
