"""The edge's listeners: one configuration follows another without a request lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from mainstay.app.edge import _read_anew
from mainstay.app.listeners import Edge, Opening, Surroundings
from mainstay.config import load
from mainstay.config.model import Config
from mainstay.core.errors import MainstayError
from mainstay.edge.http.exchange import Exchange, Handler
from mainstay.edge.http.meter import Meter
from mainstay.ports.clock import FakeClock
from tests.edge.door import Answering, Client, calling
from tests.helpers import aeventually
from tests.servers.authority import Authority
from tests.servers.process import free_port

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Stage:
    """An edge whose handlers say which configuration they were made of; they answer when the test lets them."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "mainstay.yaml"
        self.clock = FakeClock()
        self.names = ["gateway"]
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.held: list[Exchange] = []
        self.edge = Edge(self.clock, Meter(), self._openings)
        self.ports = {"gateway": free_port(), "webhooks": free_port()}

    def config(self, name: str, more: str = "") -> Config:
        ports = "".join(f", {each}: '127.0.0.1:{port}'" for each, port in self.ports.items())
        log = "" if "access_log" in more else ", access_log: false"
        self.file.write_text(
            f"name: {name}\nstate_dir: state\nedge: {{idle_timeout: 60s{log}{ports}{more}}}\n"
        )
        return load(self.file)

    async def apply(self, name: str, more: str = "") -> None:
        await self.edge.apply(self.config(name, more))

    @asynccontextmanager
    async def call(self, listener: str = "gateway") -> AsyncIterator[Client]:
        async with calling(self.edge.listeners[listener].server) as client:
            yield client

    async def ask(self, client: Client) -> bytes:
        client.send(GET)
        return (await client.answer())[2]

    def _openings(self, config: Config) -> dict[str, Opening]:
        return dict.fromkeys(self.names, self._open)

    @asynccontextmanager
    async def _open(self, around: Surroundings) -> AsyncIterator[Handler]:
        name = around.config.name
        if name == "broken":
            raise MainstayError("it cannot be opened")
        if name == "odd":
            raise OSError("nobody thought of this")
        self.opened.append(name)

        def answer(exchange: Exchange) -> None:
            if exchange.head.target == b"/held":
                self.held.append(exchange)
            else:
                exchange.respond(200, [], name.encode())

        yield Answering(answer)
        self.closed.append(name)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    made = Stage(tmp_path)
    await made.apply("one")
    yield made
    await made.edge.close()


async def test_a_new_configuration_answers_on_the_same_connection(stage: Stage) -> None:
    async with stage.call() as client:
        assert await stage.ask(client) == b"one"
        await stage.apply("two")
        assert await stage.ask(client) == b"two"
        await aeventually(lambda: stage.closed == ["one"])


async def test_an_old_handler_stays_until_its_last_request_is_answered(stage: Stage) -> None:
    async with stage.call() as slow, stage.call() as quick:
        slow.send(GET.replace(b"/ ", b"/held "))
        await aeventually(lambda: stage.held)
        await stage.apply("two")
        assert await stage.ask(quick) == b"two"
        await stage.clock.advance(60)
        assert stage.closed == []
        stage.held[0].respond(200, [], b"late")
        assert (await slow.answer())[2] == b"late"
        await stage.clock.advance(1)
        assert stage.closed == ["one"]


async def test_what_cannot_be_opened_changes_nothing(stage: Stage) -> None:
    async with stage.call() as client:
        with pytest.raises(MainstayError, match="it cannot be opened"):
            await stage.apply("broken", ", max_uri: 64")
        taken = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        stage.ports["gateway"] = taken.sockets[0].getsockname()[1]
        with pytest.raises(MainstayError, match=r"cannot listen on .*: .*[Aa]ddress .*in use.*edge.gateway"):
            await stage.apply("two")
        taken.close()
        with pytest.raises(MainstayError, match=r"nowhere\.pem cannot be read"):
            await stage.apply("three", ", tls: {certificate: nowhere.pem, key: nowhere.key}")
        assert await stage.ask(client) == b"one"
        assert stage.opened == ["one"]


async def test_a_file_that_breaks_what_nobody_thought_of_cuts_nobody_off(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage.call() as client:
        stage.config("odd")
        await _read_anew(stage.edge, stage.file)
        assert "the old one stays" in caplog.text
        assert await stage.ask(client) == b"one"
        stage.config("two")
        await _read_anew(stage.edge, stage.file)
        assert await stage.ask(client) == b"two"


async def test_a_new_address_is_listened_on_and_the_old_one_no_more(stage: Stage) -> None:
    before = stage.edge.listeners["gateway"].server.address
    async with stage.call() as client:
        stage.ports["gateway"] = free_port()
        await stage.apply("two")
        assert stage.edge.listeners["gateway"].server.address == ("127.0.0.1", stage.ports["gateway"])
        assert await stage.ask(client) == b"two"
        async with stage.call() as another:
            assert await stage.ask(another) == b"two"
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*before)


async def test_listeners_come_and_go(stage: Stage) -> None:
    stage.names.append("webhooks")
    await stage.apply("two")
    async with stage.call("webhooks") as client, stage.call() as other:
        assert await stage.ask(client) == b"two"
        stage.names.remove("gateway")
        await stage.apply("three")
        assert await other.ended() == b""
        assert await stage.ask(client) == b"three"
        assert set(stage.edge.listeners) == {"webhooks"}
    await aeventually(lambda: stage.closed == ["one", "two", "two"])


async def test_every_limit_is_in_force(stage: Stage) -> None:
    stage.names.append("webhooks")
    limits = (
        ", max_head: 2000, max_headers: 3, max_uri: 100, max_body: 10, max_upload: 20, trusted_proxies: []"
    )
    await stage.apply("two", limits)
    wrong = [
        ("gateway", GET.replace(b"/ ", b"/" + b"a" * 100 + b" "), 414),
        ("gateway", GET.replace(b"\r\n\r\n", b"\r\nX: " + b"a" * 2000 + b"\r\n\r\n"), 431),
        ("gateway", GET.replace(b"\r\n\r\n", b"\r\nA: 1\r\nB: 1\r\nC: 1\r\n\r\n"), 431),
        ("gateway", GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 21\r\n\r\n"), 413),
        ("gateway", GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 20\r\n\r\n"), 200),
        ("webhooks", GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 11\r\n\r\n"), 413),
    ]
    for listener, data, status in wrong:
        async with stage.call(listener) as client:
            client.send(data)
            assert (await client.answer())[0] == status
    server = stage.edge.listeners["gateway"].server
    assert not server.trust.covers("127.0.0.1")
    more = (
        ", head_timeout: 1s, body_timeout: 2s, pipeline: 7, max_connections: 1, trusted_proxies: [10.0.0.0/8]"
    )
    await stage.apply("three", more)
    assert (server.limits.head_timeout, server.limits.body_timeout, server.limits.pipeline) == (1, 2, 7)
    assert server.trust.covers("10.1.1.1")
    async with stage.call() as client, stage.call() as second:
        assert await stage.ask(client) == b"three"
        assert (await second.answer())[0] == 503


async def test_certificates_that_change_on_the_disk_are_taken(stage: Stage, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    files = (tmp_path / "live.pem", tmp_path / "live.key")
    for source, target in zip(authority.issue(), files, strict=True):
        source.replace(target)
    await stage.apply("two", ", tls: {certificate: live.pem, key: live.key}")
    server = stage.edge.listeners["gateway"].server
    first = await shown(server.address)
    await stage.edge.tend()
    assert await shown(server.address) == first
    files[0].write_text("nonsense")
    await stage.edge.tend()
    assert await shown(server.address) == first
    for source, target in zip(authority.issue(), files, strict=True):
        source.replace(target)
    await stage.edge.tend()
    assert await shown(server.address) != first
    await stage.apply("three")
    async with stage.call() as plain:
        assert await stage.ask(plain) == b"three"


async def shown(address: tuple[str, int]) -> bytes | None:
    """The certificate that a new connection gets."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _, writer = await asyncio.open_connection(*address, ssl=context)
    found: bytes | None = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return found


def noted(path: Path) -> bool:
    return "GET" in path.read_text()


async def test_the_access_log_is_where_it_is_said_to_be(stage: Stage, tmp_path: Path) -> None:
    for number, (more, path) in enumerate(
        [
            (", access_log: true", "state/edge/access.log"),
            (", access_log: here.log, access_log_size: 4096", "here.log"),
        ]
    ):
        await stage.apply(f"n{number}", more)
        async with stage.call() as client:
            await stage.ask(client)
        await stage.edge.tend()
        await aeventually(partial(noted, tmp_path / path))
    await stage.apply("none", ", access_log: false")
    before = (tmp_path / "here.log").read_text()
    async with stage.call() as client:
        await stage.ask(client)
    await stage.edge.tend()
    assert (tmp_path / "here.log").read_text() == before


async def test_draining_answers_what_is_under_way(stage: Stage) -> None:
    async with stage.call() as client:
        client.send(GET.replace(b"/ ", b"/held "))
        await aeventually(lambda: stage.held)
        draining = asyncio.create_task(stage.edge.drain())
        await stage.clock.advance(1)
        assert stage.closed == []
        stage.held[0].respond(200, [], b"last")
        assert (await client.answer())[2] == b"last"
        await draining
        assert stage.closed == ["one"]


async def test_who_is_not_done_when_patience_ends_is_cut_off(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.apply("one", ", drain_timeout: 5s")
    async with stage.call() as client:
        client.send(GET.replace(b"/ ", b"/held "))
        await aeventually(lambda: stage.held)
        draining = asyncio.create_task(stage.edge.drain())
        await stage.clock.advance(4)
        assert not draining.done()
        await stage.clock.advance(2)
        await draining
        assert await client.ended() == b""
        assert "did not end in time" in caplog.text


@pytest.mark.parametrize(
    ("edge", "words"),
    [
        ("{processes: 2, gateway: '127.0.0.1:0'}", "cannot share port 0"),
        ("{max_uri: 4KiB, max_head: 4KiB}", "max_uri must be smaller"),
        ("{trusted_proxies: [10.0.0.0/99]}", "not an address or a network"),
        ("{head_timeout: 0s}", "at least 10ms"),
        ("{webhooks: '127.0.0.1:99', gateway: ':99'}", "cannot listen on one address"),
        ("{access_log_size: 1}", "4096"),
        ("{tls: {certificate: x.pem}}", "key"),
        ("{webhooks: nonsense}", "not an address to listen on"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, edge: str, words: str) -> None:
    (tmp_path / "mainstay.yaml").write_text(f"name: x\nedge: {edge}\n")
    with pytest.raises(MainstayError, match=words):
        load(tmp_path / "mainstay.yaml")
