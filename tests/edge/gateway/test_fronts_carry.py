"""Proxies with the configurations that are exported for them carry requests as the gateway says."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mainstay.core.secret import Secret
from mainstay.edge.gateway.export import KINDS, Site
from mainstay.edge.gateway.settings import GatewaySettings
from mainstay.edge.gateway.signature import Signer
from mainstay.edge.http.settings import EdgeSettings
from mainstay.edge.http.trust import Trust
from tests.edge.gateway.conftest import WALL, Held, Read
from tests.edge.gateway.fronts import Front, ask, hang_up
from tests.edge.gateway.test_decide import Holder, endpoint
from tests.edge.gateway.test_vectors import gate
from tests.edge.origins import Call, RawOrigin, raw_origin
from tests.servers.authority import Authority
from tests.servers.process import free_port
from tests.servers.recorder import Recorded, Recorder

KEY = "a key that is long enough to sign with"
SITE = "https://app.example.com"
NOBODY = free_port()
"""Where no origin is."""
TRUSTED = ["127.0.0.1", "127.0.0.2"]


async def echo(call: Call) -> None:
    """Agree to a WebSocket, and say what is said."""
    await call.head()
    await call.send(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    )
    while data := await call.read():
        await call.send(data)


def house(one: Recorder, other: Recorder, tunnel: RawOrigin) -> dict[str, Any]:
    """A gateway with every way of carrying."""
    return {
        "routes": [
            {"path": "/", "origin": one.url},
            {"path": "/api", "origin": other.url, "rewrite": "/v2", "cors": {"origins": [SITE]}},
            {"path": "/named", "origin": one.url, "host": "inner.example.com"},
            {"path": "/mine", "origin": one.url, "host": "origin"},
            {"path": "/socket", "origin": tunnel.url},
            {"path": "/pair", "origin": [f"http://127.0.0.1:{NOBODY}", one.url]},
        ],
        "plans": {"free": "unlimited"}, "per_address": "1000/min",
        "sign": {"secret": "key"}, "auth": {"forward": False}, "decide": {},
    }  # fmt: skip


def understood(policy: dict[str, Any]) -> GatewaySettings:
    return GatewaySettings.model_validate(policy, context={"resolve": lambda name: KEY})


@dataclass
class Carried:
    """A proxy with a gateway to ask, two origins, one for WebSockets and a receiver of webhooks."""

    kind: str
    port: int
    holder: Holder
    origin: Recorder
    other: Recorder
    tunnel: RawOrigin
    hooks: Recorder

    def last(self, origin: Recorder | None = None) -> Recorded:
        return (origin or self.origin).requests[-1]


@pytest.fixture(params=KINDS)
async def carried(
    request: pytest.FixtureRequest,
    start: Callable[..., Front],
    read: Read,
    held: Held,
    make_recorder: Callable[[], Recorder],
) -> AsyncIterator[Carried]:
    one, other, hooks = make_recorder(), make_recorder(), make_recorder()
    holder = Holder()
    async with raw_origin(echo) as tunnel, endpoint(holder, Trust(TRUSTED)) as server:
        settings = understood(house(one, other, tunnel))
        holder.policy = gate(settings, held[0])
        edge = EdgeSettings(
            decide=f"127.0.0.1:{server.address[1]}", webhooks=f"127.0.0.1:{hooks.port}",
            max_upload=500_000, max_body=1000, trusted_proxies=TRUSTED,
        )  # fmt: skip
        front = await asyncio.to_thread(
            start, request.param, lambda at: Site(edge, settings, True, at, "/hooks/")
        )
        yield Carried(front.kind, front.port, holder, one, other, tunnel, hooks)


async def test_it_is_carried_as_the_gateway_says(carried: Carried, held: Held) -> None:
    port, one, other = carried.port, carried.origin, carried.other
    # The way and the path are the gateway's to say.
    one.answer(200, b"x", headers={"X-RateLimit-Limit": "7", "Access-Control-Allow-Origin": "*"})
    other.answer(200, b"x", headers={"X-RateLimit-Limit": "7", "Access-Control-Allow-Origin": "*"})
    got = await ask(port, "/api/x?y=1&z=%20", f"Origin: {SITE}")
    assert (got.status, carried.last(other).path) == (200, "/v2/x?y=1&z=%20")
    signed = carried.last(other).headers["x-mainstay-signature"]
    assert signed == Signer(Secret("key", KEY)).sign(b"GET", b"/v2/x?y=1&z=%20", b"", b"", WALL)[1].decode()
    # What the gateway tells clients stands in the place of what the origin says of the same.
    assert got.all("x-ratelimit-limit") == ["1000"]
    assert got.all("access-control-allow-origin") == [SITE]
    assert got.all("x-request-id") == ["r1"]
    got = await ask(port, "/else", f"Origin: {SITE}")
    assert got.all("access-control-allow-origin") == ["*"]
    got = await ask(port, "/api/x", f"Origin: {SITE}", "Access-Control-Request-Method: PUT", method="OPTIONS")
    assert (got.status, got.all("access-control-max-age")) == (204, ["600"])
    # A path that would be rewritten is spelt plainly; elsewhere it goes on as it came.
    assert (await ask(port, "/%61pi/x")).status == 400
    assert (await ask(port, "/%6damed/%41?q=%41")).status == 200
    assert carried.last().path == "/%6damed/%41?q=%41"
    assert len(other.requests) == 1
    # Who asks.
    await ask(port, "/named", "Authorization: Basic eA==", "X-Forwarded-Host: evil.example.com")
    seen = carried.last().headers
    assert (seen["host"], seen.get("authorization") or None) == ("inner.example.com", None)
    assert (seen["x-forwarded-host"], seen["x-forwarded-proto"]) == ("api.example.com", "http")
    await ask(port, "/mine")
    assert carried.last().headers["host"] == one.url.removeprefix("http://")


async def test_bodies_and_tunnels_go_through(carried: Carried) -> None:
    port = carried.port
    body = bytes(range(256)) * 1000
    got = await ask(port, "/up", f"Content-Length: {len(body)}", method="POST", body=body)
    assert (got.status, carried.last().body) == (200, body)
    got = await ask(port, "/up", "Content-Length: 500001", method="POST", body=b"x" * 500_001)
    assert got.status == 413
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, X-Mainstay-Signature\r\nUpgrade: WebSocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    assert head.startswith(b"HTTP/1.1 101 ")
    writer.write(b"\x81\x02hi")
    assert await asyncio.wait_for(reader.readexactly(4), 20) == b"\x81\x02hi"
    await hang_up(writer)
    assert b"x-mainstay-signature: t=" in carried.tunnel.seen.lower()


async def test_what_is_said_now_arrives_now(carried: Carried) -> None:
    """Neither events of an origin nor pieces of an upload wait for the end."""
    heard = asyncio.Event()

    async def talk(call: Call) -> None:
        await call.head()
        await call.until(b"first")
        await call.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: 1\n\n"
        )
        await heard.wait()
        await call.until(b"0\r\n\r\n")
        await call.send(b"data: 2\n\n")

    carried.tunnel.behave = talk
    reader, writer = await asyncio.open_connection("127.0.0.1", carried.port)
    writer.write(
        b"POST /socket HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    writer.write(b"5\r\nfirst\r\n")
    assert b"data: 1" in await asyncio.wait_for(reader.readuntil(b"data: 1\n\n"), 20)
    heard.set()
    writer.write(b"4\r\nlast\r\n0\r\n\r\n")
    assert b"data: 2" in await asyncio.wait_for(reader.read(), 20)
    await hang_up(writer)


async def test_who_waits_for_a_word_gets_it(carried: Carried) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", carried.port)
    writer.write(
        b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).startswith(b"HTTP/1.1 100 ")
    writer.write(b"abc")
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).startswith(b"HTTP/1.1 200 ")
    await hang_up(writer)
    assert carried.last().body == b"abc"


async def test_an_origin_that_is_not_there_is_passed_over(carried: Carried) -> None:
    assert {(await ask(carried.port, f"/pair/{number}")).status for number in range(8)} == {200}


ODD: tuple[tuple[bytes, bytes], ...] = (
    (b"GET / HTTP/1.1", b"".join(b"X-%d: 1\r\n" % number for number in range(200))),
    *((b"GET / HTTP/1.1", b"".join(b"X-%d: 1\r\n" % n for n in range(count))) for count in range(93, 99)),
    (b"GET / HTTP/1.1", b"Authorization: Bearer x\r\n" * 90),
    (b"GET / HTTP/1.1", b"Authorization: Bearer " + b"x" * 13_000 + b"\r\nX-1: " + b"x" * 13_000 + b"\r\n"),
    (b"GET / HTTP/1.1", b"Authorization: Bearer " + b"x" * 27_000 + b"\r\n"),
    (b"GET /" + b"x" * 13_000 + b" HTTP/1.1", b"Authorization: Bearer " + b"x" * 13_000 + b"\r\n"),
    (b"GET /" + b"x" * 27_000 + b" HTTP/1.1", b""),
    (b"GET / HTTP/1.1", b"X-Forwarded-For: " + b"1," * 13_000 + b"1\r\n"),
    (b"GET http://evil.example.com/ HTTP/1.1", b""),
    (b"CONNECT a:80 HTTP/1.1", b""),
    (b"OPTIONS * HTTP/1.1", b""),
    (b"GET / HTTP/1.0", b"Host: b\r\n"),
    (b"GET /.mainstay-gate HTTP/1.1", b""),
)
"""First line, and headers besides the usual ones."""


async def test_nothing_that_a_client_sends_ends_it(carried: Carried) -> None:
    """What it cannot ask about is refused, or was asked about; and it goes on to serve others."""
    for line, headers in ODD:
        asked = len(carried.holder.asked)
        carried.origin.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", carried.port)
        writer.write(line + b"\r\nHost: a\r\nConnection: close\r\n" + headers + b"\r\n")
        with suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), 20)
        await hang_up(writer)
        assert len(carried.origin.requests) <= len(carried.holder.asked) - asked <= 1, line[:60]
        assert (await ask(carried.port, "/")).status == 200, line[:60]


async def test_webhooks_reach_their_receiver_unasked(carried: Carried) -> None:
    """Their signatures may be over any header, and are over the very bytes."""
    port, hooks = carried.port, carried.hooks
    got = await ask(
        port, "/hooks/bank?x=%41", "X-Request-ID: theirs", "X-User-ID: 7", "X-Forwarded-For: 6.6.6.6",
        "Content-Length: 4", method="POST", body=b'{ }\n',
    )  # fmt: skip
    seen = carried.last(hooks)
    assert (got.status, seen.path, seen.body) == (200, "/bank?x=%41", b"{ }\n")
    assert (seen.headers["x-request-id"], seen.headers["host"]) == ("theirs", "api.example.com")
    assert seen.headers["x-user-id"] == "7"
    assert seen.headers["x-forwarded-for"] == "127.0.0.1"
    assert (seen.headers["x-forwarded-proto"], seen.headers["x-forwarded-host"]) == (
        "http",
        "api.example.com",
    )
    assert carried.holder.asked == []
    got = await ask(port, "/hooks/bank", "Content-Length: 1001", method="POST", body=b"x" * 1001)
    assert got.status == 413 or carried.kind == "envoy"  # said in its notes; the receiver has its own limit


async def test_whom_it_believes_and_what_it_refuses(carried: Carried, held: Held) -> None:
    port, holder = carried.port, carried.holder
    # A proxy before it that is known says who the client is; nobody else does.
    await ask(port, "/", "X-Forwarded-For: 6.6.6.6, 198.51.100.7", source="127.0.0.2")
    assert holder.asked[-1].peer == "198.51.100.7"
    await ask(port, "/", "X-Forwarded-For: 198.51.100.7")
    assert holder.asked[-1].peer == "127.0.0.1"
    assert carried.last().headers["x-forwarded-for"] == "127.0.0.1"
    # The gateway has taken a newer configuration over: its routes lead elsewhere.
    newer = house(carried.other, carried.origin, carried.tunnel)
    holder.policy = gate(understood(newer), held[0])
    before = len(carried.origin.requests), len(carried.other.requests)
    got = await ask(port, "/", "X-Gate-Route: x")
    assert (got.status, (len(carried.origin.requests), len(carried.other.requests))) == (503, before)
    holder.policy = gate(understood(house(carried.origin, carried.other, carried.tunnel)), held[0])
    carried.origin.refuse()
    assert (await ask(port, "/")).status in (502, 503)
    carried.hooks.refuse()
    assert (await ask(port, "/hooks/x", "Content-Length: 0", method="POST")).status in (502, 503)


@pytest.mark.parametrize("kind", KINDS)
async def test_tls_with_the_certificates_of_the_edge(
    kind: str, start: Callable[..., Front], tmp_path: Path, recorder: Recorder, held: Held
) -> None:
    """The edge speaks TLS itself then, and so is asked by it where that is not on this machine alone."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue("localhost")
    private = tmp_path / f"{certificate.name}.key"  # the one place where HAProxy looks
    private.symlink_to(key)
    settings = understood({"routes": [{"origin": recorder.url}], "decide": {}})
    holder = Holder(gate(settings, held[0]))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, private)
    tls = {"certificate": str(certificate), "key": str(private)}
    async with endpoint(holder, tls=context) as server:
        edge = EdgeSettings.model_validate({"decide": f"0.0.0.0:{server.address[1]}", "tls": tls})
        front = await asyncio.to_thread(start, kind, lambda at: Site(edge, settings, False, at, "/hooks/"))
        client = ssl.create_default_context(cafile=str(authority.ca))
        got = await ask(front.port, "/x", tls=client)
        assert (got.status, recorder.requests[-1].headers["x-forwarded-proto"]) == (200, "https")
        assert holder.asked[-1].secure
        client.set_alpn_protocols(["h2", "http/1.1"])
        _, writer = await asyncio.open_connection(
            "127.0.0.1", front.port, ssl=client, server_hostname="localhost"
        )
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        await hang_up(writer)
