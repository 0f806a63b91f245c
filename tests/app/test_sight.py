"""What the agent sees of a gateway beside it: origins that die, a Redis, an issuer and a service that fail."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mainstay.core.incident import IncidentState
from mainstay.edge.gateway import gateway as edge_gateway
from mainstay.edge.http.meter import DIRECTORY, Meter
from mainstay.edge.proxy import health
from mainstay.edge.sight.lookout import Lookout
from mainstay.incidents.desk import Desk
from mainstay.incidents.routing import Channel, Routing
from mainstay.ports.clock import FakeClock, SystemClock
from mainstay.store import gateway, incidents, outbox
from mainstay.store.base import Store
from mainstay.store.gateway import MINUTE
from tests.app.test_gateway import Stage
from tests.edge.origins import answer, raw_origin, says
from tests.helpers import aeventually
from tests.journals import sqlite_journal
from tests.servers.process import free_port
from tests.servers.recorder import Recorder
from tests.servers.redis import RedisServer

LONG = 120.0
"""Seconds after which everything that is wrong is told."""


class Post:
    """A gateway, and the agent's lookout beside it on a clock of its own, which a test moves."""

    def __init__(self, stage: Stage, store: Store, clock: FakeClock, directory: Path) -> None:
        self.stage = stage
        self.store = store
        self.clock = clock
        desk = Desk(clock, Routing([Channel("slack")], None))
        self.lookout = Lookout(store, clock, "web1", directory, desk)

    async def look(self, later: float = 0.0) -> dict[str, Any]:
        """Let time pass, and look; gives what is in the journal then."""
        await self.clock.advance(later)
        self.stage.meter.flush()
        await self.lookout.look()
        (seen,) = await self.store.read(gateway.seen)
        assert (seen.host, seen.at) == ("web1", self.clock.now())
        return seen.state

    async def origins(self, route: str) -> list[str]:
        state = await self.look()
        (found,) = [one for one in state["routes"] if one["route"] == route]
        return [one["state"] for one in found["origins"]]

    async def open_incidents(self) -> dict[str, str]:
        live = await self.store.read(incidents.live)
        return {one.key: str(one.severity) for one in live}

    async def ask(self, path: str = "/", count: int = 1, key: str = "") -> list[int]:
        found = []
        async with self.stage.call() as client:
            for _ in range(count):
                head = f"GET {path} HTTP/1.1\r\nHost: api.example.com\r\n{key}\r\n"
                client.send(head.encode())
                found.append((await client.answer())[0])
        return found


@pytest.fixture
async def post(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Post]:
    for module in (edge_gateway, health):
        monkeypatch.setattr(module, "LOOK_EVERY", 0.2)
    directory = tmp_path / "state" / DIRECTORY
    meter = Meter(directory)
    stage = Stage(tmp_path, meter)
    clock = FakeClock(SystemClock().now())
    async with sqlite_journal(tmp_path).opened(clock) as store:
        yield Post(stage, store, clock, directory)
    await stage.edge.drain()
    await stage.edge.close()
    meter.close()


async def test_origins_that_die_are_seen_told_and_seen_again(post: Post) -> None:
    dead = free_port()
    async with raw_origin(says(answer(b"a"))) as well, raw_origin(says(answer(b"b"))) as other:
        routes = (
            f"{{path: /, name: shop, origin: ['http://127.0.0.1:{dead}', '{well.url}']}}",
            f"{{path: /lone, name: lone, origin: '{other.url}', limit: 20/h}}",
        )
        await post.stage.apply(f"{{per_address: unlimited, routes: [{', '.join(routes)}]}}")
        assert await post.origins("shop") == ["up", "up"]
        assert await post.ask("/", 8) == [200] * 8
        assert sorted(await post.origins("shop")) == ["ejected", "up"]
        await other.stop()
        assert await post.ask("/lone", 4) == [502] * 4
        state = await post.look(5)
        assert await post.open_incidents() == {}  # nobody is woken for a moment's trouble
        await post.look(LONG)
        assert await post.open_incidents() == {
            f"gateway:origin:shop http://127.0.0.1:{dead}": "warning",
            "gateway:route:lone": "critical",
        }
        (critical,) = [one for one in await post.store.read(incidents.live) if one.severity == "critical"]
        assert critical.title == "lone: no origin is well"
        assert critical.detail == f"{other.url}: it takes no connection"
        assert [one.channel for one in await post.store.read(outbox.all_owed)] == ["slack"] * 2
        (origin,) = next(one for one in state["routes"] if one["route"] == "lone")["origins"]
        assert origin["since"] <= origin["at"] <= SystemClock().now()
        await _is_back(post, other)
    assert next(one for one in state["routes"] if one["route"] == "shop")["swapped"] is False


async def _is_back(post: Post, other: Any) -> None:
    """An origin that listens again is taken for well without any request that tries it, and the incident ends."""
    await other.start(other.port)

    async def up() -> bool:
        return await post.origins("lone") == ["up"]

    assert await aeventually(up, 20)
    await post.look(5)
    assert "gateway:route:lone" not in await post.open_incidents()
    past = await post.store.read(incidents.recent)
    assert [one.state for one in past if one.key == "gateway:route:lone"] == [IncidentState.RESOLVED]


async def test_what_is_answered_is_kept_by_route_and_minute(post: Post) -> None:
    async with raw_origin(says(answer(b"a"))) as origin:
        await post.stage.apply(
            f"{{per_address: unlimited, routes: [{{path: /, name: shop, origin: '{origin.url}', limit: 5/h}}]}}"
        )
        await post.ask("/", 2)
        await post.look()  # what was before the first look is not of this minute
        assert sorted(await post.ask("/", 6)) == [200, 200, 200, 429, 429, 429]
        state = await post.look(30)
        lately = state["lately"]["routes"]["shop"]
        assert state["lately"]["seconds"] > 0
        assert lately["answers"] == pytest.approx(2 * lately["limited"], rel=0.01)
        assert 0 < lately["p50"] <= lately["p99"] < 1
        (sample,) = await post.store.read(
            lambda tx: [one for one in gateway.samples(tx, MINUTE, 0.0) if one.traffic.answers]
        )
        traffic = sample.traffic
        assert (traffic.route, traffic.answers, traffic.admitted, traffic.limited) == ("shop", 6, 3, 3)
        assert (traffic.client_errors, traffic.server_errors, sum(traffic.latencies)) == (3, 0, 6)
        await post.look(90)
        quiet = await post.store.read(lambda tx: gateway.samples(tx, MINUTE, post.clock.now() - 60))
        assert [one.traffic.answers for one in quiet] == [0]  # it was looked at, and nothing had come


async def test_redis_an_issuer_and_a_service_that_do_not_answer(
    post: Post, redis: RedisServer, recorder: Recorder
) -> None:
    recorder.answer(503, path="/jwks")
    recorder.answer(200, json.dumps({"user_id": "alice"}).encode(), path="/who")
    remote = f"{{url: '{recorder.url}/who', bad_ttl: 0s}}"
    auth = f"{{tokens: [{{issuer: us, jwks: '{recorder.url}/jwks'}}], remote: {remote}}}"
    limits = f"{{url: '{redis.url}', timeout: 2s}}"
    plans = "{free: 1000/min}"
    route = f"{{path: /, origin: 'http://127.0.0.1:{free_port()}'}}"
    await post.stage.apply(f"{{routes: [{route}], plans: {plans}, limits: {limits}, auth: {auth}}}")
    await post.ask("/", key="Authorization: Bearer opaque\r\n")

    async def needs() -> dict[str, str]:
        return {one["what"]: one["state"] for one in (await post.look())["needs"]}

    assert await needs() == {"keys": "down", "redis": "up", "service": "up"}
    redis.kill()
    recorder.answer(500, path="/who")
    await post.ask("/", key="Authorization: Bearer other\r\n")

    async def all_down() -> bool:
        return set((await needs()).values()) == {"down"}

    assert await aeventually(all_down, 20)  # Redis is looked at although nobody is counted
    await post.look(LONG)
    assert {key.split()[0]: severity for key, severity in (await post.open_incidents()).items()} == {
        "gateway:need:keys": "critical",
        "gateway:need:service": "critical",
        "gateway:need:redis": "warning",
    }
    redis.start()
    recorder.answer(401, path="/who")

    async def back() -> bool:
        found = await needs()
        return (found["redis"], found["service"]) == ("up", "up")

    assert await aeventually(back, 20)
    assert [key.split()[0] for key in await post.open_incidents()] == ["gateway:need:keys"]


async def test_a_machine_whose_edge_is_gone_says_so_and_calls_nothing_over(post: Post) -> None:
    async with raw_origin(says(answer(b"a"))) as origin:
        await post.stage.apply(f"{{routes: [{{path: /, origin: '{origin.url}'}}]}}")
        state = await post.look()
        assert (state["processes"], state["silent"], state["gone_since"]) == (1, 0, None)
        await origin.stop()
        await post.ask("/", 4)
        await post.look(LONG)
        assert list(await post.open_incidents()) == ["gateway:route:/"]
    await post.stage.edge.drain()
    gone = post.clock.now() + 5
    state = await post.look(5)
    assert (state["processes"], state["gone_since"], state["routes"]) == (0, gone, [])
    await post.look(LONG)
    assert list(await post.open_incidents()) == ["gateway:route:/"]


async def test_where_no_edge_has_ever_run_nothing_is_written(tmp_path: Path) -> None:
    clock = FakeClock()
    async with sqlite_journal(tmp_path).opened(clock) as store:
        desk = Desk(clock, Routing([], None))
        await Lookout(store, clock, "web1", tmp_path / "edge", desk).look()
        assert await store.read(gateway.seen) == []
