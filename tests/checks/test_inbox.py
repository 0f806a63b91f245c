"""The check of the inbox: old webhooks are a warning, then a failure; nothing known is nothing said."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainstay.checks.inbox import InboxCheck
from mainstay.core.check import Verdict
from mainstay.ports.clock import FakeClock, SystemClock
from mainstay.ports.place import LocalPlace
from mainstay.ports.resolver import Resolver
from mainstay.store import inbox_delivery
from mainstay.store.inbox import DEAD, KEPT
from mainstay.store.inbox_delivery import Ending
from tests.edge.delivery.post import put
from tests.journals import sqlite_journal


@pytest.mark.parametrize(
    ("age", "verdict", "detail"),
    [
        (10.0, Verdict.OK, "2 waiting, the oldest for 10s"),
        (400.0, Verdict.WARN, "2 waiting, the oldest for 6m 40s"),
        (7200.0, Verdict.FAIL, "2 waiting, the oldest for 2h"),
    ],
)
async def test_the_age_of_the_oldest_is_judged(
    tmp_path: Path, age: float, verdict: Verdict, detail: str
) -> None:
    clock = FakeClock()
    async with sqlite_journal(tmp_path).opened(clock) as store:
        await put(store, clock.now(), b"one", b"two")
        (dead,) = await put(store, clock.now(), b"dead")
        ending = Ending(dead, "bank", 1, DEAD, clock.now(), 0.1, 410, "410")
        await store.write(lambda tx: inbox_delivery.settle(tx, [ending]))
        clock.step(age)
        place = LocalPlace(clock, Resolver(clock), journal=store.read)
        answer = await InboxCheck(source="bank").probe(place)
        assert (answer.verdict, answer.detail) == (verdict, detail)
        assert (answer.facts["waiting"], answer.facts["dead"]) == (2, 1)
        assert (await InboxCheck(source="shop").probe(place)).detail == "every webhook is delivered"
        assert (await InboxCheck().probe(place)).verdict is verdict


async def test_what_is_brought_to_nobody_does_not_wait(tmp_path: Path) -> None:
    clock = FakeClock()
    async with sqlite_journal(tmp_path).opened(clock) as store:
        await put(store, clock.now(), b"one", b"two", state=KEPT)
        clock.step(1e6)
        answer = await InboxCheck().probe(LocalPlace(clock, Resolver(clock), journal=store.read))
    assert (answer.verdict, answer.detail) == (Verdict.OK, "none waits; 2 are kept, to be brought to nobody")
    assert answer.facts == {"waiting": 0, "dead": 0, "kept": 2, "age": 0.0}


async def test_without_a_journal_nothing_is_known() -> None:
    clock = SystemClock()
    answer = await InboxCheck().probe(LocalPlace(clock, Resolver(clock)))
    assert answer.verdict is Verdict.UNKNOWN
    assert answer.facts == {"cause": "own"}
