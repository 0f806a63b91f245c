"""What a thousand http checks every ten seconds cost: the agent as it ships, beside blackbox_exporter alone.

The agent schedules, asks, judges and writes every answer to its journal. The exporter only asks: what drives it, and
the Prometheus that it would need besides, are not counted.
"""

# engines: nginx blackbox

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from statistics import median

from bench.peers import Agent, Blackbox, Running, present
from bench.rows import Row, quick
from tests.servers.nginx import NginxServer

CHECKS = 1000
EVERY = 10.0
PEER = "prometheus-blackbox-exporter"
PAGE = """
access_log off;
server {
  listen 127.0.0.1:{port} backlog=4096;
  location / { default_type application/json; return 200 '{"status": "ok"}'; }
}
"""


def run() -> Iterator[Row]:
    """Percent of one processor core and megabytes held, medians of windows; ours and the peer take turns."""
    server = NginxServer(PAGE)
    try:
        ours, theirs = list[tuple[float, float]](), list[tuple[float, float]]()
        for _ in range(1 if quick() else 3):
            ours.append(agent(server.url))
            if present(PEER):
                theirs.append(asyncio.run(blackbox(server.url)))
    finally:
        server.stop()
    for place, (trial, unit) in enumerate((("cpu", "% of one core"), ("memory", "MB"))):
        peer = median(each[place] for each in theirs) if theirs else None
        yield Row("checks", trial, median(each[place] for each in ours), unit, PEER, peer)


def window() -> float:
    return 20.0 if quick() else 60.0


def agent(url: str) -> tuple[float, float]:
    """The figures of the agent."""
    lines = ["journal: sqlite:///journal.db", "services:"]
    check = "  s{0}: {{checks: [{{http: {{url: '{1}/{0}', every: {2:g}s}}}}]}}"
    lines += [check.format(number, url, EVERY) for number in range(CHECKS)]
    with Agent("\n".join(lines)) as running:
        # The first round comes early and the second one late; from then on every check has its rhythm.
        running.ready(lambda: answers(running) >= 2 * CHECKS)
        before = answers(running)
        figures = measured(running)
        asked = answers(running) - before
    expected = CHECKS * window() / EVERY
    assert abs(asked - expected) < 0.05 * expected, f"{asked} answers, {expected:.0f} were expected"
    return figures


def answers(running: Agent) -> int:
    """How many good answers stand in the journal; another one is a fault of the bench."""
    with sqlite3.connect(f"file:{running.journal}?mode=ro", uri=True) as journal:
        counts = dict(journal.execute("SELECT verdict, count(*) FROM result GROUP BY verdict"))
    assert set(counts) <= {"ok"}, counts
    return int(counts.get("ok", 0))


def measured(running: Running) -> tuple[float, float]:
    """Percent of a core over one window, and megabytes at its end."""
    began, used = time.monotonic(), running.cpu()
    time.sleep(window())
    percent = 100 * (running.cpu() - used) / (time.monotonic() - began)
    return percent, running.memory()


async def blackbox(url: str) -> tuple[float, float]:
    """The figures of the exporter, asked for the same pages at the same pace."""
    with Blackbox() as running:
        async with load(running.url, url):
            await asyncio.sleep(EVERY)
            return await asyncio.to_thread(measured, running)


@asynccontextmanager
async def load(exporter: str, url: str) -> AsyncIterator[None]:
    """Ask the exporter for every page once in `EVERY` seconds, evenly, as Prometheus does."""
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def probe(number: int) -> None:
            asked = {"module": "http_2xx", "target": f"{url}/{number}"}
            async with session.get(f"{exporter}/probe", params=asked) as answer:
                assert b"probe_success 1" in await answer.read()

        async def drive() -> None:
            async with asyncio.TaskGroup() as probes:
                began = time.monotonic()
                for turn in range(10**9):
                    probes.create_task(probe(turn % CHECKS))
                    await asyncio.sleep(began + (turn + 1) * EVERY / CHECKS - time.monotonic())

        driving = asyncio.create_task(drive())
        yield
        assert not driving.done(), driving.exception()
        driving.cancel()
        with suppress(asyncio.CancelledError):
            await driving
