"""Requests on their way to an origin, and answers on their way back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest

from mainstay.edge.http.exchange import Head
from mainstay.edge.http.limits import Limits
from mainstay.edge.proxy.gateway import SAFE_ID
from mainstay.edge.proxy.headers import onward
from tests.edge.origins import Call, answer, raw_origin, reset, says
from tests.edge.proxy.parts import HOST, Open, read_answer, route, running
from tests.helpers import aeventually


async def test_an_answer_comes_back_whole() -> None:
    async with raw_origin() as origin, running(route(origin.url)) as gateway:
        said = await gateway.get(b"/a?b=c")
        assert said.startswith(b"HTTP/1.1 200 OK\r\n")
        assert said.endswith(b"\r\n\r\nhello")
        assert origin.seen.startswith(b"GET /a?b=c HTTP/1.1\r\nhost: api.example.com\r\n")
        (note,) = gateway.notes
        assert float(note.pop("origin_ms")) >= 0
        assert SAFE_ID.fullmatch(note.pop("request").encode())
        assert note == {"route": "/", "user": "alice", "plan": "paid", "origin": origin.url}
        assert gateway.counted == [("/", "")]


async def test_the_origin_sees_what_we_say_of_the_client_and_not_what_it_says_itself() -> None:
    spoofs = (
        b"X-Forwarded-For: 6.6.6.6", b"X-Forwarded-Proto: gopher", b"Forwarded: for=6.6.6.6", b"X-User-ID: root",
        b"X_User_ID: root", b"x-user-plan: enterprise", b"X-Real-IP: 6.6.6.6", b"TE: trailers", b"Keep-Alive: 5",
        b"Proxy-Connection: x", b"X-Kept: yes",
    )  # fmt: skip
    async with raw_origin() as origin:
        policy = Open([route(origin.url)], to_origin=[(b"x-user-id", b"alice"), (b"x-user-plan", b"paid")])
        async with running(*policy.routes, policy=policy) as gateway:
            await gateway.get(b"/", *spoofs)
    seen = origin.seen
    for said in (
        b"x-forwarded-for: 127.0.0.1", b"x-forwarded-proto: http", b"x-forwarded-host: api.example.com",
        b"x-user-id: alice", b"x-user-plan: paid", b"x-kept: yes", b"via: 1.1 mainstay",
    ):  # fmt: skip
        assert seen.count(b"\r\n" + said + b"\r\n") == 1
    for word in (b"6.6.6.6", b"root", b"enterprise", b"gopher", b"trailers", b"keep-alive", b"connection"):
        assert word not in seen.lower()


@pytest.mark.parametrize(
    ("given", "kept"),
    [(b"req-12345678", True), (b"short", False), (b"a b c d e f g h", False), (b"x" * 129, False)],
)
async def test_a_request_keeps_its_name_when_that_is_safe(given: bytes, kept: bool) -> None:
    async with raw_origin() as origin, running(route(origin.url)) as gateway:
        said = await gateway.get(b"/", b"X-Request-ID: " + given)
    found = re.findall(rb"\r\nx-request-id: ([^\r]*)\r\n", origin.seen)
    assert len(found) == 1
    assert (found[0] == given) is kept
    assert SAFE_ID.fullmatch(found[0])
    assert b"\r\nx-request-id: " + found[0] + b"\r\n" in said


async def test_our_headers_replace_the_origin_s_own() -> None:
    async with raw_origin(says(answer(b"x", b"X-RateLimit-Limit: 9", b"X-Other: 1"))) as origin:
        policy = Open([route(origin.url)], to_client=[(b"x-ratelimit-limit", b"100")])
        async with running(*policy.routes, policy=policy) as gateway:
            said = (await gateway.get()).lower()
    assert said.count(b"x-ratelimit-limit") == 1
    assert b"x-ratelimit-limit: 100\r\n" in said
    assert b"x-other: 1\r\n" in said


@pytest.mark.parametrize(
    ("origin_says", "status", "body"),
    [
        (answer(b"x" * 70_000), b"200", b"x" * 70_000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a\r\nabc\r\n0\r\nX-Late: 1\r\n\r\n", b"200", b"abc"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"204", b""),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer(b"abc"), b"200", b"abc"),
        (answer(b"abc", status=b"404 Not Found"), b"404", b"abc"),
    ],
    ids=["long", "chunks", "204", "103", "404"],
)  # fmt: skip
async def test_answers_are_framed_anew(origin_says: bytes, status: bytes, body: bytes) -> None:
    async with raw_origin(says(origin_says)) as origin, running(route(origin.url)) as gateway:
        reader, writer = await gateway.connect()
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
            if status == b"204":
                head, got = await reader.readuntil(b"\r\n\r\n"), b""
            else:
                head, got = await read_answer(reader)
            assert head.split(b" ")[1] == status
            assert got == body
            assert b"x-late" not in head.lower()
            assert b"103" not in head[:20]
        writer.close()
        assert len(origin.calls) == 1  # the connection was used again


async def test_what_any_connection_header_of_an_answer_names_ends_here() -> None:
    said = answer(b"x", b"Connection: X-Hop", b"X-Hop: 1", b"X-Other: 1", b"Connection: keep-alive")
    async with raw_origin(says(said)) as origin, running(route(origin.url)) as gateway:
        told = (await gateway.get()).lower()
    assert b"x-other: 1\r\n" in told
    assert b"x-hop" not in told


async def test_a_head_is_answered_with_the_length_and_without_the_body() -> None:
    async def behave(call: Call) -> None:
        while True:
            await call.request()
            await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n")

    async with raw_origin(behave) as origin, running(route(origin.url)) as gateway:
        reader, writer = await gateway.connect()
        for _ in range(2):
            writer.write(b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"content-length: 12345\r\n" in head.lower()
        writer.close()
        assert len(origin.calls) == 1


async def test_a_304_with_a_length_has_no_body() -> None:
    not_modified = b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 9\r\n\r\n'
    async with raw_origin(says(not_modified)) as origin, running(route(origin.url)) as gateway:
        reader, writer = await gateway.connect()
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\n" + HOST + b'If-None-Match: "a"\r\n\r\n')
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 304 ")
        writer.close()
        assert len(origin.calls) == 1


async def test_an_answer_that_ends_with_its_connection_ends_well() -> None:
    async def behave(call: Call) -> None:
        await call.request()
        await call.send(b"HTTP/1.1 200 OK\r\n\r\nsome")
        await call.send(b"thing")

    async with raw_origin(behave) as origin, running(route(origin.url)) as gateway:
        reader, writer = await gateway.connect()
        writer.write(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await read_answer(reader))[1] == b"something"
        writer.close()


async def test_a_client_of_http_1_0_gets_an_answer_that_it_understands() -> None:
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    async with raw_origin(says(chunks)) as origin, running(route(origin.url)) as gateway:
        said = await gateway.say(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        assert said.endswith(b"\r\n\r\nabc")
        assert b"chunked" not in said
        assert b"GET / HTTP/1.1\r\n" in origin.seen
        assert b"via: 1.0 mainstay\r\n" in origin.seen


async def test_a_body_of_known_length_keeps_it_and_chunks_stay_chunks() -> None:
    async with raw_origin() as origin, running(route(origin.url)) as gateway:
        assert (await gateway.get(method=b"POST", body=b"a" * 100_000)).endswith(b"a" * 100_000)
        assert b"content-length: 100000\r\n" in origin.seen
        chunked = (
            b"POST / HTTP/1.1\r\n"
            + HOST
            + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\nX: y\r\n\r\n"
        )
        assert (await gateway.say(chunked)).endswith(b"\r\n\r\nabc")
        assert b"X: y" not in origin.seen
        assert b";x" not in origin.seen
        empty = b"POST / HTTP/1.1\r\n" + HOST + b"Connection: close\r\nContent-Length: 0\r\n\r\n"
        assert b" 200 " in await gateway.say(empty)
        assert origin.calls[-1].seen.count(b"content-length: 0\r\n") == 1


async def test_pieces_go_on_at_once_when_the_origin_sends_events() -> None:
    go_on = asyncio.Event()

    async def behave(call: Call) -> None:
        await call.request()
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await go_on.wait()
        await call.send(b"data: 2\n\n")

    async with raw_origin(behave) as origin, running(route(origin.url)) as gateway:
        reader, writer = await gateway.connect()
        writer.write(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert b"text/event-stream" in await reader.readuntil(b"\r\n\r\n")
        assert b"data: 1\n\n" in await reader.readuntil(b"\n\n\r\n")
        go_on.set()
        assert b"data: 2\n\n" in await reader.readuntil(b"\n\n\r\n")
        assert await reader.readuntil(b"0\r\n\r\n") == b"0\r\n\r\n"
        writer.close()


async def test_an_early_answer_is_told_and_the_rest_of_the_body_dropped() -> None:
    async def behave(call: Call) -> None:
        await call.head()
        await call.send(answer(b"too large", status=b"413 Content Too Large"))
        await call.read()

    async with raw_origin(behave) as origin, running(route(origin.url)) as gateway:
        said = await gateway.say(
            b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 9000000\r\n\r\n" + b"a" * 100
        )
        assert said.startswith(b"HTTP/1.1 413 ")
        assert said.endswith(b"too large")
        await aeventually(lambda: gateway.plane.groups and origin_is_free(gateway))


def origin_is_free(gateway: object) -> bool:
    (group,) = gateway.plane.groups.values()  # type: ignore[attr-defined]
    return all(origin.active == 0 and origin.connections == 0 for origin in group.origins)


async def test_the_origin_decides_whether_a_waiting_client_may_send() -> None:
    async def behave(call: Call) -> None:
        head = await call.head()
        if b"/no" in head:
            await call.send(answer(b"no", status=b"403 Forbidden"))
            return
        await call.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await call.exactly(3)
        await call.send(answer(b"thanks"))

    ask = b"POST %b HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    async with raw_origin(behave) as origin, running(route(origin.url)) as gateway:
        reader, writer = await gateway.connect()
        writer.write(ask % b"/yes")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        assert (await read_answer(reader))[1] == b"thanks"
        writer.close()
        reader, writer = await gateway.connect()
        writer.write(ask % b"/no")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 403 ")
        assert b"abc" not in origin.calls[-1].seen
        writer.close()


@pytest.mark.parametrize(
    ("options", "asked", "seen"),
    [
        ({"path": "/api", "rewrite": "/"}, b"/api/x?y=1", b"GET /x?y=1 "),
        ({"path": "/api", "rewrite": "/"}, b"/api?y=1", b"GET /?y=1 "),
        ({"path": "/api", "rewrite": "/"}, b"/api", b"GET / "),
        ({"path": "/api", "rewrite": "/"}, b"/api//evil.example/x", b"GET /evil.example/x "),
        ({"path": "/api", "rewrite": "/v2"}, b"/api/x", b"GET /v2/x "),
        ({"path": "/api", "rewrite": "/v2"}, b"/api", b"GET /v2 "),
        ({"path": "/", "rewrite": "/v2"}, b"/x", b"GET /v2/x "),
        ({"path": "/api"}, b"/api/x%2e", b"GET /api/x%2e "),
        ({"host": "origin"}, b"/", b"\r\nhost: 127.0.0.1:"),
        ({"host": "inner.example"}, b"/", b"\r\nhost: inner.example\r\n"),
    ],
)
async def test_paths_and_hosts_are_rewritten(options: dict[str, str], asked: bytes, seen: bytes) -> None:
    async with raw_origin() as origin, running(route(origin.url, **options)) as gateway:
        assert b" 200 " in await gateway.get(asked)
        assert seen in origin.seen
        assert b"x-forwarded-host: api.example.com\r\n" in origin.seen


async def test_a_request_that_goes_in_circles_is_stopped() -> None:
    async with raw_origin() as origin, running(route(origin.url)) as gateway:
        origin_route = gateway.policy.routes[0]
        inner = route(f"http://127.0.0.1:{gateway.port}")
        await gateway.plane.swap(origin_route.label, inner.origin)
        assert b"loop_detected" in await gateway.get()


async def test_the_policy_signs_what_the_origin_receives() -> None:
    async with raw_origin() as origin:
        policy = Open([route(origin.url, path="/api", rewrite="/v2")])
        policy.sign = lambda method, target: (b"x-mainstay-signature", method + b" " + target)
        async with running(*policy.routes, policy=policy) as gateway:
            await gateway.get(b"/api/x?y=1", b"X-Mainstay-Signature: forged")
    assert origin.seen.count(b"signature") == 1
    assert b"\r\nx-mainstay-signature: GET /v2/x?y=1\r\n" in origin.seen


async def test_where_we_say_who_may_read_the_origin_does_not() -> None:
    said_by_origin = answer(
        b"x", b"Access-Control-Allow-Origin: *", b"access-control-max-age: 9", b"Vary: Accept"
    )
    async with raw_origin(says(said_by_origin)) as origin:
        cors = {"origins": ["https://app.example.com"]}
        policy = Open([route(origin.url, cors=cors)], to_client=[(b"vary", b"Origin")])
        async with running(*policy.routes, policy=policy) as gateway:
            said = (await gateway.get()).lower()
            assert b"access-control" not in said
            assert b"vary: accept\r\n" in said
            assert b"vary: origin\r\n" in said
        async with running(route(origin.url)) as gateway:
            assert b"access-control-allow-origin: *\r\n" in (await gateway.get()).lower()


@pytest.mark.parametrize("leave", [reset, asyncio.StreamWriter.close], ids=["reset", "close"])
async def test_the_client_s_leaving_ends_the_request_at_the_origin(
    leave: Callable[[asyncio.StreamWriter], None],
) -> None:
    gone = asyncio.Event()

    async def behave(call: Call) -> None:
        await call.request()
        assert await call.read() == b""
        gone.set()

    async with raw_origin(behave) as origin, running(route(origin.url)) as gateway:
        _, writer = await gateway.connect()
        writer.write(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        await aeventually(lambda: origin.heads)
        leave(writer)
        async with asyncio.timeout(10):
            await gone.wait()
        assert gateway.counted[0][1] == "client_gone"


async def test_requests_of_one_connection_are_answered_in_their_order() -> None:
    async def behave(call: Call) -> None:
        while True:
            head, _ = await call.request()
            await call.send(answer(head.split(b" ")[1]))

    async with raw_origin(behave) as origin, running(route(origin.url), limits=Limits()) as gateway:
        reader, writer = await gateway.connect()
        writer.write(b"".join(b"GET /%d HTTP/1.1\r\n" % n + HOST + b"\r\n" for n in range(30)))
        for n in range(30):
            assert (await read_answer(reader))[1] == b"/%d" % n
        writer.close()
        assert len(origin.calls) == 1


def test_what_an_origin_sees_of_remembered_lines_follows_the_policy_that_asks() -> None:
    head = Head(
        b"GET", b"/", b"/", b"", b"1.1", b"a", [(b"authorization", b"b"), (b"x-a", b"c"), (b"te", b"d")]
    )
    without = frozenset({b"authorization"})
    for _ in range(2):
        assert onward(head, frozenset()) == b"authorization: b\r\nx-a: c\r\n"
        assert onward(head, without) == b"x-a: c\r\n"
