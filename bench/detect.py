"""From a fault to the message about it: processes that are killed or hang at random moments, asked every five seconds.

Ours and the peers watch the same victims and see the same faults. Time runs from the fault until the receiver has the
message: detection, confirmation, routing and delivery.
"""

# engines: prometheus alertmanager

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from statistics import median
from typing import Any

from bench.peers import Agent, Prometheus, Victim, present
from bench.rows import Row, quick
from tests.helpers import eventually
from tests.servers.recorder import Recorded, Recorder

EVERY = 5
TIMEOUT = 3
TIGHT = {"every": "5s", "timeout": "3s", "lasting": "5s", "group_wait": "1s"}
COMMON = {"every": "15s", "timeout": "10s", "lasting": "1m", "group_wait": "30s"}
PEERS = {"Prometheus, tight": TIGHT, "Prometheus, common": COMMON}
LONGEST = 240.0


def run() -> Iterator[Row]:
    """Seconds, for killed and for hanging processes: median and worst."""
    count = 8 if quick() else 30
    yield from rows("killed", faults(count, Victim.kill, PEERS))
    yield from rows("hanging", faults(count // 2, Victim.hang, {"Prometheus, tight": TIGHT}))


def rows(fault: str, seconds: dict[str, list[float]]) -> Iterator[Row]:
    """Ours beside each peer."""
    ours = seconds.pop("ours")
    for peer, theirs in seconds.items():
        short = peer.rpartition(" ")[2]
        told = median(theirs) if theirs else None
        yield Row("detect", f"{fault}_beside_{short}", median(ours), "s", peer, told)
        yield Row("detect", f"{fault}_worst_beside_{short}", max(ours), "s", peer, max(theirs, default=None))


def faults(
    count: int, fault: Callable[[Victim], None], peers: dict[str, dict[str, str]]
) -> dict[str, list[float]]:
    """Hurt `count` victims, each at a random moment of its own; the seconds until each watcher had told."""
    with ExitStack() as stack:
        victims = [Victim() for _ in range(count)]
        for victim in victims:
            stack.callback(victim.remove)
        eventually(lambda: all(victim.ready() for victim in victims), 60.0)
        recorder = Recorder()
        stack.callback(recorder.stop)
        agent = watch(stack, victims, recorder, peers)
        hurt = {}
        for victim in in_turn(victims, agent):
            fault(victim)
            hurt[victim.address] = time.monotonic()
        watchers = (
            ["ours", *peers] if present("prometheus") and present("prometheus-alertmanager") else ["ours"]
        )
        eventually(lambda: all(len(told(recorder, who)) == count for who in watchers), LONGEST)
        found = {who: told(recorder, who) for who in watchers}
    none: dict[str, list[float]] = {peer: [] for peer in peers}
    return none | {who: [at - hurt[victim] for victim, at in when.items()] for who, when in found.items()}


def in_turn(victims: Sequence[Victim], agent: Agent) -> Iterator[Victim]:
    """The victims in any order, at random moments that cover the interval evenly.

    Each has a slice of the time since it was last asked, so that no luck of a few phases makes the figures. The peers
    ask on clocks of their own, to which these moments are as good as any.
    """
    slices = random.sample(range(len(victims)), len(victims))
    for victim, number in zip(victims, slices, strict=True):
        offset = (number + random.random()) / len(victims) * EVERY
        time.sleep((asked_at(agent, victim) + offset - time.time()) % EVERY)
        yield victim


def asked_at(agent: Agent, victim: Victim) -> float:
    """When the agent last had an answer of a victim, seconds since 1970."""
    query = "SELECT max(at) FROM check_state WHERE service = ?"
    with sqlite3.connect(f"file:{agent.journal}?mode=ro", uri=True) as journal:
        return float(journal.execute(query, (f"v{victim.port}",)).fetchone()[0])


def watch(
    stack: ExitStack, victims: Sequence[Victim], recorder: Recorder, peers: dict[str, dict[str, str]]
) -> Agent:
    """Start everyone who watches, and wait until they have looked at each victim."""
    lines = [
        "journal: sqlite:///journal.db",
        f"notify: {{ours: {{webhook: {{url: '{recorder.url}/ours'}}}}}}",
        "services:",
    ]
    for victim in victims:
        check = f"{{http: {{url: 'http://{victim.address}/', every: {EVERY}s, timeout: {TIMEOUT}s}}}}"
        lines.append(f"  v{victim.port}: {{critical: true, checks: [{check}]}}")
    agent = stack.enter_context(Agent("\n".join(lines)))
    if present("prometheus") and present("prometheus-alertmanager"):
        for peer, settings in peers.items():
            hook = f"{recorder.url}/{peer.replace(' ', '_')}"
            stack.enter_context(Prometheus([victim.address for victim in victims], hook, **settings))
    agent.ready(lambda: seen(agent) == len(victims))
    time.sleep(20.0)
    return agent


def seen(agent: Agent) -> int:
    """How many victims the agent has an answer of."""
    with sqlite3.connect(f"file:{agent.journal}?mode=ro", uri=True) as journal:
        return int(journal.execute("SELECT count(*) FROM check_state WHERE verdict = 'ok'").fetchone()[0])


def told(recorder: Recorder, who: str) -> dict[str, float]:
    """When each victim was first told of, by `host:port`."""
    first: dict[str, float] = {}
    for request in recorder.to(f"/{who.replace(' ', '_')}"):
        for address in subjects(request):
            first.setdefault(address, request.at)
    return first


def subjects(request: Recorded) -> list[str]:
    document: dict[str, Any] = request.json()
    if "alerts" in document:
        return [alert["labels"]["instance"] for alert in document["alerts"] if alert["status"] == "firing"]
    opened = document["type"] == "incident.opened"
    return [f"127.0.0.1:{document['data']['service'].removeprefix('v')}"] if opened else []
