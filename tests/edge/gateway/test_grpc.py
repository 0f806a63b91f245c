"""gRPC through the Envoy that mainstay runs: streams both ways, trailers, refusals in gRPC's own words, TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from mainstay.edge.gateway.settings import GatewaySettings
from tests.edge.gateway.conftest import Held
from tests.edge.gateway.engine import running
from tests.edge.gateway.fronts import ask, hang_up
from tests.edge.gateway.test_decide import Holder, endpoint
from tests.edge.gateway.test_engine import place
from tests.edge.gateway.test_vectors import gate
from tests.helpers import aeventually
from tests.servers.authority import Authority
from tests.servers.recorder import Recorder

__all__ = ["place"]


class Echo:
    """A service of one's own making: bytes are its messages."""

    def __init__(self) -> None:
        self.seen: dict[str, str] = {}

    async def one(self, request: bytes, context: Any) -> bytes:
        self.seen = dict(context.invocation_metadata())
        context.set_trailing_metadata((("x-trailer", "last"),))
        if request == b"no":
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not like this")
        return request

    async def many(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        for number in range(int(request)):
            yield b"%d" % number

    async def talk(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request.upper()


@asynccontextmanager
async def served(echo: Echo, credentials: Any = None) -> AsyncIterator[int]:
    """Serve it; gives the port."""
    server = grpc.aio.server()
    handlers = {
        "One": grpc.unary_unary_rpc_method_handler(echo.one),
        "Many": grpc.unary_stream_rpc_method_handler(echo.many),
        "Talk": grpc.stream_stream_rpc_method_handler(echo.talk),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Echo", handlers),))
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


def policy(origin: str, **more: Any) -> GatewaySettings:
    routes = [
        {"path": "/", "origin": origin, "protocol": "http2", **more.pop("route", {})},
        {"path": "/shop.Echo/Many", "origin": origin, "protocol": "http2", "limit": "1/h"},
    ]
    return GatewaySettings.model_validate({"engine": "envoy", "routes": routes, **more})


async def test_streams_trailers_and_refusals(place: Path, held: Held) -> None:
    echo = Echo()
    async with served(echo) as port:
        settings = policy(f"http://127.0.0.1:{port}", auth={"keys": {}}, plans={"paid": "unlimited"})
        holder = Holder(gate(settings, held[0]))
        async with (
            endpoint(holder) as server,
            running(place, server.address[1], settings) as engine,
            grpc.aio.insecure_channel(f"127.0.0.1:{engine.port}") as channel,
        ):
            key = (("authorization", f"Bearer {held[1]['good']}"), ("x-user-id", "forged"))
            call = channel.unary_unary("/shop.Echo/One")(b"hello", metadata=key)
            assert await call == b"hello"
            assert dict(await call.trailing_metadata())["x-trailer"] == "last"
            assert dict(await call.initial_metadata())["x-request-id"] == "r1"
            assert (echo.seen["x-user-id"], echo.seen["x-user-plan"]) == ("shop-1", "paid")
            assert holder.asked[-1].path == b"/shop.Echo/One"

            failing = channel.unary_unary("/shop.Echo/One")(b"no", metadata=key)
            assert (await failing.code(), await failing.details()) == (
                grpc.StatusCode.FAILED_PRECONDITION,
                "not like this",
            )
            refused = channel.unary_unary("/shop.Echo/One")(b"hello")
            assert await refused.code() == grpc.StatusCode.UNAUTHENTICATED
            assert '"error": "unauthorised"' in await refused.details()

            counted = [each async for each in channel.unary_stream("/shop.Echo/Many")(b"500", metadata=key)]
            assert counted == [b"%d" % number for number in range(500)]
            limited = channel.unary_stream("/shop.Echo/Many")(b"1", metadata=key)
            assert await limited.code() == grpc.StatusCode.UNAVAILABLE  # which is gRPC's word for 429

            talk = channel.stream_stream("/shop.Echo/Talk")(metadata=key)
            for word in (b"one", b"two", b"three"):
                await talk.write(word)
                assert await talk.read() == word.upper()  # neither side waits for the end of the other
            await talk.done_writing()
            assert await talk.read() == grpc.aio.EOF
            # A change of the routes leaves a stream that is under way alone.
            open_still = channel.stream_stream("/shop.Echo/Talk")(metadata=key)
            await open_still.write(b"before")
            assert await open_still.read() == b"BEFORE"
            await engine.take(policy(f"http://127.0.0.1:{port}", route={"carry": {"answer": "7s"}}))
            await open_still.write(b"after")
            assert await open_still.read() == b"AFTER"
            await open_still.done_writing()
            assert await open_still.code() == grpc.StatusCode.OK


class Secure:
    """An authority, certificates that may change, and clients who show one."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory)
        self.pair = self.authority.issue("localhost", "127.0.0.1")
        self.live = (directory / "live.pem", directory / "live.key")
        self.change(self.pair)
        self.ca = self.authority.ca.read_bytes()
        self.client = ssl.create_default_context(cafile=str(self.authority.ca))
        self.client.load_cert_chain(*self.authority.issue("ben"))

    def change(self, pair: tuple[Path, Path]) -> None:
        """Have the files hold another certificate."""
        for live, fresh in zip(self.live, pair, strict=True):
            live.write_bytes(fresh.read_bytes())

    def tls(self, pair: tuple[Path, Path]) -> dict[str, str]:
        """The `edge.tls` of it."""
        return {"certificate": str(pair[0]), "key": str(pair[1]), "client_ca": str(self.authority.ca)}

    def channel(self, port: int, name: str | None) -> Any:
        """A channel to the gateway of a client that shows a certificate, or none."""
        pair = [path.read_bytes() for path in self.authority.issue(name)] if name else [None, None]
        return grpc.aio.secure_channel(
            f"localhost:{port}", grpc.ssl_channel_credentials(self.ca, pair[1], pair[0])
        )


async def test_a_certificate_says_who_asks_and_origins_speak_tls(place: Path, held: Held) -> None:
    secure, echo = Secure(place), Echo()
    certificate, key = (path.read_bytes() for path in secure.pair)
    async with served(echo, grpc.ssl_server_credentials([(key, certificate)])) as port:
        carry = {"carry": {"ca": str(secure.authority.ca)}}
        settings = policy(f"https://127.0.0.1:{port}", route=carry, auth={"certificates": {}})
        async with (
            endpoint(Holder(gate(settings, held[0]))) as server,
            running(place / "e", server.address[1], settings, tls=secure.tls(secure.pair)) as engine,
        ):
            forged = (("x-forwarded-client-cert", "x"), ("x-user-id", "root"))
            async with secure.channel(engine.port, "ann") as channel:
                assert await channel.unary_unary("/shop.Echo/One")(b"hello", metadata=forged) == b"hello"
            assert (echo.seen["x-user-id"], echo.seen["x-forwarded-proto"]) == ("ann", "https")
            assert "x-forwarded-client-cert" not in echo.seen
            async with secure.channel(engine.port, None) as channel:
                refused = channel.unary_unary("/shop.Echo/One")(b"hello", metadata=forged)
                assert await refused.code() == grpc.StatusCode.UNAUTHENTICATED


async def test_new_certificates_are_shown_to_whoever_comes_next(
    place: Path, held: Held, recorder: Recorder
) -> None:
    secure = Secure(place)
    settings = policy(recorder.url, route={"protocol": "http1"}, auth={"certificates": {}})
    async with (
        endpoint(Holder(gate(settings, held[0]))) as server,
        running(place / "e", server.address[1], settings, tls=secure.tls(secure.live)) as engine,
    ):
        assert (await ask(engine.port, "/x", tls=secure.client)).status == 200
        assert recorder.requests[-1].headers["x-user-id"] == "ben"
        before = await shown(engine.port, secure.client)
        secure.change(secure.authority.issue("localhost", "127.0.0.1"))
        engine.keeper.renew_certificates()

        async def renewed() -> bool:
            return await shown(engine.port, secure.client) != before

        await aeventually(renewed)
        # Another place of the certificate is a change like any other; without them it is HTTP again.
        await engine.take(settings, tls=secure.tls(secure.pair))
        assert await shown(engine.port, secure.client) == before
        await engine.take(settings)
        assert (await ask(engine.port, "/x")).status == 401


async def shown(port: int, client: ssl.SSLContext) -> bytes | None:
    """The certificate that the gateway shows."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname="localhost")
    found: bytes | None = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    await hang_up(writer)
    return found
