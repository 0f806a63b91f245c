"""Server-sent events: a change in the journal reaches an open page, a line of a log its reader."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp

from mainstay.core.run import RunState
from mainstay.store import runs
from mainstay.store.base import Tx
from mainstay.web.live import BEAT, LIFE
from tests.web.addresses import addresses
from tests.web.booted import Booted, Client


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, str]]:
    """Give (event, data) as they come; comments have the event ''."""
    name = data = ""
    async for raw in response.content:
        line = raw.decode().rstrip("\n")
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            data = line.removeprefix("data: ")
        elif line.startswith(": "):
            yield "", line.removeprefix(": ")
        elif not line and name:
            yield name, data
            name = data = ""


async def test_a_change_is_told_by_its_topic(site: Booted, client: Client) -> None:
    async with asyncio.timeout(20), client.session.get("/events?topics=runs,backups") as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert "Content-Encoding" not in response.headers
        stream = events(response)
        assert await anext(stream) == ("", "connected")
        await site.store.write(lambda tx: tx.signal("incidents"))
        await site.store.write(lambda tx: tx.signal("runs"))
        assert await anext(stream) == ("change", "runs")


async def test_a_quiet_stream_beats_and_ends_after_a_while(site: Booted, client: Client) -> None:
    async with asyncio.timeout(20), client.session.get("/events") as response:
        stream = events(response)
        assert await anext(stream) == ("", "connected")
        beats = 0
        for _ in range(int(LIFE / BEAT) + 1):
            await site.clock.advance(BEAT)
            found = await anext(stream, None)
            if found is None:
                break
            assert found == ("", "beat")
            beats += 1
        assert beats >= 5


async def test_a_log_is_followed_until_the_run_ends(site: Booted, client: Client) -> None:
    path = (await addresses(site))["run"]
    run = await site.store.read(lambda tx: runs.get(tx, path.rpartition("/")[2]))
    assert run

    def line(tx: Tx) -> None:
        runs.add_lines(tx, run.id, [(site.clock.now(), "copied <b>one</b> more part")])
        tx.signal("log")

    def progress(tx: Tx) -> None:
        runs.put_progress(tx, run, {"label": "uploading", "done": 1, "total": 2, "unit": "B"})
        tx.signal("runs")

    def end(tx: Tx) -> None:
        runs.settle(tx, run, RunState.DONE, site.clock.now(), summary="done")
        tx.signal("runs")

    async with asyncio.timeout(30), client.session.get(f"{path}/log?after=4") as response:
        stream = events(response)
        name, data = await anext(stream)
        assert (name, json.loads(data)["label"]) == ("progress", "dumping public.ir_attachment")
        await site.store.write(line)
        name, data = await anext(stream)
        assert name == "lines"
        assert [(one["seq"], one["line"]) for one in json.loads(data)] == [(5, "copied <b>one</b> more part")]
        await site.store.write(progress)
        name, data = await anext(stream)
        assert (name, json.loads(data)["label"]) == ("progress", "uploading")
        await site.store.write(end)
        assert await anext(stream) == ("end", '{"state": "done"}')
        assert await anext(stream, None) is None


async def test_a_reader_that_comes_back_misses_nothing(site: Booted, client: Client) -> None:
    path = (await addresses(site))["run"]
    async with asyncio.timeout(20):
        for options, first in (({"headers": {"Last-Event-ID": "2"}}, 3), ({"params": {"after": "x"}}, 1)):
            async with client.session.get(f"{path}/log", **options) as response:  # type: ignore[arg-type]
                name, data = await anext(events(response))
                assert name == "lines"
                assert json.loads(data)[0]["seq"] == first


async def test_the_log_of_no_run_ends_at_once(client: Client) -> None:
    async with asyncio.timeout(20), client.session.get("/runs/none/log") as response:
        assert await anext(events(response)) == ("end", '{"state": "missing"}')


async def test_stopping_does_not_wait_for_open_streams(site: Booted, client: Client) -> None:
    async with asyncio.timeout(20), client.session.get("/events") as response:
        stream = events(response)
        await anext(stream)
        site.app.state.site.live.end()
        assert [one async for one in stream] in ([], [("", "beat")])
