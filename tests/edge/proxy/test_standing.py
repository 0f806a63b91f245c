"""What a process keeps of its origins: a socket to ask at, switches that outlive it, numbers."""

from __future__ import annotations

import asyncio
import json
import stat
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from mainstay.core.errors import MainstayError
from mainstay.edge.http.meter import Meter
from mainstay.edge.proxy.control import ask
from mainstay.edge.proxy.counts import FAILURES, OUT, REQUESTS, Counts, outcome
from mainstay.edge.proxy.kept import Kept
from mainstay.edge.proxy.open import KEPT, Standing
from mainstay.ports.clock import FakeClock, SystemClock
from tests.edge.origins import answer, raw_origin, says
from tests.edge.proxy.parts import route, running
from tests.servers.process import free_port


async def asked(directory: Path, question: dict[str, Any]) -> dict[str, Any]:
    (said,) = await asyncio.to_thread(ask, directory, question, 10.0)
    return said


async def test_a_switch_at_the_socket_outlives_the_process(tmp_path: Path) -> None:
    async with raw_origin() as old, raw_origin() as new:
        routes = [route(old.url, name="shop")]
        swap = {"do": "swap", "route": "shop", "origins": [new.url], "within": 5}
        async with Standing().hold(routes, SystemClock(), Meter(), tmp_path):
            (path,) = tmp_path.glob("gateway-*.sock")
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            state = await asked(tmp_path, {"do": "state"})
            assert [each["url"] for each in state["routes"][0]["origins"]] == [old.url]
            await asked(tmp_path, swap)
        assert not list(tmp_path.glob("gateway-*.sock"))
        async with Standing().hold(routes, SystemClock(), Meter(), tmp_path):
            state = await asked(tmp_path, {"do": "state"})
            assert [each["url"] for each in state["routes"][0]["origins"]] == [new.url]
        other = [route(f"http://127.0.0.1:{free_port()}", name="shop")]
        async with Standing().hold(other, SystemClock(), Meter(), tmp_path):  # the file has the last word
            state = await asked(tmp_path, {"do": "state"})
            assert [each["url"] for each in state["routes"][0]["origins"]] == other[0].origin


async def test_further_origins_are_there_before_the_policy_and_gone_when_it_fails(tmp_path: Path) -> None:
    standing, old, new = Standing(), route([], name="old"), route([], name="new", path="/new")
    async with standing.hold([old], SystemClock(), Meter(), tmp_path) as carrying:
        with suppress(MainstayError), standing.expecting([old, new]):
            assert [carrying.plane.named(name).route for name in ("old", "new")] == [old, new]
            raise MainstayError("the policy cannot be built")
        assert carrying.plane.group(new) is None
        with standing.expecting([new]):
            assert carrying.plane.group(new) is not None
            assert carrying.plane.group(old) is not None
        async with standing.hold([new], SystemClock(), Meter(), tmp_path):
            assert carrying.plane.group(new) is not None
            assert carrying.plane.group(old) is None


@pytest.mark.parametrize(
    ("question", "fault"),
    [
        ({"do": "swap", "route": "ship", "origins": ["http://a"], "within": 1}, "no route is called ship"),
        (
            {"do": "swap", "route": "shop", "origins": ["http://a/b"], "within": 1},
            "not the address of an origin",
        ),
        ({"do": "swap", "route": "shop", "origins": [], "within": 1}, "no origin is named"),
        ({"do": "swap", "route": "shop"}, "not a question"),
        ({"do": "dance"}, "nothing that can be done"),
        ([1], "not a question"),
    ],
)
async def test_a_wrong_question_is_answered_with_what_is_wrong(
    tmp_path: Path, question: Any, fault: str
) -> None:
    async with Standing().hold([route([], name="shop")], SystemClock(), Meter(), tmp_path):
        said = await asked(tmp_path, question)
        assert fault in said["fault"]
        assert said["hint"]


def test_nobody_to_ask(tmp_path: Path) -> None:
    (tmp_path / "gateway-1.sock").touch()  # of a process that was killed
    with pytest.raises(MainstayError, match="no gateway runs on this machine"):
        ask(tmp_path, {"do": "state"}, 1.0)


def test_what_was_kept_is_used_only_while_the_configuration_says_the_same(tmp_path: Path) -> None:
    kept = Kept(tmp_path / KEPT)
    assert kept.origins("shop", ["http://a"]) == ["http://a"]
    kept.keep("shop", ["http://a"], ["http://b", "http://c"])
    kept.keep("api", ["http://x"], ["http://y"])
    assert kept.origins("shop", ["http://a"]) == ["http://b", "http://c"]
    assert kept.origins("shop", ["http://a", "http://d"]) == ["http://a", "http://d"]
    (tmp_path / KEPT).write_text("{")
    assert kept.origins("shop", ["http://a"]) == ["http://a"]
    (tmp_path / KEPT).write_text(json.dumps([1]))
    assert kept.origins("shop", ["http://a"]) == ["http://a"]


async def test_another_configuration_keeps_connections_and_counts(tmp_path: Path) -> None:
    standing = Standing()
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(
            standing.hold([route("http://127.0.0.1:9")], SystemClock(), Meter(), tmp_path)
        )
        origin = first.plane.named("/").origins[0]
        async with standing.hold(
            [route("http://127.0.0.1:9", rewrite="/v2")], SystemClock(), Meter(), tmp_path
        ) as second:
            assert second is first
            assert second.plane.named("/").origins[0] is origin
            assert second.plane.named("/").way.target(b"/a") == b"/v2/a"


async def test_what_is_counted() -> None:
    clock, meter = FakeClock(), Meter()
    dead = f"http://127.0.0.1:{free_port()}"
    async with (
        raw_origin(says(answer(b"x"))) as origin,
        running(route([dead, origin.url]), clock=clock) as gateway,
    ):
        counts = Counts(meter)
        for _ in range(6):
            await gateway.get()
        for told in [*gateway.counted, ("", "plan_limited"), ("", "unauthorised"), ("/", "origin_died")]:
            counts.request(*told)
        counts.look(gateway.plane)
        counts.look(gateway.plane)
        assert meter.cell(REQUESTS, "/", "admitted").value == 6
        assert meter.cell(REQUESTS, "", "limited").value == 1
        assert meter.cell(REQUESTS, "/", "failed").value == 1
        assert meter.cell(FAILURES, "/", dead).value == 3
        out = counts._shown["/", dead][2]
        assert out.value == 1
        await gateway.plane.swap("/", [origin.url])
        await clock.advance(1)
        counts.look(gateway.plane)
        assert out.value == 0  # what is there no more is not down
    assert OUT.kind == "gauge"


@pytest.mark.parametrize(
    ("why", "is_"),
    [("", "admitted"), ("forged", "limited"), ("forbidden", "refused"), ("no_route", "refused"),
     ("overloaded", "failed"), ("client_gone", "gone"), ("preflight", "refused"), ("origin_timeout", "failed")],
)  # fmt: skip
def test_outcomes(why: str, is_: str) -> None:
    assert outcome(why) == is_
