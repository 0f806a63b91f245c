"""`mainstay up` under webhooks, killed at random moments: what was acknowledged is delivered, and takes effect once.

`MAINSTAY_KILLS=200`, `MAINSTAY_SERVER_KILLS=50` and `MAINSTAY_RATE=2000` for the long run. A journal in SQLite has no
process of its own: it is written by the edge, the agent and the web process, which are also killed all at once.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from mainstay.store import inbox_delivery
from tests.edge.traffic import FINE, Crowd, Request, listening
from tests.helpers import aeventually, bare_environment, command
from tests.journals import Journal, postgres_url, sqlite_journal
from tests.journeys.house import children
from tests.servers.postgres import PostgresServer
from tests.servers.process import Engine, accepts, free_port

KILLS = int(os.environ.get("MAINSTAY_KILLS", "4"))
SERVER_KILLS = int(os.environ.get("MAINSTAY_SERVER_KILLS", "1"))
RATE = float(os.environ.get("MAINSTAY_RATE", "300"))
STANDSTILL = 60.0
"""Seconds without any delivery, after which what is not delivered is lost."""
SECRET = "swordfish-swordfish"
PARTS = ("agent", "edge")


@dataclass
class Shop:
    """A target that honours the idempotency key. Now and then it goes without a word, its work done."""

    effects: dict[str, str] = field(default_factory=dict)
    """By key, the event that took effect."""
    repeats: int = 0
    """What came again under a key that was known."""
    arrivals: list[str] = field(default_factory=list)
    """The names of events in the order in which they took effect."""
    draw: random.Random = field(default_factory=lambda: random.Random(11))

    def has(self, many: int) -> bool:
        return len(self.effects) >= many

    def judge(self, head: bytes, body: bytes) -> bytes:
        key = head.lower().partition(b"\r\nidempotency-key: ")[2].partition(b"\r")[0].decode()
        assert key
        name = body.partition(b" ")[0].decode()
        if key in self.effects:
            self.repeats += 1
        else:
            self.arrivals.append(name)
        self.effects[key] = name
        return b"" if self.draw.random() < 0.01 else FINE


@dataclass
class Bank:
    """A sender that signs, and notes what was acknowledged. With an `account` its events have an order."""

    account: str = ""
    acknowledged: dict[str, str] = field(default_factory=dict)
    """By the event's name, the id that we gave it."""
    refused: int = 0
    wrong: list[tuple[int, bytes]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=count)
    crowd: Crowd | None = None

    def has(self, many: int) -> bool:
        return len(self.acknowledged) >= many

    def make(self) -> Request:
        name = f"evt{self.account}-{next(self.numbers):08}"
        body = f"{name} ".encode().ljust(1024, b"x")
        signed = hmac.digest(SECRET.encode(), body, hashlib.sha256).hex()
        head = f"POST /bank HTTP/1.1\r\nHost: hooks\r\nX-Event-Id: {name}\r\nX-Signature: {signed}\r\n"
        order = f"X-Account: {self.account}\r\n" if self.account else ""
        return Request(name, f"{head}{order}Content-Length: 1024\r\n\r\n".encode() + body)

    def told(self, request: Request, status: int, head: bytes, body: bytes) -> None:
        if status in (200, 202):
            self.acknowledged[str(request.name)] = json.loads(body)["id"]
        elif status == 503 and self.crowd is not None:
            self.refused += 1
            self.crowd.lost(request)
        else:
            self.wrong.append((status, body))


class Installation:
    """`mainstay up` with one source of webhooks."""

    def __init__(self, directory: Path, journal: Journal, target: int, edges: int) -> None:
        self.directory = directory
        self.port = free_port()
        self.file = directory / "mainstay.yaml"
        scheme = {"hmac": {"header": "X-Signature", "encoding": "hex", "id": "X-Event-Id"}}
        source = {
            "scheme": scheme,
            "secrets": [{"secret": "hook"}],
            "deliver_to": f"http://127.0.0.1:{target}/hook",
            "concurrency": 64,
            "order_by": "header:X-Account",
            "retry": {"delays": ["200ms"] * 100},
            "breaker": {"longest_pause": "1s"},
        }
        whole = {
            "name": "kills",
            "journal": {"secret": "journal"},
            "state_dir": str(directory / "state"),
            "edge": {"webhooks": f"127.0.0.1:{self.port}", "access_log": False, "processes": edges},
            "web": {"listen": f"127.0.0.1:{free_port()}"},
            "webhooks": {"bank": source},
        }
        self.file.write_text(json.dumps(whole))
        self.journal = journal
        self.killed: Counter[str] = Counter()
        self.fresh: Counter[str] = Counter()
        """Kills of each part since the last start."""
        self.up: Engine | None = None

    def start(self) -> None:
        env = bare_environment(MAINSTAY_HOOK=SECRET, MAINSTAY_JOURNAL=self.journal.url)
        argv = command("up", "--config", str(self.file))
        self.up = Engine(argv, self.directory / "log", env=env, cwd=self.directory)
        self.fresh.clear()

    def part(self, name: str) -> list[int]:
        """The processes of one part."""
        assert self.up
        wanted = f"\0--only\0{name}\0".encode()
        return [pid for pid in children(self.up.pid) if wanted in Path(f"/proc/{pid}/cmdline").read_bytes()]

    async def kill(self, what: str) -> None:
        """SIGKILL a part, which is started again by `up`; or `up` itself, alone or with all its parts."""
        self.killed[what] += 1
        self.fresh[what] += 1
        if what in PARTS:
            with suppress(OSError):  # it may be down from the last kill
                for pid in self.part(what)[:1]:
                    os.kill(pid, signal.SIGKILL)
            return
        assert self.up
        parts = children(self.up.pid)
        self.up.kill()
        for pid in parts if what == "all" else ():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await aeventually(lambda: not any(alive(pid) for pid in parts), 60)
        self.start()

    def next_victim(self, draw: random.Random) -> str:
        """A part; when one has been killed often, so that it is started again later and later, everything."""
        return draw.choice(["up", "all"]) if max(self.fresh.values(), default=0) > 1 else draw.choice(PARTS)

    async def is_done(self) -> bool:
        """Whether nothing waits, nothing is held and nothing is dead."""
        async with self.journal.opened() as store:
            return not await store.read(inbox_delivery.stats)


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody waits for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


Kill = Callable[[random.Random], Awaitable[None]]


@asynccontextmanager
async def installed(
    directory: Path, journal: Journal, shop: Shop, edges: int = 1
) -> AsyncIterator[Installation]:
    async with listening(shop.judge) as target:
        made = Installation(directory, journal, target, edges)
        made.start()
        try:
            await aeventually(lambda: accepts(made.port), 60)
            yield made
        finally:
            if made.up is not None:
                made.up.stop(deadline=30)


async def through(house: Installation, bank: Bank, shop: Shop, kill: Kill, kills: int) -> None:
    """Send while somebody kills; then compare what was acknowledged with what took effect, and in which order."""
    draw, began = random.Random(os.environ.get("MAINSTAY_SEED", "5")), time.monotonic()
    owner = Bank("owner")
    async with (
        Crowd(house.port, bank.make, bank.told, rate=RATE, connections=64) as bank.crowd,
        Crowd(house.port, owner.make, owner.told, rate=RATE / 40, connections=1, fresh=7) as owner.crowd,
    ):
        for _ in range(kills):
            acknowledged = len(bank.acknowledged) + draw.randint(1, int(RATE / 2))
            delivered = len(shop.effects) + draw.randint(1, int(RATE / 4))
            await aeventually(partial(bank.has, acknowledged), 120)
            await aeventually(partial(shop.has, delivered), 120)
            await kill(draw)
        took = time.monotonic() - began
        for crowd in (bank.crowd, owner.crowd):
            await crowd.settle()
        rates = f"{bank.crowd.sent / took:.0f}/s sent, {len(bank.acknowledged) / took:.0f}/s acknowledged"
        print(f"{kills} kills in {took:.0f} s, {rates}, {bank.crowd.broken} answers that never came")
    acknowledged_ids = bank.acknowledged | owner.acknowledged
    ids, drained = set(acknowledged_ids.values()), time.monotonic()
    while missing := len(ids - shop.effects.keys()):  # as long as it takes, if only it goes on
        await aeventually(partial(shop.has, len(shop.effects) + min(missing, 100)), STANDSTILL)
    await aeventually(house.is_done, STANDSTILL)
    twice = [name for name, keys in Counter(shop.effects.values()).items() if keys > 1]
    wrong = [name for name, key in acknowledged_ids.items() if shop.effects[key] != name]
    assert (bank.wrong + owner.wrong, twice, wrong) == ([], [], [])
    ordered = [name for name in shop.arrivals if name.startswith("evtowner")]
    assert ordered == sorted(ordered)
    assert ordered
    told = f"{len(ids)} events, each took effect once, {len(ordered)} of them in order"
    last = f"the last one {time.monotonic() - drained:.0f} s after the last kill"
    print(f"{told}, {last}; {shop.repeats} repetitions known by their key; {dict(house.killed)}")


@pytest.mark.timeout(300 + 20 * KILLS)
async def test_any_process_killed_at_any_moment(tmp_path: Path) -> None:
    bank, shop = Bank(), Shop()
    async with installed(tmp_path, sqlite_journal(tmp_path), shop) as house:
        await through(house, bank, shop, lambda draw: house.kill(house.next_victim(draw)), KILLS)
        assert sum(house.killed.values()) == KILLS


@pytest.fixture
def journal(postgres: PostgresServer) -> Iterator[Journal]:
    for url in postgres_url(postgres):
        yield Journal(url, "postgres", server=postgres)
        if not postgres.engine.alive():
            postgres.start()


@pytest.mark.timeout(300 + 20 * SERVER_KILLS)
async def test_the_server_of_the_journal_killed_while_events_are_delivered(
    tmp_path: Path, journal: Journal, postgres: PostgresServer
) -> None:
    bank, shop = Bank(), Shop()

    async def kill(draw: random.Random) -> None:
        workers = children(postgres.engine.pid)
        postgres.kill()
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if draw.random() < 0.3:
            await house.kill(draw.choice(PARTS))
        if draw.random() < 0.5:  # else it is back before anybody has given it up
            await aeventually(partial(bank.has, len(bank.acknowledged) + int(RATE / 2)), 60)
        postgres.start()

    async with installed(tmp_path, journal, shop, edges=2) as house:
        await through(house, bank, shop, kill, SERVER_KILLS)
