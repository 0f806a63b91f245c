"""One pass over every check: what was answered is recorded, what was not is unknown, and the exit code says which."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mainstay.core.check import Result, Verdict
from mainstay.core.run import Run, RunState
from mainstay.ports.clock import FakeClock
from mainstay.store.base import Store
from mainstay.upkeep.health.job import HealthCheck, HealthPorts
from tests.upkeep.house import House, job_of


@pytest.fixture
def house(store: Store, clock: FakeClock, tmp_path: Path) -> House:
    return House(store, clock, tmp_path)


async def passed(house: House, verdicts: dict[str, Verdict | None]) -> tuple[Run, list[Result]]:
    """Do a pass over checks that answer so; None never answers."""
    recorded: list[Result] = []

    async def ask(check: str) -> list[Result]:
        verdict = verdicts[check]
        if verdict is None:
            await asyncio.Event().wait()
        assert verdict is not None
        return [Result(check, check.partition("/")[0], verdict, "seen", house.clock.now())]

    async def record(results: list[Result]) -> None:
        recorded.extend(results)

    house.more = {HealthPorts: HealthPorts(list(verdicts), ask, record)}
    running = asyncio.ensure_future(house.run(job_of(HealthCheck)))
    while not running.done():
        await house.clock.advance(1)
    return await running, recorded


@pytest.mark.parametrize(
    ("verdicts", "code", "summary"),
    [
        ({"web/http": Verdict.OK, "db/postgres": Verdict.WARN}, 0, "2 checks, 1 ok, 1 warn"),
        (
            {"web/http": Verdict.FAIL, "db/postgres": Verdict.UNKNOWN},
            1,
            "2 checks, 1 fail, 1 unknown: web/http",
        ),
        ({"web/http": Verdict.OK, "db/postgres": Verdict.UNKNOWN}, 3, "2 checks, 1 ok, 1 unknown"),
        ({"web/http": Verdict.OK, "db/postgres": None}, 3, "2 checks, 1 ok, 1 unknown"),
    ],
)
async def test_a_pass_is_recorded_and_gives_a_code(
    house: House, verdicts: dict[str, Verdict | None], code: int, summary: str
) -> None:
    began = house.clock.now()
    run, recorded = await passed(house, verdicts)
    assert (run.state, run.summary, run.outcome["exit_code"]) == (RunState.DONE, summary, code)
    assert {one.check: one.verdict for one in recorded} == {
        name: verdict for name, verdict in verdicts.items() if verdict is not None
    }
    assert run.finished_at is not None
    assert run.finished_at - began < 30
    assert run.outcome["late"] == [name for name, verdict in verdicts.items() if verdict is None]


async def test_a_pass_over_nothing_is_no_good_news(house: House) -> None:
    run, _ = await passed(house, {})
    assert run.state is RunState.FAILED
