"""The gateway on the dashboard, in the API and in the metrics: what is out, since when, and what clients got."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mainstay.store import gateway
from mainstay.store.base import Tx
from mainstay.store.gateway import MINUTE, Seen, Traffic
from mainstay.web.plan import Plan, RoutePlan
from mainstay.web.traffic import DRAWN, Moment, columns, drawing, moments, thin
from tests.edge.sight.test_judge import A, B, need, origin, process, seen
from tests.web.booted import Booted, Client, booted
from tests.web.markup import Markup
from tests.web.test_metrics import read


async def text_of(client: Client, path: str = "/gateway") -> str:
    return Markup((await client.get(path)).text).text


async def test_the_page_says_in_one_sentence_what_is_wrong(client: Client) -> None:
    text = await text_of(client)
    for words in (
        "Redis does not answer, and an origin of ocr is out",
        "Looked at 3 s ago on web1, 2 processes.",
        "Partly out",
        "for 17 min: it answers 503",
        "switched",
        "Leaving",
        "each process counts by itself",
        "whoever proves who they are, 60 in 1m",
        "no route",
    ):
        assert words.replace(" ", "") in text.replace(" ", ""), words
    assert text.index("ocr") < text.index("/status")


@pytest.mark.parametrize("query", ["", "?route=ocr&range=7d", "?route=nobody&range=never", "?range=1h"])
async def test_its_plots_are_there_without_scripts(client: Client, query: str) -> None:
    page = await client.get(f"/gateway{query}")
    assert page.status == 200
    assert page.text.count('class="plot"') == 2
    assert ("Traffic of ocr" in page.text) is ("ocr" in query)


async def test_programs_get_the_same(site: Booted, client: Client) -> None:
    found = json.loads((await client.get("/api/v1/gateway")).text)
    assert (found["state"], found["fresh"], found["hosts"][0]["name"]) == ("warn", True, "web1")
    ocr, *_ = found["routes"]
    assert (ocr["name"], ocr["state"], ocr["says"]) == ("ocr", "warn", "1 of 2 origins is out")
    assert [one["state"] for one in ocr["origins"]] == ["down", "up"]
    assert site.clock.now() - ocr["since"] == pytest.approx(17 * 60)
    assert {one["what"]: one["state"] for one in found["needs"]} == {"redis": "down", "keys": "up"}
    traffic = json.loads((await client.get("/api/v1/gateway/traffic?route=ocr&range=1h")).text)
    assert len(traffic["at"]) == len(traffic["rate"]) == len(traffic["p99"])
    assert 58 <= len(traffic["at"]) <= 60
    assert max(traffic["server_errors"]) > 0.1
    assert (await client.get("/api/v1/gateway/traffic?range=1y")).status == 400


async def test_metrics_say_for_how_long_something_has_been_out(client: Client) -> None:
    found = read((await client.get("/metrics")).text)
    origin = "mainstay_gateway_origin_out_seconds"
    assert found[origin, (("origin", "http://10.0.0.22:8000"), ("route", "ocr"))] == pytest.approx(17 * 60)
    assert found[origin, (("origin", "http://10.0.0.21:8000"), ("route", "ocr"))] == 0
    place = (("place", "redis://10.0.0.5:6379/0"), ("what", "redis"))
    assert found["mainstay_gateway_need_out_seconds", place] == pytest.approx(360)
    states = {
        state: found["mainstay_gateway_route_state", (("route", "ocr"), ("state", state))]
        for state in ("ok", "warn")
    }
    assert states == {"ok": 0, "warn": 1}
    assert found["mainstay_gateway_processes", (("host", "web1"),)] == 2


async def test_what_nobody_looks_at_any_more_is_not_called_well(site: Booted, client: Client) -> None:
    site.clock.step(120)
    text = await text_of(client)
    assert "Nobody knows how it is now" in text
    assert "Partly out" not in text
    found = read((await client.get("/metrics")).text)
    assert found["mainstay_gateway_route_state", (("route", "ocr"), ("state", "unknown"))] == 1
    assert json.loads((await client.get("/api/v1/gateway")).text)["state"] == "unknown"


async def test_before_anybody_has_looked_the_routes_are_there(tmp_path: Path) -> None:
    plan = Plan("fresh", routes=(RoutePlan("shop", "/", "anybody", "", (A, B)),))
    async with booted(tmp_path, plan=plan) as site, site.client() as client:
        text = await text_of(client)
        assert "Nobody has looked at it yet" in text
        assert A in text
        assert "Nothing was measured in this range" in text
    async with booted(tmp_path / "bare", plan=Plan("bare")) as site, site.client() as client:
        assert "No route leads to an origin" in await text_of(client)
        assert 'href="/gateway"' not in (await client.get("/")).text


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([seen(process(origin(A), origin(B)))], "Every origin is well"),
        ([seen(process(origin(A, "down", 30), origin(B, "ejected", 20)))], "No origin of shop is well"),
        (
            [seen(process(origin(A), needs=(need("service", 9, grave=True),)))],
            "The service that knows tokens does not answer",
        ),
        (
            [seen(process(origin(A))), Seen("web2", seen().at, {**seen().state, "gone_since": seen().at})],
            "Nothing is carried on web2",
        ),
    ],
)
async def test_the_sentence(tmp_path: Path, rows: list[Seen], sentence: str) -> None:
    plan = Plan("fresh", routes=(RoutePlan("shop", "/", origins=(A, B)),))
    at = rows[0].at
    async with booted(tmp_path, plan=plan, now=at) as site, site.client() as client:

        def put(tx: Tx) -> None:
            for row in rows:
                gateway.put_seen(
                    tx, Seen(row.host, row.at, {"lately": None, "gone_since": None, **row.state})
                )

        await site.store.write(put)
        text = await text_of(client)
    assert sentence.replace(" ", "") in text.replace(" ", "")


async def test_where_nobody_looked_the_plot_has_a_gap(site: Booted) -> None:
    start = site.clock.now() // MINUTE * MINUTE + 10 * 86400
    for minute in (0, 1, 5):
        one = Traffic("gap", answers=60, latencies=(60,))
        await site.store.write(lambda tx, at=start + 60 * minute, one=one: gateway.add(tx, "a", at, [one]))  # type: ignore[misc]
    found = await site.store.read(lambda tx: moments(tx, "gap", "1h", start + 600))
    assert [(one.at - start, one.rate) for one in found] == [(0, 1), (60, 1), (120, None), (300, 1)]
    drawn = drawing(found, ("rate",), start, start + 600)
    assert drawn is not None
    assert drawn.lines["rate"].count("M") == 2
    assert columns(found)["p50"][2] is None


def test_a_long_range_is_drawn_by_its_highest_values() -> None:
    many = [Moment(float(at), rate=float(at % 100)) for at in range(2000)]
    few = thin(many)
    assert len(few) <= DRAWN
    assert max(one.rate or 0 for one in few) == 99
    assert drawing([Moment(1.0)], ("rate",), 0, 10) is None
