"""A thousand services: the first page asks the journal no more than for ten, and comes at once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from mainstay.core.check import Result, Verdict
from mainstay.store import results
from mainstay.store.base import Row, Store, Tx, Unit
from mainstay.web.plan import CheckPlan, Plan, ServicePlan
from tests.web.booted import Booted, booted

MINUTES = 120
PAGE_SECONDS = 5.0
"""Generous: a page takes a tenth of it on a quiet machine."""


class Counting:
    """A journal that counts what it is asked."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def read(self, unit: Unit[Any]) -> Any:
        def counted(tx: Tx) -> Any:
            return unit(CountingTx(tx, self))

        return await self._store.read(counted)


class CountingTx:
    """A look at it."""

    def __init__(self, tx: Tx, store: Counting) -> None:
        self._tx = tx
        self._store = store

    def all(self, query: str, /, **params: Any) -> list[Row]:
        self._store.asked += 1
        return self._tx.all(query, **params)

    def one(self, query: str, /, **params: Any) -> Row | None:
        self._store.asked += 1
        return self._tx.one(query, **params)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)


def company(many: int) -> Plan:
    """So many services with a check each."""
    services = tuple(
        ServicePlan(
            f"s{number}",
            f"Service {number}",
            checks=(CheckPlan(f"s{number}/http", "http", "https://example.com/", 10),),
        )
        for number in range(many)
    )
    return Plan("big", services=services)


def samples(checks: Iterable[str], now: float) -> Iterable[Mapping[str, Any]]:
    """Two hours by the minute and two by the hour."""
    for check in checks:
        for span, count in ((60, MINUTES), (3600, 2)):
            for back in range(1, count + 1):
                yield {
                    "check_id": check, "span": span, "at": now // span * span - back * span,
                    "ok": 6, "warn": 0, "fail": 0, "unknown": 0, "p50": 0.08, "p95": 0.2, "slowest": 0.3,
                }  # fmt: skip


async def fill(site: Booted, plan: Plan) -> None:
    """Every check has answered for two hours."""
    now = site.clock.now()
    checks = [service.checks[0].id for service in plan.services]
    fine = [
        Result(check, check.partition("/")[0], Verdict.OK, "200 in 84ms", now - 1, 0.084) for check in checks
    ]

    def unit(tx: Tx) -> None:
        tx.many("results.sample", samples(checks, now))
        results.record(tx, fine)
        tx.run("nodes.join", id="n", host="h", pid=1, role="agent", started_at=now, beat_at=now)

    await site.store.write(unit)


async def asked_for_the_overview(directory: Path, many: int) -> tuple[int, float]:
    """How often the journal is asked for one more overview, and how long that takes."""
    plan = company(many)
    async with booted(directory, plan=plan) as site, site.client() as client:
        await fill(site, plan)
        first = await client.get("/")
        assert f"All {many} services healthy." in first.text
        await site.clock.advance(3)
        counting = Counting(site.store)
        site.app.state.site.store = counting
        site.app.state.site.bars._store = counting
        begun = time.perf_counter()
        page = await client.get("/")
        took = time.perf_counter() - begun
        assert page.status == 200
        assert page.text.count("data-row ") == min(many, 100)
        return counting.asked, took


@pytest.mark.slow
async def test_a_thousand_services_cost_what_ten_do(tmp_path: Path) -> None:
    few, _ = await asked_for_the_overview(tmp_path / "few", 10)
    many, took = await asked_for_the_overview(tmp_path / "many", 1000)
    # Minutes are read in batches of fifty checks, so that no look at the journal is long.
    assert many <= few + 1000 / 50
    assert few <= 25
    assert took < PAGE_SECONDS
