"""The forward-auth endpoint, behind the real nginx and Caddy with the configuration that our documentation gives."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from mainstay.edge.gateway.decide import DIALECTS, Decider
from mainstay.edge.gateway.policy import Admit, Ask, Decision
from mainstay.edge.gateway.settings import DecideSettings
from mainstay.edge.http.exchange import Header
from mainstay.edge.http.limits import HeadLimits, Limits
from mainstay.edge.http.server import Server
from mainstay.edge.http.trust import Trust
from mainstay.ports.clock import FakeClock
from tests.edge.door import Answering, calling, serving
from tests.edge.gateway.conftest import WALL, Held, Read
from tests.edge.gateway.minting import Mint
from tests.edge.gateway.test_vectors import gate
from tests.edge.gateway.vectors import Vector, load
from tests.helpers import ROOT
from tests.servers.nginx import NginxServer
from tests.servers.process import Engine, accepts, free_port, program, started
from tests.servers.recorder import Recorder

POLICY, VECTORS = load()
ROOMY = Limits(head=HeadLimits(head=32768, headers=100, uri=8192, body=10_000))
MOST_TIMES = 200 if os.environ.get("MAINSTAY_CHECKS") else 12
PAGE = (ROOT / "docs/how-to/forward-auth.md").read_text()


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
async def endpoint(holder: Holder, trust: Trust | None = None, **settings: object) -> AsyncIterator[Server]:
    clock = FakeClock(WALL)
    others = Answering(lambda exchange: exchange.respond(418))
    decider = Decider(DecideSettings.model_validate(settings), holder, clock, lambda: b"r1")
    async with serving(decider.before(others), ROOMY, trust=trust) as server:
        yield server


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


async def sent(port: int, vector: Vector, headers: list[tuple[bytes, bytes]]) -> tuple[int, dict[str, str]]:
    """Send a vector as it is written; gives the status and the headers of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"{vector.method} {vector.path} HTTP/1.1", f"Host: {vector.host}"]
    if not any(name == b"connection" for name, _ in headers):
        lines.append("Connection: close")
    text = "\r\n".join(lines).encode() + b"".join(b"\r\n%b: %b" % pair for pair in headers) + b"\r\n\r\n"
    writer.write(text)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    writer.close()
    first, *rest = head.decode("latin-1").strip().split("\r\n")
    pairs = (line.partition(":") for line in rest)
    return int(first.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}


def plain_target(vector: Vector) -> bool:
    return vector.bearer is None and "\\" not in vector.path and (vector.token or {}).get("forge") != "huge"


async def judge(
    port: int, kind: str, vector: Vector, origin: Recorder, headers: list[tuple[bytes, bytes]]
) -> str:
    """Give what was not as it must be."""
    origin.clear()
    for _ in range(vector.times):
        status, back = await sent(port, vector, headers)
    # Caddy cannot answer a preflight for the gateway, the origin has to.
    expected = 200 if vector.answer == 204 and kind == "caddy" else vector.answer
    if kind == "nginx" and vector.name == "two credentials":
        expected = 400  # nginx does not even ask
    if status != expected:
        return f"{vector.name}: {status} and not {expected}"
    if status == 429 and not back.get("retry-after"):
        return f"{vector.name}: no Retry-After"
    if status == 401 and not back.get("www-authenticate", "").startswith("Bearer "):
        return f"{vector.name}: no challenge"
    return complaint(kind, vector, origin) if status == 200 and vector.times == 1 else ""


def complaint(kind: str, vector: Vector, origin: Recorder) -> str:
    """Give what the origin saw that it must not see, or the other way round."""
    (reached,) = origin.requests
    for name, value in vector.origin.items():
        given = reached.headers.get(name) or None
        if name == "connection" or (kind == "caddy" and "_" in name):
            continue  # these are the proxy's own, and what the page says that Caddy lets through
        wanted = "127.0.0.1" if name == "x-forwarded-for" else value
        if not (given if wanted == "*" else given == wanted):
            return f"{vector.name}: {name} is {given}"
    return "" if reached.headers.get("x-request-id") == "r1" else f"{vector.name}: no request id"


async def all_vectors(
    kind: str,
    port: int,
    holder: Holder,
    origin: Recorder,
    fresh: Callable[[], object],
    mint: Mint,
    held: Held,
) -> int:
    """Have every vector judged through a proxy; gives how many."""
    count, complaints = 0, []
    for vector in VECTORS:
        if not plain_target(vector) or vector.times > MOST_TIMES:
            continue
        holder.policy = fresh()
        complaints.append(await judge(port, kind, vector, origin, vector.sent(mint, WALL, held[1])))
        count += 1
    assert list(filter(None, complaints)) == []
    return count


async def test_every_vector_behind_nginx(
    read: Read,
    mint: Mint,
    held: Held,
    nginx: Callable[[str], NginxServer],
    recorder: Recorder,
) -> None:
    holder, settings = Holder(), read(POLICY)
    async with endpoint(holder) as server:
        config = block("nginx").replace("127.0.0.1:8080", "127.0.0.1:{port}")
        config = config.replace("127.0.0.1:8422", f"127.0.0.1:{server.address[1]}")
        front = nginx(config.replace("http://127.0.0.1:8000", recorder.url))
        count = await all_vectors(
            "nginx", front.port, holder, recorder, partial(gate, settings, held[0]), mint, held
        )
        assert count >= 150
    status, _ = await sent(front.port, VECTORS[1], [])
    assert status == 503  # the gateway has gone


@pytest.fixture
def caddy(tmp_path: Path) -> Iterator[Callable[[str], int]]:
    engines: list[Engine] = []
    binary = program("caddy", "caddy")

    def start(config: str) -> int:
        port = free_port()

        def launch() -> Engine:
            file = tmp_path / "Caddyfile"
            text = config.replace(":8080 {", f"http://127.0.0.1:{port} {{").replace(
                "http://127.0.0.1", "http://", 1
            )
            file.write_text("{\n\tadmin off\n\tauto_https off\n}\n" + text)
            return Engine(
                [binary, "run", "--config", str(file), "--adapter", "caddyfile"], tmp_path / "caddy.log"
            )

        engines.append(started(launch, lambda: accepts(port)))
        return port

    yield start
    for engine in engines:
        engine.stop()


async def test_every_vector_behind_caddy(
    read: Read,
    mint: Mint,
    held: Held,
    caddy: Callable[[str], int],
    recorder: Recorder,
) -> None:
    holder, settings = Holder(), read(POLICY)
    async with endpoint(holder) as server:
        config = block("caddy").replace("127.0.0.1:8422", f"127.0.0.1:{server.address[1]}")
        port = caddy(config.replace("127.0.0.1:8000", recorder.url.removeprefix("http://")))
        count = await all_vectors(
            "caddy", port, holder, recorder, partial(gate, settings, held[0]), mint, held
        )
        assert count >= 150
    status, _ = await sent(port, VECTORS[1], [])
    assert status in (502, 503)


# --- the endpoint by itself


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
        status, _, _ = await put(server, path, *headers)
        assert status == 403
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
        status, _, _ = await put(server, path, *headers)
        assert status == 400
        status, _, _ = await put(server, "/decided", *headers)
        assert status == 418
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
