"""The forward-auth endpoint by itself; `test_export` has it asked by real proxies."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mainstay.edge.gateway.decide import DIALECTS, Decider
from mainstay.edge.gateway.policy import Admit, Ask, Decision
from mainstay.edge.gateway.settings import DecideSettings
from mainstay.edge.http.exchange import Header
from mainstay.edge.http.limits import HeadLimits, Limits
from mainstay.edge.http.server import Server
from mainstay.edge.http.trust import Trust
from mainstay.ports.clock import FakeClock
from tests.edge.door import calling, serving
from tests.edge.gateway.conftest import WALL, Held, Read
from tests.edge.gateway.test_vectors import gate
from tests.edge.gateway.vectors import load
from tests.edge.problems import problem

POLICY, _ = load()
ROOMY = Limits(head=HeadLimits(head=32768, headers=100, uri=8192, body=10_000))


class Holder:
    """A policy that a test may exchange, and what it was asked."""

    def __init__(self, policy: object = None) -> None:
        self.policy = policy
        self.asked: list[Ask] = []

    def decide(self, ask: Ask, now: float, wall: float) -> Decision:
        self.asked.append(ask)
        decided: Decision = self.policy.decide(ask, now, wall)  # type: ignore[attr-defined]
        return decided

    def signature(self, method: bytes, target: bytes, admitted: Admit, wall: float) -> Header | None:
        signed: Header | None = self.policy.signature(method, target, admitted, wall)  # type: ignore[attr-defined]
        return signed


@asynccontextmanager
async def endpoint(
    holder: Holder, trust: Trust | None = None, tls: ssl.SSLContext | None = None, **settings: object
) -> AsyncIterator[Server]:
    decider = Decider(DecideSettings.model_validate(settings), holder, FakeClock(WALL), lambda: b"r1")
    async with serving(decider, ROOMY, trust=trust, tls=tls) as server:
        yield server


async def put(server: Server, path: str, *headers: str) -> tuple[int, dict[bytes, bytes], bytes]:
    async with calling(server) as client:
        client.send("\r\n".join([f"GET {path} HTTP/1.1", "Host: asker", *headers, "", ""]).encode())
        return await client.answer()


TOLD = {
    "nginx": (
        "/decide/nginx",
        ["X-Original-Method: POST", "X-Original-URI: /read?x=1", "X-Original-Host: h"],
    ),
    "caddy": (
        "/decide/caddy",
        ["X-Forwarded-Method: POST", "X-Forwarded-Uri: /read?x=1", "X-Forwarded-Host: h"],
    ),
    "traefik": (
        "/decide/traefik",
        ["X-Forwarded-Method: POST", "X-Forwarded-Uri: /read?x=1", "X-Forwarded-Host: h"],
    ),
    "envoy": ("/decide/envoy/read?x=1", []),
    "haproxy": (
        "/decide/haproxy",
        ["X-Original-Method: POST", "X-Original-URI: /read?x=1", "X-Original-Host: h"],
    ),
}


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_each_dialect_is_understood(read: Read, held: Held, dialect: str) -> None:
    ring, made = held
    holder = Holder(gate(read(POLICY), ring))
    path, headers = TOLD[dialect]
    async with endpoint(holder) as server:
        status, back, _ = await put(
            server, path, *headers, f"X-API-Key: {made['good']}", "X-Forwarded-For: 198.51.100.7"
        )
    (ask,) = holder.asked
    assert status == 200
    assert ask.path == b"/read"
    assert (ask.method, ask.host) == ((b"GET", b"asker") if dialect == "envoy" else (b"POST", b"h"))
    assert ask.peer == "198.51.100.7"
    identity = {
        name: back[name] for name in (b"x-user-id", b"x-user-plan", b"x-request-id", b"x-mainstay-signature")
    }
    known = (
        (b"shop-1", b"paid") if dialect == "envoy" else (b"", b"")
    )  # its own method reads, the others post openly
    assert identity == {
        b"x-user-id": known[0], b"x-user-plan": known[1], b"x-request-id": b"r1", b"x-mainstay-signature": b"",
    }  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_what_is_signed_is_what_the_origin_will_be_asked_for(
    read: Read, held: Held, dialect: str
) -> None:
    signed = []

    class Signing(Holder):
        def signature(self, method: bytes, target: bytes, admitted: Admit, wall: float) -> Header | None:
            signed.append(target)
            return b"x-mainstay-signature", b"s"

    ring, made = held
    path, headers = TOLD[dialect]
    async with endpoint(Signing(gate(read(POLICY), ring))) as server:
        await put(server, path, *headers, f"X-API-Key: {made['good']}")
    assert signed == [b"/read?x=1"]


async def test_only_configured_proxies_may_ask(read: Read, held: Held) -> None:
    """Whoever asks says who the client is: believing anybody would be an open door."""
    holder = Holder(gate(read(POLICY), held[0]))
    path, headers = TOLD["nginx"]
    async with endpoint(holder, peers=["10.0.0.0/8"]) as server:
        assert problem(*await put(server, path, *headers))["error"] == "not_a_proxy"
        status, _, _ = await put(server, path, *headers, "X-Forwarded-For: 10.0.0.1")
        assert status == 403
    assert holder.asked == []
    # Neither does a trusted proxy in between make the address of a client one of those who may ask.
    async with endpoint(holder, Trust(["127.0.0.1"]), peers=["10.0.0.0/8"]) as server:
        status, _, _ = await put(server, path, *headers, "X-Forwarded-For: 10.0.0.1")
        assert status == 403
    assert holder.asked == []


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/decide/nginx", []),
        ("/decide/nginx", ["X-Original-Method: GET"]),
        ("/decide/nginx", ["X-Original-Method: GET", "X-Original-URI: http://evil/"]),
        ("/decide/nginx", ["X-Forwarded-Method: GET", "X-Forwarded-Uri: /"]),
        ("/decide/apache", ["X-Original-Method: GET", "X-Original-URI: /"]),
        ("/decide/", []),
        ("/decide", []),
        ("/", []),
        ("/decided/nginx", ["X-Original-Method: GET", "X-Original-URI: /"]),
        ("/caddy", ["X-Forwarded-Method: GET", "X-Forwarded-Uri: /"]),
    ],
)
async def test_half_a_question_is_none(
    read: Read,
    held: Held,
    path: str,
    headers: list[str],
) -> None:
    holder = Holder(gate(read(POLICY), held[0]))
    async with endpoint(holder) as server:
        assert problem(*await put(server, path, *headers))["error"] == "not_a_question"
    assert holder.asked == []


async def test_a_refusal_in_nginx_s_dialect(read: Read, held: Held) -> None:
    holder = Holder(gate(read(POLICY), held[0]))
    asked = ["X-Original-Method: GET", "X-Original-URI: /calm"]
    async with endpoint(holder) as server:
        for _ in range(3):
            assert (await put(server, "/decide/nginx", *asked))[0] == 200
        status, back, body = await put(server, "/decide/nginx", *asked)
        assert (status, back[b"x-gate-status"], back[b"retry-after"]) == (403, b"429", b"1")
        assert (back[b"x-user-id"], b"Too Many Requests" in body) == (b"", True)
        status, back, _ = await put(server, "/decide/haproxy", *asked)
        assert (status, back[b"x-gate-status"]) == (429, b"429")
