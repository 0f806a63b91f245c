"""A year of certificates that live for six or 47 days, on the fake clock: never expired, never ordered in vain."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mainstay.certs.authority import Advice, NoWord
from mainstay.certs.certbot import OrderFailed
from mainstay.certs.jobs import RenewSsl
from mainstay.certs.pem import Pair, pair
from mainstay.certs.ports import CertPorts
from mainstay.certs.rule import DAY, HOUR, Window
from mainstay.certs.settings import CertificateSettings
from mainstay.core.job import JobFailed
from mainstay.ports.clock import FakeClock
from mainstay.store import runs
from mainstay.store.base import Store
from tests.certs.house import Run
from tests.journals import sqlite_journal
from tests.servers.authority import Authority

START = 1_800_000_000.0
YEAR = 365 * DAY


class Simulated:
    """An authority on the fake clock: its certificates are real ones, and it is down now and then."""

    def __init__(self, clock: FakeClock, place: Path, lifetime: float, *, ari: bool, outage: float) -> None:
        self.clock = clock
        self.lifetime = lifetime
        self.ari = ari
        self.outage = outage
        self.orders: list[float] = []
        self.refused = 0
        self.asked: list[float] = []
        self.made: list[Pair] = []
        self.signs = Authority(place)

    def down(self) -> bool:
        """Down for the last hours of every eight days."""
        return (self.clock.now() - START) % (8 * DAY) > 8 * DAY - self.outage

    def issued(self, settings: CertificateSettings) -> Pair | None:
        return self.made[-1] if self.made else None

    async def order(self, settings: CertificateSettings, log: Callable[[str], None]) -> Pair:
        if self.down():
            self.refused += 1
            raise OrderFailed("no certificate was issued: the authority is down")
        now = datetime.fromtimestamp(self.clock.now(), UTC)
        real = datetime.now(UTC)
        age, left = real - now, now + timedelta(seconds=self.lifetime) - real
        files = self.signs.issue(*settings.names, age=age, left=left)
        self.orders.append(self.clock.now())
        self.made.append(pair(files[0].read_bytes(), files[1].read_bytes(), "simulated"))
        return self.made[-1]

    async def advice(self, server: str, pair: Pair, ca: Path | None) -> Advice:
        now = self.clock.now()
        self.asked.append(now)
        if self.down():
            raise NoWord("the authority is down")
        if not self.ari:
            return Advice(None, now + 6 * HOUR)
        third = pair.leaf.not_before + self.lifetime * 0.6
        return Advice(Window(third, third + self.lifetime * 0.02), now + 6 * HOUR)

    async def reach(self, server: str, ca: Path | None) -> None:
        pass

    async def revoked(self, pair: Pair) -> str | None:
        return None


@pytest.mark.parametrize(
    ("days", "ari", "outage"),
    [(6, True, 18 * HOUR), (47, False, 18 * HOUR)],
    ids=["6-days-ari-outages", "47-days-outages"],
)
@pytest.mark.timeout(120)
async def test_a_year(tmp_path: Path, days: int, ari: bool, outage: float) -> None:
    clock = FakeClock(START)
    authority = Simulated(clock, tmp_path, days * DAY, ari=ari, outage=outage)
    settings = CertificateSettings(names=["a.test"], served="unchecked")
    async with sqlite_journal(tmp_path).opened(clock) as store:
        ports = CertPorts(
            store, clock, {"a.test": settings}, tmp_path / "certs", authority, authority, _nowhere
        )
        while clock.now() < START + YEAR:
            with suppress(JobFailed):
                await RenewSsl(certificate="a.test").run(Run(ports, "renew:a.test"))
            tick = START + (clock.now() - START + 1) // settings.every * settings.every + settings.every
            clock.step(min(tick, await _queued(store, clock.now()) or tick) - clock.now())
    share = 0.6 if ari else (1 / 2 if days < 10 else 2 / 3)
    gaps = [later - sooner for sooner, later in zip(authority.orders, authority.orders[1:], strict=False)]
    assert gaps
    # Never more than needed: each was due when it was ordered.
    assert min(gaps) >= share * days * DAY - 1
    # Never late: a third of the life is left, but for what an outage and a pause take.
    assert max(gaps) <= (share + 0.02) * days * DAY + outage + (8 * HOUR if outage else 60)
    assert max(gaps) < days * DAY
    assert len(authority.orders) <= YEAR / (share * days * DAY) + 1
    assert authority.refused <= 12 * YEAR / (8 * DAY)
    assert len(authority.asked) <= 1.1 * YEAR / (6 * HOUR) + 2 * len(authority.orders)


async def _queued(store: Store, now: float) -> float | None:
    """When the next run is due that the job itself has asked for."""
    found = await store.read(lambda tx: runs.latest(tx, job="renew:a.test", limit=5))
    return min((run.due_at for run in found if run.due_at > now), default=None)


async def _nowhere(host: str) -> list[str]:
    raise AssertionError("nobody looks")
