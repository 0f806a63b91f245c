"""The gateway of an edge process, put together from a file: policy, origins, and one configuration after another."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mainstay.app.gateway import House
from mainstay.app.listeners import Edge
from mainstay.config import load
from mainstay.core.errors import ConfigError, MainstayError
from mainstay.edge.http.meter import Meter
from mainstay.edge.proxy.counts import REQUESTS
from mainstay.ports.clock import SystemClock
from mainstay.store import keys
from mainstay.store.open import open_store
from tests.edge.door import Client, calling
from tests.edge.origins import answer, raw_origin, says
from tests.helpers import aeventually
from tests.servers.process import free_port

RELOADS = int(os.environ.get("MAINSTAY_SWAPS", "10"))
GET = b"GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n"


class Stage:
    """An edge with a gateway, whose file a test writes."""

    def __init__(self, directory: Path, meter: Meter | None = None) -> None:
        self.file = directory / "mainstay.yaml"
        self.log = directory / "state/access.log"
        self.meter = meter or Meter()
        house = House()
        openings = {"gateway": house.carry, "decide": house.decide}
        self.edge = Edge(SystemClock(), self.meter, lambda config: openings)
        self.port, self.asked = free_port(), free_port()

    async def apply(self, text: str) -> None:
        edge = f"{{gateway: '127.0.0.1:{self.port}', decide: '127.0.0.1:{self.asked}', access_log: '{self.log}'}}"
        self.file.write_text(f"name: shop\nstate_dir: state\nedge: {edge}\ngateway: {text}\n")
        await self.edge.apply(load(self.file))

    @asynccontextmanager
    async def call(self, listener: str = "gateway") -> AsyncIterator[Client]:
        async with calling(self.edge.listeners[listener].server) as client:
            yield client


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    made = Stage(tmp_path)
    yield made
    await made.edge.drain()
    await made.edge.close()


async def test_limits_origins_log_and_numbers_from_one_file(stage: Stage) -> None:
    async with raw_origin(says(answer(b"a"))) as origin:
        await stage.apply(f"{{per_address: 3/h, routes: [{{path: /, origin: '{origin.url}'}}]}}")
        async with stage.call() as client:
            answers = []
            for _ in range(5):
                client.send(GET)
                answers.append(await client.answer())
            assert [status for status, _, _ in answers] == [200, 200, 200, 429, 429]
            assert [headers[b"x-ratelimit-remaining"] for _, headers, _ in answers[:3]] == [b"2", b"1", b"0"]
            assert b"retry-after" in answers[3][1]
            assert len(origin.calls) == 1
        await stage.edge.tend()
        await aeventually(lambda: len(stage.log.read_text().splitlines()) == 5)
        lines = [json.loads(line) for line in stage.log.read_text().splitlines()]
        assert [(line["status"], line.get("why"), line.get("origin")) for line in lines] == [
            *[(200, None, origin.url)] * 3,
            *[(429, "address_limited", None)] * 2,
        ]
        assert len({line["request"] for line in lines}) == 5
        assert stage.meter.cell(REQUESTS, "/", "admitted").value == 3
        assert stage.meter.cell(REQUESTS, "/", "limited").value == 2


async def test_counts_and_connections_outlive_a_change_of_the_file(stage: Stage) -> None:
    async with raw_origin() as one, raw_origin() as other:
        text = "{{per_address: 3/h, routes: [{{path: /, origin: '{}', rewrite: {}}}]}}"
        await stage.apply(text.format(one.url, "/"))
        async with stage.call() as client:
            client.send(GET)
            assert (await client.answer())[1][b"x-ratelimit-remaining"] == b"2"
            await stage.apply(text.format(one.url, "/v2"))
            client.send(GET)
            assert (await client.answer())[1][b"x-ratelimit-remaining"] == b"1"
            assert len(one.calls) == 1
            assert b"GET /v2/ " in one.seen
            await stage.apply(text.format(other.url, "/v2"))
            await aeventually(lambda: not stage_origins(stage).count(one.url))
            client.send(GET)
            assert (await client.answer())[0] == 200
            assert len(other.calls) == 2  # one to see that it is there, one for the request


def stage_origins(stage: Stage) -> list[str]:
    """Where requests go now."""
    handler = stage.edge.listeners["gateway"].server.handler
    return [origin["url"] for route in handler.plane.state() for origin in route["origins"]]  # type: ignore[attr-defined]


QUESTION = b"GET /decide/caddy HTTP/1.1\r\nHost: a\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Uri: /x\r\n\r\n"


async def test_questions_of_other_proxies_are_answered_where_no_client_comes(stage: Stage) -> None:
    """One policy with one count; but what is asked where clients come is a request like any other."""
    async with raw_origin() as origin:
        await stage.apply(
            f"{{decide: {{}}, per_address: 2/h, routes: [{{path: /, origin: '{origin.url}'}}]}}"
        )
        async with stage.call("decide") as proxy, stage.call() as client:
            proxy.send(QUESTION)
            status, headers, _ = await proxy.answer()
            assert (status, headers[b"x-user-id"], origin.calls) == (200, b"", [])
            proxy.send(GET)
            assert (await proxy.answer())[0] == 400
            client.send(QUESTION)
            status, headers, _ = await client.answer()
            assert (status, headers.get(b"x-gate-route"), len(origin.calls)) == (200, None, 1)
            proxy.send(QUESTION)
            assert (await proxy.answer())[0] == 429


async def test_policies_and_origins_change_under_load_without_a_failed_request(stage: Stage) -> None:
    stop = asyncio.Event()
    statuses: list[int] = []

    async def asks() -> None:
        async with stage.call() as client:
            while not stop.is_set():
                client.send(GET)
                statuses.append((await client.answer())[0])

    async with raw_origin() as one, raw_origin() as other:
        text = (
            "{{per_address: {}/min, plans: {{free: {}/min}}, routes: [{{path: /, name: r{}, origin: '{}'}}]}}"
        )
        await stage.apply(text.format(10_000_000, 1, 0, one.url))
        clients = [asyncio.create_task(asks()) for _ in range(6)]
        for number in range(RELOADS):
            urls = [one.url, other.url]
            # Every second time the route is another one, too: its origins are new, the old ones drain.
            await stage.apply(text.format(9_000_000 + number, 1 + number, number // 2, urls[number % 2]))
            many = len(statuses) + 30
            await aeventually(lambda many=many: len(statuses) > many)  # type: ignore[misc]
        stop.set()
        await asyncio.gather(*clients)
        assert set(statuses) == {200}


async def test_api_keys_that_are_turned_on_later_are_known(stage: Stage) -> None:
    async with raw_origin(says(answer(b"a"))) as origin:
        routes = f"routes: [{{path: /, origin: '{origin.url}'}}]"
        await stage.apply(f"{{{routes}}}")
        config = load(stage.file)
        store = await open_store(config.journal_url, SystemClock())
        key, _ = await store.write(
            lambda tx: keys.create(tx, "ann", plan="", note="", who="a test", now=SystemClock().now())
        )
        await store.close()
        await stage.apply(f"{{auth: {{keys: {{}}}}, {routes}}}")
        async with stage.call() as client:
            client.send(GET)
            assert (await client.answer())[0] == 401
            client.send(GET.replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer %b\r\n\r\n" % key.encode()))
            assert (await client.answer())[0] == 200


async def test_authorities_that_cannot_be_read_leave_everything_as_it_was(
    stage: Stage, tmp_path: Path
) -> None:
    async with raw_origin(says(answer(b"a"))) as origin:
        text = "{{per_address: {}/h, routes: [{{path: /, origin: '{}'}}{}]}}"
        await stage.apply(text.format(3, origin.url, ""))
        wrong = ", {path: /b, origin: 'https://localhost:1', carry: {ca: none.pem}}"
        with pytest.raises(ConfigError, match=r"none\.pem: No such file"):
            await stage.apply(text.format(9, origin.url, wrong))
        (tmp_path / "none.pem").write_text("nothing")
        with pytest.raises(ConfigError, match=r"none\.pem: this holds no certificate"):
            await stage.apply(text.format(9, origin.url, wrong))
        async with stage.call() as client:
            client.send(GET)
            status, headers, _ = await client.answer()
            assert (status, headers[b"x-ratelimit-limit"]) == (200, b"3")


async def test_a_state_directory_that_is_too_long_for_a_socket_is_told(stage: Stage, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    stage.file.write_text(
        f"name: shop\nstate_dir: '{deep}'\nedge: {{gateway: '127.0.0.1:{stage.port}'}}\n"
        "gateway: {routes: [{path: /, origin: 'http://127.0.0.1:1'}]}\n"
    )
    with pytest.raises(MainstayError, match="control socket cannot be made"):
        await stage.edge.apply(load(stage.file))
