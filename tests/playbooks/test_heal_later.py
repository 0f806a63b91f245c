"""Healing that was interrupted, and healing in doubt: a decision does not outlive what it was made for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from mainstay.core.check import Result, Verdict
from mainstay.core.incident import IncidentState
from mainstay.playbooks import switch
from mainstay.playbooks.heal import FRESH
from mainstay.ports.clock import FakeClock
from mainstay.store import silences
from mainstay.store.base import Store, Tx
from tests.playbooks.ward import Ward


@pytest.fixture
def ward(store: Store, clock: FakeClock, tmp_path: Path) -> Ward:
    return Ward(store, clock, tmp_path)


async def _hang() -> None:
    await asyncio.Event().wait()


async def _interrupted_in_the_act(ward: Ward, clock: FakeClock) -> None:
    """Leave a run behind that has decided to act and did not come to the end of it."""
    api = ward.patients["api"]
    api.cure = _hang
    async with ward.open():
        api.well = False
        await clock.advance(5)
        assert len(api.restarts) == 1
    api.cure = api.recover


def _silence(clock: FakeClock) -> Callable[[Tx], object]:
    now = clock.now()
    return lambda tx: silences.add(
        tx, "api", from_at=now, until_at=now + 7200, why="repair", who="ana", now=now
    )


def _turn_off(clock: FakeClock) -> Callable[[Tx], object]:
    return lambda tx: switch.turn_off(tx, "ana", "repair", clock.now())


@pytest.mark.parametrize("against", ["held", "silenced", "switched off", "well again"])
async def test_a_run_that_goes_on_hours_later_asks_the_guards_again(
    ward: Ward, store: Store, clock: FakeClock, against: str
) -> None:
    await _interrupted_in_the_act(ward, clock)
    api = ward.patients["api"]
    await clock.advance(3600)
    api.held = against == "held"
    api.well = against == "well again"
    if against == "silenced":
        await store.write(_silence(clock))
    if against == "switched off":
        await store.write(_turn_off(clock))
    async with ward.open():
        await clock.advance(120)
        assert len(api.restarts) == 1


async def test_a_run_that_goes_on_hours_later_still_heals_what_still_fails(
    ward: Ward, clock: FakeClock
) -> None:
    await _interrupted_in_the_act(ward, clock)
    await clock.advance(3600)
    async with ward.open():
        await clock.advance(60)
        assert len(ward.patients["api"].restarts) == 2
        assert all(each.state is IncidentState.RESOLVED for each in await ward.incidents())


async def test_what_a_person_asked_for_is_not_done_hours_later(ward: Ward, clock: FakeClock) -> None:
    api = ward.patients["api"]
    api.cure = _hang
    async with ward.open() as runner:
        asked = asyncio.ensure_future(runner.run_now("heal:api", {"service": "api", "by": "ana"}))
        await clock.advance(5)
        assert len(api.restarts) == 1
    asked.cancel()
    await clock.advance(FRESH)
    async with ward.open():
        await clock.advance(60)
        assert len(api.restarts) == 1
    (run,) = ward.ended
    assert "ask again" in run.summary


async def test_a_warning_does_not_make_a_restart_a_failure(ward: Ward, clock: FakeClock) -> None:
    """A certificate near its end is no reason to restart a service three times and to call people."""
    probe = ward.probe

    async def warned(service: str) -> list[Result]:
        warning = Result(f"{service}/certificate", service, Verdict.WARN, "9 days left", clock.now())
        return [*await probe(service), warning]

    ward.probe = warned  # type: ignore[method-assign]
    object.__setattr__(ward.ports, "probe", warned)
    async with ward.open():
        ward.patients["api"].well = False
        await clock.advance(120)
        assert len(ward.patients["api"].restarts) == 1
        incident = next(each for each in await ward.incidents() if each.key == "check:api/http")
        notes = [event.detail for event in await ward.timeline(incident.id) if event.kind.value == "note"]
        assert notes[0].startswith("Restarted api in 1.5s; confirmed by 2 good answers")


async def test_not_to_know_is_not_to_be_well(ward: Ward, clock: FakeClock) -> None:
    """While nobody can say whether it works it is neither restarted again nor given up."""
    api = ward.patients["api"]
    api.cure = api.stay_ill
    blind = False
    probe = ward.probe

    async def maybe(service: str) -> list[Result]:
        if not blind:
            return await probe(service)
        return [Result(f"{service}/http", service, Verdict.UNKNOWN, "no name server answers", clock.now())]

    ward.probe = maybe  # type: ignore[method-assign]
    object.__setattr__(ward.ports, "probe", maybe)
    async with ward.open():
        api.well = False
        await clock.advance(70)
        assert len(api.restarts) == 1
        blind = True
        await clock.advance(300)
        assert len(api.restarts) == 1
        (incident,) = await ward.incidents()
        notes = [event.detail for event in await ward.timeline(incident.id)]
        assert not [note for note in notes if "answers again" in note]
        blind = False
        api.cure = api.recover
        await clock.advance(700)
        assert len(api.restarts) == 2
        (incident,) = await ward.incidents()
        assert incident.state is IncidentState.RESOLVED


async def test_healing_that_breaks_calls_people_and_leaves_nothing_behind(
    ward: Ward, clock: FakeClock
) -> None:
    api = ward.patients["api"]

    async def burst() -> None:
        raise RuntimeError("the library is broken")

    api.cure = burst
    async with ward.open():
        api.well = False
        await clock.advance(120)
        (incident,) = await ward.incidents()
        assert incident.key == "check:api/http"
        escalated = [event for event in await ward.timeline(incident.id) if event.kind.value == "escalated"]
        assert [event.detail for event in escalated] == [
            "Healing broke off: RuntimeError: the library is broken. Somebody has to look at it."
        ]
        assert await ward.told(incident.id, "pager") == ["opened", "escalated"]
        api.well = True
        await clock.advance(30)
        assert [each.state for each in await ward.incidents()] == [IncidentState.RESOLVED]
