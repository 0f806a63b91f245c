"""A service that mainstay started just now may be slow, but it may not hide that it fell over."""

from __future__ import annotations

import pytest

from mainstay.app.grace import GRACE, Grace
from mainstay.core.check import Result, Verdict
from mainstay.ports.clock import FakeClock
from mainstay.ports.services.base import Standing
from tests.playbooks.ward import Patient


def said(verdict: Verdict, check: str = "api/http") -> Result:
    return Result(check=check, service=check.partition("/")[0], verdict=verdict, detail="", at=0.0)


class Desk:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.control = Patient(self.clock)
        self.kept: list[Result] = []
        self.grace = Grace(self.clock, {"api": self.control}, self.keep)

    async def keep(self, batch: list[Result]) -> None:
        self.kept += batch

    async def passes(self, result: Result) -> bool:
        self.kept.clear()
        await self.grace.record([result])
        return self.kept == [result]


@pytest.fixture
def desk() -> Desk:
    return Desk()


FAIL, OK = said(Verdict.FAIL), said(Verdict.OK)


async def test_a_slow_start_is_no_failure_until_the_time_is_up(desk: Desk) -> None:
    assert await desk.passes(FAIL)
    desk.grace.give(["api"])
    assert not await desk.passes(FAIL)
    assert await desk.passes(said(Verdict.FAIL, "web/http"))
    await desk.clock.advance(GRACE)
    assert await desk.passes(FAIL)


async def test_after_the_first_good_answer_a_failure_is_one(desk: Desk) -> None:
    desk.grace.give(["api"])
    assert await desk.passes(OK)
    assert await desk.passes(FAIL)
    assert not await desk.passes(said(Verdict.FAIL, "api/other"))


async def test_what_fell_over_at_once_is_not_slow(desk: Desk) -> None:
    desk.grace.give(["api"])
    desk.control.standing = Standing.STOPPED
    assert await desk.passes(FAIL)
