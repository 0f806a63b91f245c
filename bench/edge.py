"""What the edge costs and carries: the webhook inbox and the gateway beside what one would use instead.

Whoever is measured has one core to itself with all of its processes (Redis, scripts, /decide), the load and the
origin have another. CPU is the processor time that the kernel counted for these processes, for each request; it is
the figure that other load on the machine disturbs least. Full load is 64 connections that ask again at once; the calm
trials are a thousand requests a second at random moments. Webhooks are signed JSON of 1 KiB and every one is on disk
before its answer, except with "not waiting". Ours are in a log then, as a peer's are in its list, and the agent
brings them into the journal on the same core: after the load for the rates beside peers, during it for
webhooks_sustained. Their CPU is counted until all of them are there (webhooks_cpu_import is the agent's part). The
gateway checks a token, limits, tells the origin who asks, measures and writes an access log; peers do what their
names say. Its load is a hundred users in turn, with the same requests again and again (1k, 100k), with another path
each time (1k_paths), and with another path and another header each time (1k_traces). The flood comes from another
address than good users, in windows that take turns with quiet ones.
"""
# engines: wrk gcc nginx redis webhook caddy haproxy

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median

from bench.arena import gateway, webhooks
from bench.arena.pace import RATE, Calm, steady
from bench.arena.ring import Team
from bench.arena.webhooks import Entry, Start
from bench.arena.wrk import Load, flood, storm
from bench.rows import Row, quick
from tests.helpers import eventually

CPU = "us of CPU/request"
REDIS = "FastAPI + Redis list, appendfsync always"
INTAKES: dict[str, tuple[str, Start]] = {
    "ours": ("", webhooks.ours),
    "redis": (REDIS, webhooks.fastapi_redis),
    "webhook": ("Debian's webhook, waiting for a script", partial(webhooks.debian_webhook, waits=True)),
    "webhook_async": ("Debian's webhook, not waiting", partial(webhooks.debian_webhook, waits=False)),
    "uvicorn": ("uvicorn over the same store", webhooks.same_store),
}
SUSTAINED: Start = partial(webhooks.ours, later=False)
_runs = count()


def run() -> Iterator[Row]:
    """Medians of interleaved repeats."""
    if sys.platform != "linux":
        print("the bench of the edge needs Linux: it pins programs to cores and reads /proc", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory(prefix="mainstay-bench-") as scratch:
        yield from inbox(Path(scratch))
        yield from gate(Path(scratch))


def repeats() -> int:
    return 1 if quick() else 3


def window() -> int:
    """Seconds of one measurement."""
    return 2 if quick() else 6


# --- webhooks ------------------------------------------------------------------------------------------------------


def inbox(scratch: Path) -> Iterator[Row]:
    """Webhooks at full load, at a calm pace and on a slow disk."""
    loads: dict[str, list[Load]] = defaultdict(list)
    logs: list[float] = []
    for _ in range(repeats()):
        for name, (_, start) in INTAKES.items():
            entry = start({})
            if entry is not None:
                loads[name].append(taken(entry, logs if name == "ours" else []))
        if (entry := SUSTAINED({})) is not None:
            loads["sustained"].append(taken(entry, logs))
    yield from full(loads)
    yield Row("edge", "webhooks_log", max(logs), "MB of write-ahead log")
    yield from calm_and_slow(scratch)


def full(loads: Mapping[str, list[Load]]) -> Iterator[Row]:
    """The rows of full load."""
    ours = loads["ours"]
    for name, (title, _) in list(INTAKES.items())[1:]:
        rates = [middle(loads[each], "rate") for each in ("ours", name)]
        yield Row("edge", f"webhooks_rate_{name}", rates[0] or 0, "webhooks/s", title, rates[1])
    rates = [middle(loads[each], "rate") for each in ("sustained", "redis")]
    yield Row("edge", "webhooks_sustained", rates[0] or 0, "webhooks/s", REDIS, rates[1])
    for name, (title, _) in list(INTAKES.items())[1:]:
        costs = [middle(loads[each], "cost") for each in ("ours", name)]
        yield Row("edge", f"webhooks_cpu_{name}", costs[0] or 0, CPU, title, costs[1])
    yield Row("edge", "webhooks_cpu_import", median(each.beside / each.requests for each in ours), CPU)
    yield Row("edge", "webhooks_cpu_loop", median(each.loop / each.requests for each in ours), CPU)
    yield Row("edge", "webhooks_cpu_kernel", median(each.kernel / each.requests for each in ours), CPU)
    for trial in ("p50", "p99"):
        peer = middle(loads["redis"], trial)
        yield Row("edge", f"webhooks_{trial}_full", middle(ours, trial) or 0, "ms", REDIS, peer)


def middle(loads: list[Load], figure: str) -> float | None:
    """The median of a figure; None when there is none."""
    return median(getattr(each, figure) for each in loads) if loads else None


def taken(entry: Entry, logs: list[float]) -> Load:
    """One contestant at full load, from its start to its end. What it acknowledged must be there."""
    try:
        # Who does not wait has the work of the first second still before him in the next: he is measured from cold.
        warm = webhook_storm(entry, 1).requests if entry.keeps else 0
        all_kept(entry, warm)
        before, parts = entry.team.spent(), entry.team.parts()
        with entry.team.alone() if entry.later else nullcontext():
            load = webhook_storm(entry, window())
        # What comes after the answer counts too: the import of what was logged, until nothing is left of it.
        all_kept(entry, warm + load.requests)
        imported = sum(entry.team.parts()[1:]) - sum(parts[1:])
        load = replace(load, spent=entry.team.spent() - before, beside=imported)
        log = entry.team[0].base / "journal.db-wal"
        logs.append(log.stat().st_size / 1e6 if log.exists() else 0.0)
        return load
    finally:
        entry.team.close()


def all_kept(entry: Entry, wanted: int) -> None:
    """Wait until so many are where the contestant keeps them; it must get there."""
    if entry.keeps:
        eventually(lambda: entry.kept() >= wanted, 60)


def webhook_storm(entry: Entry, seconds: int) -> Load:
    return storm(entry.team, seconds, "webhooks.lua", [webhooks.SECRET, f"w{next(_runs)}-"], "/bench")


def calm_and_slow(scratch: Path) -> Iterator[Row]:
    """A thousand a second; and full load where every flush takes 5 ms."""
    calm: dict[str, list[Calm]] = defaultdict(list)
    slow: dict[str, list[Load]] = defaultdict(list)
    disk = webhooks.slow_disk(scratch)
    for _ in range(repeats()):
        for name in ("ours", "redis"):
            _, start = INTAKES[name]
            if (entry := start({})) is not None:
                calm[name].append(paced(entry, scratch))
            if disk is not None and (entry := start(disk)) is not None:
                slow[name].append(taken(entry, []))
    for figure, trial in (("p99", "webhooks_p99_1000"), ("mean", "webhooks_mean_1000")):
        found = {name: median(getattr(each, figure) for each in some) for name, some in calm.items()}
        yield Row("edge", trial, found["ours"], "ms", REDIS, found.get("redis"))
    if slow:
        for figure, unit in (("p99", "ms"), ("rate", "webhooks/s")):
            mine, theirs = (middle(slow[name], figure) for name in ("ours", "redis"))
            yield Row("edge", f"webhooks_{figure}_slow_disk", mine or 0, unit, REDIS, theirs)


def paced(entry: Entry, scratch: Path) -> Calm:
    """One contestant at a calm pace."""
    try:
        wanted = RATE * window() * 3 // 2
        requests = webhooks.signed(f"c{next(_runs)}-", wanted, entry.team.port)
        return steady(entry.team, float(window()), requests, scratch)
    finally:
        entry.team.close()


# --- gateway -------------------------------------------------------------------------------------------------------

CALM = ("ours", "nginx", "envoy", "caddy")


def gate(scratch: Path) -> Iterator[Row]:
    """The gateway at full load with small and large answers, and what it adds at a calm pace."""
    gateway.write_tokens(scratch / "tokens")
    with ExitStack() as stack:
        origin = gateway.origin()
        if origin is None:
            print("nginx is missing: the gateway is not measured", file=sys.stderr)
            return
        stack.callback(origin.close)
        teams: dict[str, Team] = {}
        for name, make in gateway.contestants(origin.port).items():
            if (team := make()) is not None:
                stack.callback(team.close)
                teams[name] = team
        yield from proxied(teams, scratch)
        yield from added(teams, origin, scratch)
        yield flooded(teams["ours"], scratch)
        memory = {name: team.memory() for name, team in teams.items()}
        yield Row("edge", "gateway_memory", memory["ours"], "MB", gateway.NAMES["envoy"], memory.get("envoy"))


def proxied(teams: Mapping[str, Team], scratch: Path) -> Iterator[Row]:
    """The rows of full load."""
    loads: dict[tuple[str, str], list[Load]] = defaultdict(list)
    for team in teams.values():
        gateway_storm(team, 1, "1k", scratch)
    for _ in range(repeats()):
        for size in gateway.LOADS:
            for name, team in teams.items():
                loads[name, size].append(gateway_storm(team, window() // 2, size, scratch))
    for size in gateway.LOADS:
        ours = middle(loads["ours", size], "cost") or 0
        for name, title in gateway.NAMES.items():
            yield Row(
                "edge", f"gateway_cpu_{size}_{name}", ours, CPU, title, middle(loads[name, size], "cost")
            )
    small, plain, title = loads["ours", "1k"], loads["nginx", "1k"], gateway.NAMES["nginx"]
    bare = middle(loads["bare", "1k"], "cost")
    yield Row(
        "edge", "gateway_cpu_1k_bare", middle(small, "cost") or 0, CPU, "ours without policy and log", bare
    )
    kernel = [
        median(each.kernel / each.requests for each in some) if some else None for some in (small, plain)
    ]
    yield Row("edge", "gateway_cpu_1k_kernel", kernel[0] or 0, CPU, title, kernel[1])
    for figure, unit in (("rate", "requests/s"), ("p50", "ms"), ("p99", "ms")):
        yield Row(
            "edge", f"gateway_{figure}_full", middle(small, figure) or 0, unit, title, middle(plain, figure)
        )


def gateway_storm(team: Team, seconds: int, size: str, scratch: Path) -> Load:
    page, fresh = gateway.LOADS[size]
    return storm(team, seconds, "gateway.lua", [str(scratch / "tokens"), fresh], f"/{page}")


def added(teams: Mapping[str, Team], origin: Team, scratch: Path) -> Iterator[Row]:
    """Milliseconds that a request takes longer than directly, at a thousand a second."""
    more: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(repeats()):
        direct = steady(origin, float(window()), gateway.requests("/1k", origin.port), scratch)
        for name in CALM:
            if (team := teams.get(name)) is not None:
                through = steady(team, float(window()), gateway.requests("/1k", team.port), scratch)
                more[name, "mean"].append(through.mean - direct.mean)
                more[name, "p99"].append(through.p99 - direct.p99)
    found = {key: median(some) for key, some in more.items()}
    nginx = gateway.NAMES["nginx"]
    yield Row("edge", "gateway_added_1000", found["ours", "mean"], "ms", nginx, found.get(("nginx", "mean")))
    yield Row(
        "edge", "gateway_added_p99_1000", found["ours", "p99"], "ms", nginx, found.get(("nginx", "p99"))
    )
    for name in CALM[2:]:
        title, peer = gateway.NAMES[name], found.get((name, "mean"))
        yield Row("edge", f"gateway_added_1000_{name}", found["ours", "mean"], "ms", title, peer)


GOOD = 200
"""Requests a second of good users beside a flood."""
FLOODS = 4


def flooded(ours: Team, scratch: Path) -> Row:
    """How long good users wait while 64 connections from another address send nothing but forged tokens."""
    waits: dict[bool, list[float]] = defaultdict(list)
    requests, signed = gateway.requests("/1k", ours.port), gateway.token("user-1").rpartition(".")[0]
    for number in range(2 * FLOODS):
        seconds, forged = float(window()), number % 2 == 1
        with ExitStack() as stack:
            if forged:
                words = [f"f{next(_runs)}-", signed]
                stack.enter_context(flood(ours, window() * 3, "forged.lua", words, "/1k"))
            calm = steady(ours, seconds, requests, scratch, GOOD, "127.0.0.2")
        waits[forged].append(calm.p99)
    return Row(
        "edge", "gateway_p99_flood", median(waits[True]), "ms", "ours without the flood", median(waits[False])
    )
