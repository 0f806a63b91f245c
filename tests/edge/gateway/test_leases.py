"""Limits across hosts, on a real Redis: never more than one bucket would admit, whatever happens to it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstay.core.secret import IN_FILE, Secret
from mainstay.edge.gateway.limits import Leases, MemoryLimiter, Rule, Taken, Want
from mainstay.edge.gateway.limits.gcra import SECOND
from mainstay.edge.gateway.limits.redis import Grant, RedisCentral, StoreDown
from mainstay.ports.clock import FakeClock, SystemClock
from tests.edge.gateway.ledger import burst, over, rule, surely_over
from tests.helpers import ROOT, aeventually, bare_environment
from tests.servers.faults import FaultProxy
from tests.servers.redis import RedisServer

CHECKS = int(os.environ.get("MAINSTAY_CHECKS", "20000"))
PROCESSES = 3
Make = Callable[..., Leases]


@pytest.fixture
async def make(redis: RedisServer) -> AsyncIterator[Make]:
    centrals = []

    def one(
        when_down: Literal["local", "open", "closed"] = "local",
        url: str | None = None,
        timeout: float = 5.0,
        largest: int = 32,
    ) -> Leases:
        centrals.append(RedisCentral(Secret(IN_FILE, url or redis.url), timeout))
        return Leases(
            centrals[-1],
            SystemClock(),
            MemoryLimiter(),
            when_down=when_down,
            largest=largest,
        )

    yield one
    for central in centrals:
        await central.close()


async def ask(limiter: Leases, *wants: Want) -> Taken:
    return await ask_at(limiter, time.monotonic_ns(), *wants)


async def ask_at(limiter: Leases, now: int, *wants: Want) -> Taken:
    taken = limiter.take(wants, now)
    return taken if isinstance(taken, Taken) else await taken


async def test_two_hosts_have_one_bucket(make: Make) -> None:
    hosts, limit = [make(), make()], rule("100/day")
    found = [await ask(hosts[n % 2], ("a", limit)) for n in range(130)]
    admitted = sum(taken.refused < 0 for taken in found)
    assert 100 - 2 * (burst(limit) // 8) <= admitted <= 100
    assert found[-1].wait > 0


async def test_a_single_host_gets_the_whole_of_it(make: Make) -> None:
    host, limit = make(), rule("100/day")
    found = [(await ask(host, ("a", limit))).refused < 0 for _ in range(130)]
    assert found == [True] * 100 + [False] * 30


async def test_a_busy_subject_seldom_asks_the_store(make: Make) -> None:
    host, limit = make(), rule("100000/min")
    for _ in range(2000):
        assert (await ask(host, ("a", limit))).refused < 0
    assert host.fetches < 200
    assert host.faults == 0


async def test_many_at_once_are_asked_for_in_few_round_trips(make: Make) -> None:
    host, limit = make(), rule("100/day")
    found = await asyncio.gather(*(ask(host, (f"subject {n % 50}", limit)) for n in range(500)))
    assert all(taken.refused < 0 for taken in found)
    assert host.fetches < 30


async def test_all_of_the_buckets_count_or_none(make: Make) -> None:
    host, wide, tight = make(), rule("100/day"), rule("1/day", name="route")
    found = [await ask(host, ("wide", wide), ("tight", tight)) for _ in range(60)]
    assert [taken.refused for taken in found] == [-1] + [1] * 59
    alone = [(await ask(host, ("wide", wide))).refused < 0 for _ in range(110)]
    assert sum(alone) >= 95  # what was given back too late is lost, never doubled
    assert sum(alone) <= 99


async def test_a_refusal_is_remembered_and_not_asked_again(make: Make) -> None:
    host, limit = make(), rule("1/day")
    await ask(host, ("a", limit))
    await ask(host, ("a", limit))
    before = host.fetches
    assert isinstance(host.take([("a", limit)], time.monotonic_ns()), Taken)
    assert host.fetches == before


@pytest.mark.parametrize(
    ("when_down", "admitted", "down"), [("local", 5, False), ("open", 20, False), ("closed", 0, True)]
)
async def test_each_way_of_doing_without_the_store(
    make: Make,
    redis: RedisServer,
    caplog: pytest.LogCaptureFixture,
    when_down: Literal["local", "open", "closed"],
    admitted: int,
    down: bool,
) -> None:
    host, limit = make(when_down), rule("5/day")
    redis.kill()
    found = [await ask(host, ("a", limit)) for _ in range(20)]
    assert caplog.text.count("limits cannot be counted in Redis") == 1
    assert sum(taken.refused < 0 for taken in found) == admitted
    assert any(taken.down for taken in found) == down
    assert host.faults >= 1
    redis.start()
    recovered = await aeventually(lambda: _admitted(host, limit), deadline=20)
    assert recovered


async def _admitted(host: Leases, limit: Rule) -> bool:
    before = host.faults
    taken = await ask(host, (f"fresh {before} {time.monotonic_ns()}", limit))
    return taken.refused < 0 and host.faults == before and host._down_until < time.monotonic_ns()


async def test_a_store_that_hangs_is_waited_for_no_longer_than_it_may(
    make: Make, redis: RedisServer, fault_proxy: Callable[[int], FaultProxy]
) -> None:
    proxy = fault_proxy(redis.port)
    host = make("closed", url=f"redis://127.0.0.1:{proxy.port}/0", timeout=0.2)
    assert (await ask(host, ("a", rule("5/day")))).refused < 0
    proxy.stall()
    assert (await ask(host, ("b", rule("5/day")))).down


async def test_a_store_that_lost_its_scripts_is_given_them_again(make: Make, redis: RedisServer) -> None:
    host, limit = make(), rule("5/day")
    await ask(host, ("a", limit))
    with redis.client() as client:
        client.script_flush()
    await ask(host, ("b", limit))
    assert host.faults == 0


async def test_a_store_whose_clock_was_set_back_blocks_nobody_for_long(
    make: Make, redis: RedisServer
) -> None:
    with redis.client() as client:
        client.set("mainstay:limit:a", str(4 * 10**15))
    limit = rule("60/min")
    refused = await ask(make(), ("a", limit))
    assert (refused.refused, refused.wait) == (0, limit.interval)


async def test_who_has_gone_costs_nothing(make: Make) -> None:
    host, limit = make(), rule("100/day")
    waiting = [host.take([("a", limit)], time.monotonic_ns()) for _ in range(3)]
    for one in waiting[:2]:
        assert isinstance(one, asyncio.Future)
        one.cancel()
    assert (await ask(host, ("a", limit))).refused < 0


WORKER = """
import asyncio, json, sys, time
from mainstay.core.secret import IN_FILE, Secret
from mainstay.edge.gateway.limits import Leases, MemoryLimiter, Taken
from mainstay.edge.gateway.limits.redis import RedisCentral
from mainstay.ports.clock import SystemClock
from tests.edge.gateway.ledger import rule
one, all_of_them = rule("300/s", 60), rule("1000/s", 200, name="route")
async def asker(limiter, checks, spans):
    for n in range(checks):
        who, begun = n % 3, time.monotonic_ns()
        taken = limiter.take([(str(who), one), ("all", all_of_them)], begun)
        if not isinstance(taken, Taken):
            taken = await taken
        elif n % 50 == 0:
            await asyncio.sleep(0)
        if taken.refused < 0:
            spans[who].append((begun, time.monotonic_ns()))
async def main():
    central = RedisCentral(Secret(IN_FILE, sys.argv[1]), 30.0)
    limiter = Leases(central, SystemClock(), MemoryLimiter(), when_down="closed", largest=32)
    spans = [[], [], []]
    print("ready", flush=True)
    sys.stdin.readline()
    await asyncio.gather(*(asker(limiter, int(sys.argv[2]) // 64, spans) for _ in range(64)))
    await central.close()
    print(json.dumps([spans, limiter.faults]))
asyncio.run(main())
"""


def test_three_hosts_never_admit_more_than_one_would(redis: RedisServer) -> None:
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, redis.url, str(CHECKS // PROCESSES)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=bare_environment(),
        )
        for _ in range(PROCESSES)
    ]  # fmt: skip
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    found = [json.loads(worker.communicate(timeout=250)[0]) for worker in workers]
    assert [faults for _, faults in found] == [0] * PROCESSES
    one, every = rule("300/s", 60), rule("1000/s", 200, name="route")
    everything = [tuple(span) for spans, _ in found for who in spans for span in who]
    assert len(everything) >= burst(one)
    assert surely_over(everything, every) == 0
    for who in range(3):
        assert surely_over([tuple(span) for spans, _ in found for span in spans[who]], one) == 0


class SlowCentral:
    """The script's arithmetic behind a network that takes its time, on a clock that a test moves."""

    def __init__(self, clock: FakeClock, buckets: dict[str, int], there: float, back: float) -> None:
        self.clock, self.buckets, self.there, self.back = clock, buckets, there, back

    async def fetch(self, wishes: list[tuple[Want, int]]) -> list[Grant]:
        await self.clock.sleep(self.there)
        grants = [self._take(key, rule, want) for (key, rule), want in wishes]
        await self.clock.sleep(self.back)
        return grants

    def _take(self, key: str, rule: Rule, want: int) -> Grant:
        now = int(self.clock.monotonic() * SECOND)
        tat = max(now, self.buckets.get(key, 0))
        took = min(want, (now + rule.full - tat) // rule.interval)
        self.buckets[key] = tat = tat + took * rule.interval
        return Grant(took, tat - now, max(0, tat + rule.interval - now - rule.full))

    async def close(self) -> None:
        pass


STEPS = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 6), st.integers(0, 60)), min_size=1, max_size=25)


@settings(max_examples=30, deadline=None)
@given(steps=STEPS, there=st.integers(0, 20), back=st.integers(0, 20), bursts=st.integers(1, 40))
def test_however_slow_the_network_is_nobody_gets_more(
    steps: list[tuple[int, int, int]], there: int, back: int, bursts: int
) -> None:
    """Whoever waits counts as admitted when the store counted them, and everybody else when they were let through."""

    async def story() -> list[int]:
        clock, buckets = FakeClock(start=1000.0), dict[str, int]()
        hosts = [
            Leases(
                SlowCentral(clock, buckets, there / 1000, back / 1000),  # type: ignore[arg-type]
                clock, MemoryLimiter(), when_down="closed", largest=8,
            )
            for _ in range(3)
        ]  # fmt: skip
        at_once: list[int] = []
        waiting: list[asyncio.Future[Taken]] = []
        for host, many, pause in steps:
            for _ in range(many):
                now = int(clock.monotonic() * SECOND)
                taken = hosts[host].take([("a", limit)], now)
                if isinstance(taken, asyncio.Future):
                    waiting.append(taken)
                elif taken.refused < 0:
                    at_once.append(now)
            await clock.advance(pause / 1000)
        await clock.advance(10)
        assert all(one.done() for one in waiting)
        counted = sum(one.result().refused < 0 for one in waiting)
        assert over(at_once, limit) == 0
        span = (
            sum(pause for _, _, pause in steps) * SECOND // 1000
            + (there + back) * len(steps) * SECOND // 1000
        )
        assert len(at_once) + counted <= bursts + span // limit.interval + 1
        return at_once

    limit = rule("50/s", bursts)
    asyncio.run(story())


RUSHES = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 40), st.sampled_from([0, 0, 1, 20, 100, 400, 1000, 5000])),
    min_size=1,
    max_size=20,
)


@settings(max_examples=60, deadline=None)
@given(rushes=RUSHES, bursts=st.sampled_from([1, 8, 40, 90]))
def test_what_a_host_has_kept_is_never_spent_too_late(
    rushes: list[tuple[int, int, int]], bursts: int
) -> None:
    """With a network that takes no time it is known to the nanosecond when each request was let through."""

    async def story() -> None:
        clock, buckets = FakeClock(start=1000.0), dict[str, int]()
        hosts = [
            Leases(
                SlowCentral(clock, buckets, 0, 0),  # type: ignore[arg-type]
                clock, MemoryLimiter(), when_down="closed", largest=32,
            )
            for _ in range(3)
        ]  # fmt: skip
        admitted: list[int] = []
        for host, many, pause in rushes:
            now = int(clock.monotonic() * SECOND)
            for _ in range(many):
                admitted += [now] * ((await ask_at(hosts[host], now, ("a", limit))).refused < 0)
            await clock.advance(pause / 1000)
        assert over(admitted, limit) == 0

    limit = rule("20/s", bursts)
    asyncio.run(story())


@pytest.mark.parametrize("quarters", range(16, 28))
async def test_an_idle_host_keeps_nothing_to_spend_on_top_of_a_full_bucket(quarters: int) -> None:
    """All of 90 requests were taken at once; 4.5 seconds later the bucket is full again."""
    clock, buckets, limit = FakeClock(start=1000.0), dict[str, int](), rule("20/s", 90)
    hosts = [
        Leases(
            SlowCentral(clock, buckets, 0, 0),  # type: ignore[arg-type]
            clock, MemoryLimiter(), when_down="closed", largest=32,
        )
        for _ in range(3)
    ]  # fmt: skip
    admitted: list[int] = []

    async def rush(each: int) -> None:
        now = int(clock.monotonic() * SECOND)
        for host in hosts * each:
            admitted.extend([now] * ((await ask_at(host, now, ("a", limit))).refused < 0))

    await rush(20)
    assert sum(lease.left for host in hosts for lease in host._leases.values()) > 5
    await clock.advance(quarters / 4)
    await rush(50)
    assert over(admitted, limit) == 0
    assert len(admitted) > 90


@pytest.mark.parametrize("fault", [StoreDown("gone"), ValueError("it speaks in tongues")])
async def test_a_store_is_down_for_everybody_who_waits(fault: Exception) -> None:
    class Gone(SlowCentral):
        async def fetch(self, wishes: list[tuple[Want, int]]) -> list[Grant]:
            raise fault

    host = Leases(Gone(FakeClock(), {}, 0, 0), FakeClock(), MemoryLimiter(), when_down="closed", largest=8)  # type: ignore[arg-type]
    found = await asyncio.gather(*(ask(host, (name, rule("1/s"))) for name in "abc"))
    assert [taken.down for taken in found] == [True] * 3
