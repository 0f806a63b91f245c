"""The gateway's origins at the command line: how they are, and a switch to others."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mainstay.edge.http.meter import Meter
from mainstay.edge.proxy.open import Standing
from mainstay.edge.sight.merge import merged
from mainstay.ports.clock import SystemClock
from mainstay.store import gateway
from mainstay.store.gateway import Seen
from tests.cli.conftest import TEXT, Cli, Company
from tests.edge.origins import RawOrigin
from tests.edge.proxy.parts import route
from tests.servers.process import free_port


class Room:
    """Two origins, and a gateway's routes to the first of them, in a thread of their own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.urls: list[str] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()))

    async def _live(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        origins = [RawOrigin(), RawOrigin()]
        for origin in origins:
            await origin.start()
        self.urls = [origin.url for origin in origins]
        routes = [route(self.urls[0], name="shop"), route([], path="/empty")]
        async with Standing().hold(routes, SystemClock(), Meter(), self.directory):
            self._ready.set()
            await self._over.wait()
        for origin in origins:
            await origin.stop()

    @contextmanager
    def open(self) -> Iterator[list[str]]:
        self._thread.start()
        assert self._ready.wait(20)
        try:
            yield self.urls
        finally:
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(20)


@pytest.fixture
def room(company: Company) -> Iterator[list[str]]:
    company.write(TEXT + "\ngateway: {routes: [{path: /, name: shop, origin: http://127.0.0.1:9}]}\n")
    directory = company.home / "state" / "edge"
    directory.mkdir(parents=True)
    with Room(directory).open() as urls:
        yield urls


def test_origins_are_shown_and_switched(room: list[str], cli: Cli) -> None:
    first, second = room
    shown = cli("gateway", "status")
    assert shown.code == 0
    assert "shop" in shown.out
    assert first in shown.out
    assert second not in shown.out
    switched = cli("gateway", "swap", "shop", second, "--within", "5s")
    assert (switched.code, switched.out) == (0, f"shop goes to {second}\n")
    (process,) = cli("gateway", "status", "--json").data["processes"]
    assert [each["url"] for each in process["routes"][0]["origins"] if each["state"] == "up"] == [second]
    (process,) = cli("gateway", "swap", "shop", first, "--json").data["processes"]
    assert process["routes"][0]["swaps"] == 2


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["ship", "http://127.0.0.1:9"], 1, "no route is called ship"),
        (["shop", f"http://127.0.0.1:{free_port()}", "--within", "0.1s"], 1, "it takes no connection"),
        (["shop", "127.0.0.1:9"], 1, "not the address of an origin"),
        (["shop", "http://127.0.0.1:9", "--within", "soon"], 2, "not a duration"),
    ],
)
def test_what_cannot_be_done_is_said(
    room: list[str], cli: Cli, arguments: list[str], code: int, words: str
) -> None:
    said = cli("gateway", "swap", *arguments)
    assert said.code == code
    assert words in said.err
    assert "hint:" in said.err


def test_an_origin_that_is_out_is_said_by_status_and_doctor(
    room: list[str], company: Company, cli: Cli, now: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINSTAY_ERP_DSN", "postgresql://127.0.0.1:9/erp")
    said = cli("doctor", "--json")
    lines = {line["what"]: (line["state"], line["detail"]) for line in said.data["lines"]}
    assert lines["route shop"] == ("ok", "1 origin up")
    fact = {"route": "shop", "configured": [room[0]], "swapped_at": None, "websockets": 0}
    out = {
        "url": room[0], "state": "down", "since": now - 90, "at": now - 1, "failed_at": now - 1,
        "detail": "it answers 500", "active": 0, "requests": 9, "failures": 9,
    }  # fmt: skip
    redis = {
        "what": "redis", "place": "redis://r:6379/0", "state": "down", "since": now - 40, "at": now - 2,
        "detail": "refused", "grave": False,
    }  # fmt: skip
    state = merged([{"routes": [{**fact, "origins": [out]}], "needs": [redis]}], 0)
    seen = Seen("web1", now - 3, {**state, "lately": None, "gone_since": None})
    company.change(lambda tx: gateway.put_seen(tx, seen))
    told = " ".join(cli("status").out.split())
    held = r"for \d+m \d+s"
    down = rf"✖ shop {held} its origin is not well; 0.0/s {held} {room[0]} is down: it answers 500"
    assert re.search(down, told)
    assert re.search(r"Gateway looked at \d+s ago", told)
    assert re.search(r"✖ redis for \d+s redis://r:6379/0 does not answer: refused", told)
    found = cli("status", "--json").data["gateway"]
    assert (found["state"], found["routes"][0]["state"]) == ("fail", "fail")
    assert "nobody knows how it is now" in " ".join(_later(company, cli, seen).split())


def _later(company: Company, cli: Cli, seen: Seen) -> str:
    old = Seen(seen.host, seen.at - 600, seen.state)
    company.change(lambda tx: gateway.put_seen(tx, old))
    return cli("status").out


def test_there_has_to_be_a_gateway(company: Company, cli: Cli) -> None:
    said = cli("gateway", "status")
    assert said.code == 1
    assert "no gateway runs on this machine" in said.err
