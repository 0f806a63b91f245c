"""When checks cannot be judged for long, somebody is told that nobody is looking."""

from __future__ import annotations

from functools import partial

import pytest

from mainstay.core.check import Result, Verdict
from mainstay.core.incident import IncidentState, Severity
from mainstay.incidents.blind import BLIND_AFTER, KEY, Sight
from mainstay.ports.clock import FakeClock
from mainstay.store import incidents
from mainstay.store.base import Store, Tx, Unit
from tests.incidents.scenes import RULES, all_incidents, office, owed

UNKNOWN, OK, FAIL = Verdict.UNKNOWN, Verdict.OK, Verdict.FAIL


def sight(store: Store, clock: FakeClock) -> Sight:
    return Sight(office(store, clock), lambda service: RULES[service].critical)


async def seen(
    sight: Sight, clock: FakeClock, seconds: float, confirmed: bool = True, **verdicts: Verdict
) -> None:
    """Every ten seconds each service's check gives its verdict."""
    for _ in range(int(seconds / 10)):
        batch = [
            Result(f"{name}/http", name, verdict, "no name server answers", clock.now(), confirmed=confirmed)
            for name, verdict in verdicts.items()
        ]
        await sight.record(batch)
        await clock.advance(10)


async def test_a_short_doubt_is_nobodys_business(store: Store, clock: FakeClock) -> None:
    looking = sight(store, clock)
    for _ in range(5):
        await seen(looking, clock, BLIND_AFTER - 20, api=UNKNOWN, blog=OK)
        await seen(looking, clock, 10, api=OK)
    assert await all_incidents(store) == []


async def test_a_long_one_is_told_once_and_so_is_its_end(store: Store, clock: FakeClock) -> None:
    looking = sight(store, clock)
    await seen(looking, clock, BLIND_AFTER + 120, api=UNKNOWN, blog=UNKNOWN, db=OK)
    (incident,) = await all_incidents(store)
    assert (incident.key, incident.severity) == (KEY, Severity.CRITICAL)
    assert incident.detail == "api/http is without a verdict: no name server answers (and 1 more)"
    await seen(looking, clock, 60, api=OK, blog=OK)
    (incident,) = await all_incidents(store)
    assert incident.state is IncidentState.RESOLVED
    assert [row.message.kind.value for row in await owed(store, "pagerduty")] == ["opened", "resolved"]


async def test_a_service_that_is_not_critical_wakes_nobody(store: Store, clock: FakeClock) -> None:
    looking = sight(store, clock)
    await seen(looking, clock, BLIND_AFTER + 60, blog=UNKNOWN)
    (incident,) = await all_incidents(store)
    assert incident.severity is Severity.WARNING
    assert await owed(store, "pagerduty") == []


async def test_a_fail_that_is_never_confirmed_is_no_verdict(store: Store, clock: FakeClock) -> None:
    """So it is while this machine's own network is lost: a first look fails, the second one knows why."""
    looking = sight(store, clock)
    for _ in range(int(BLIND_AFTER / 10) + 3):
        await seen(looking, clock, 10, api=FAIL, confirmed=False)
        await seen(looking, clock, 10, api=UNKNOWN)
    assert [each.key for each in await all_incidents(store)] == [KEY]
    await seen(looking, clock, 10, api=FAIL)
    live = await store.read(incidents.live)
    assert [each.key for each in live] == ["check:api/http"]


async def test_a_restart_says_nothing_that_it_does_not_know(store: Store, clock: FakeClock) -> None:
    await seen(sight(store, clock), clock, BLIND_AFTER + 60, api=UNKNOWN)
    anew = sight(store, clock)
    await seen(anew, clock, BLIND_AFTER + 60, api=UNKNOWN)
    assert [each.state for each in await all_incidents(store)] == [IncidentState.OPEN]
    assert len(await owed(store, "pagerduty")) == 1
    well = sight(store, clock)
    await seen(well, clock, 2 * BLIND_AFTER + 30, api=OK)
    assert await store.read(partial(incidents.live_of, key=KEY)) is None


class Undone(Exception):
    """The database undoes the unit."""


async def test_a_unit_that_is_asked_for_again_loses_nothing(store: Store, clock: FakeClock) -> None:
    looking = sight(store, clock)
    write = store.write

    async def twice(unit: Unit[object]) -> object:
        def undone(tx: Tx) -> None:
            unit(tx)
            raise Undone

        with pytest.raises(Undone):
            await write(undone)
        return await write(unit)

    store.write = twice  # type: ignore[method-assign, assignment]
    await seen(looking, clock, BLIND_AFTER + 60, api=UNKNOWN)
    assert [each.key for each in await all_incidents(store)] == [KEY]
    await seen(looking, clock, 60, api=OK)
    assert await store.read(incidents.live) == []
