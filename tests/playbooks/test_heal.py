"""Healing: it acts when it may, looks whether it helped, stops when it does not, and calls people."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from mainstay.core.errors import MainstayError
from mainstay.core.incident import IncidentState, Severity
from mainstay.core.run import Run, RunState
from mainstay.playbooks import heal, switch
from mainstay.playbooks.guard import Go
from mainstay.ports.clock import FakeClock
from mainstay.ports.services import Standing
from mainstay.store import silences
from mainstay.store.base import Store
from tests.playbooks.ward import Ward


@pytest.fixture
def ward(store: Store, clock: FakeClock, tmp_path: Path) -> Ward:
    return Ward(store, clock, tmp_path)


@pytest.mark.parametrize("journal", ["sqlite", "postgres"], indirect=True)
async def test_a_service_that_falls_over_is_restarted_and_confirmed(ward: Ward, clock: FakeClock) -> None:
    async with ward.open():
        await clock.advance(10)
        ward.patients["api"].well = False
        await clock.advance(60)
        (incident,) = await ward.incidents()
        assert incident.state is IncidentState.RESOLVED
        assert len(ward.patients["api"].restarts) == 1
        timeline = await ward.timeline(incident.id)
        kinds = [event.kind.value for event in timeline]
        assert kinds == ["failed", "opened", "action", "note", "resolved"]
        assert timeline[2].detail == "Restarting api: restart 1 of at most 3"
        assert timeline[3].detail == (
            "Restarted api in 1.5s; confirmed by 2 good answers in a row after another 500ms"
        )
        assert await ward.told(incident.id, "pager") == ["opened", "resolved"]
    (run,) = ward.ended
    assert (run.job, run.key, run.state) == ("heal:api", f"heal:{incident.id}:1", RunState.DONE)
    assert run.outcome == {"acted": True, "confirmed": True, "seconds": 0.5}


async def test_what_restarts_do_not_cure_is_given_up_and_people_are_called(
    ward: Ward, clock: FakeClock
) -> None:
    patient = ward.patients["blog"]
    patient.cure = patient.stay_ill
    async with ward.open():
        patient.well = False
        await clock.advance(900)
        (incident,) = await ward.incidents()
        assert len(patient.restarts) == 3
        gaps = [
            later - earlier for earlier, later in zip(patient.restarts, patient.restarts[1:], strict=False)
        ]
        assert gaps[0] >= 30
        assert gaps[1] >= 60
        timeline = await ward.timeline(incident.id)
        assert [event.kind.value for event in timeline].count("escalated") == 1
        assert "That was the last of 3 attempts" in timeline[-1].detail
        assert incident.severity is Severity.CRITICAL
        assert await ward.told(incident.id, "slack") == ["opened", "escalated"]
        assert await ward.told(incident.id, "pager") == ["escalated"]
        # A person mends it: everybody who was told hears of it.
        patient.well = True
        await clock.advance(30)
        assert await ward.told(incident.id, "pager") == ["escalated", "resolved"]


async def test_a_restart_that_fails_is_an_attempt(ward: Ward, clock: FakeClock) -> None:
    patient = ward.patients["api"]
    patient.cure = patient.refuse
    async with ward.open():
        patient.well = False
        await clock.advance(20)
        (incident,) = await ward.incidents()
        timeline = await ward.timeline(incident.id)
        assert timeline[-1].detail == "Could not restart api: the unit is masked (hint: unmask it)"
        patient.cure = patient.recover
        await clock.advance(120)
        (incident,) = await ward.incidents()
        assert incident.state is IncidentState.RESOLVED
        assert len(patient.restarts) == 2


async def test_a_service_that_fails_every_time_it_was_cured_exhausts_its_budget(
    ward: Ward, clock: FakeClock
) -> None:
    patient = ward.patients["api"]
    async with ward.open():
        for _ in range(5):
            patient.well = False
            await clock.advance(95)
        assert len(patient.restarts) == 3
        newest = (await ward.incidents())[-1]
        reasons = [event.detail for event in await ward.timeline(newest.id)]
        assert any("restarted 3 times within 10m and still fails" in reason for reason in reasons)


async def test_it_is_never_restarted_while_what_it_needs_fails_and_is_once_that_is_back(
    ward: Ward, clock: FakeClock
) -> None:
    api, db = ward.patients["api"], ward.patients["db"]
    db.cure = db.refuse
    async with ward.open():
        db.well = api.well = False
        await clock.advance(300)
        assert api.restarts == []
        of_api = next(each for each in await ward.incidents() if each.service == "api")
        notes = [event for event in await ward.timeline(of_api.id) if event.kind.value == "note"]
        assert [note.detail for note in notes] == [
            "Not restarted yet: api needs db, which fails too; restarting api would not help"
        ]
        db.well = True
        await clock.advance(700)
        assert len(api.restarts) == 1
        assert api.well


async def test_what_comes_back_by_itself_while_it_waits_is_left_alone(ward: Ward, clock: FakeClock) -> None:
    api, db = ward.patients["api"], ward.patients["db"]
    db.cure = db.refuse
    async with ward.open():
        db.well = api.well = False
        await clock.advance(60)
        db.well = api.well = True
        await clock.advance(700)
        assert api.restarts == []
        assert all(each.state is IncidentState.RESOLVED for each in await ward.incidents())


async def test_it_waits_out_a_silence(ward: Ward, store: Store, clock: FakeClock) -> None:
    now = clock.now()
    await store.write(
        lambda tx: silences.add(tx, "api", from_at=now, until_at=now + 600, why="deploy", who="ana", now=now)
    )
    api = ward.patients["api"]
    async with ward.open():
        api.well = False
        await clock.advance(590)
        assert api.restarts == []
        await clock.advance(30)
        assert len(api.restarts) == 1


@pytest.mark.parametrize("against", ["held", "switch", "disabled"])
async def test_it_keeps_its_hands_off(store: Store, clock: FakeClock, tmp_path: Path, against: str) -> None:
    ward = Ward(store, clock, tmp_path, enabled=against != "disabled")
    api = ward.patients["api"]
    api.held = against == "held"
    if against == "switch":
        await store.write(lambda tx: switch.turn_off(tx, "ana", "release day", clock.now()))
    async with ward.open() as runner:
        api.well = False
        await clock.advance(120)
        assert api.restarts == []
        (incident,) = await ward.incidents()
        last = (await ward.timeline(incident.id))[-1].detail
        words = {
            "held": "Not restarted: somebody stopped api: stopped on purpose",
            "switch": "Not restarted: healing is switched off: release day (ana)",
            "disabled": "Not restarted: would have restarted api, but healing it is switched off",
        }
        assert last == words[against]
        if against == "switch":
            await store.write(lambda tx: switch.turn_on(tx, "ana", clock.now()))
            assert await store.read(switch.off_since) is None
        assert runner.jobs["heal:api"].steps == ("decide", "act", "confirm", "conclude")


async def test_what_is_not_there_is_for_people(ward: Ward, clock: FakeClock) -> None:
    blog = ward.patients["blog"]
    blog.standing = Standing.MISSING
    async with ward.open():
        blog.well = False
        await clock.advance(60)
        assert blog.restarts == []
        (incident,) = await ward.incidents()
        assert await ward.told(incident.id, "pager") == ["escalated"]


async def test_a_fault_of_everything_does_not_restart_everything_for_ever(
    store: Store, clock: FakeClock, tmp_path: Path
) -> None:
    ward = Ward(store, clock, tmp_path, attempts=20, window=7200, cooldown=1, within=5)
    for patient in ward.patients.values():
        patient.cure = patient.stay_ill
        patient.well = patient is ward.patients["db"]
    async with ward.open():
        await clock.advance(600)
        assert sum(len(patient.restarts) for patient in ward.patients.values()) == 10


async def test_a_person_may_do_at_once_what_a_playbook_may_not(
    ward: Ward, store: Store, clock: FakeClock
) -> None:
    api = ward.patients["api"]
    await store.write(lambda tx: switch.turn_off(tx, "ana", "", clock.now()))
    async with ward.open() as runner:
        api.well = False
        await clock.advance(20)
        run = await _advancing(ward, runner.run_now("heal:api", {"service": "api", "by": "ana"}))
        assert (run.state, run.outcome["confirmed"]) == (RunState.DONE, True)
        (incident,) = await ward.incidents()
        details = [event.detail for event in await ward.timeline(incident.id)]
        assert "Restarting api: restart 1 of at most 3" in details


async def _advancing(ward: Ward, what: Coroutine[Any, Any, Run]) -> Run:
    task = asyncio.ensure_future(what)
    while not task.done():
        await ward.clock.advance(1)
    return await task


async def test_a_dry_run_says_what_would_be_done_and_does_nothing(ward: Ward) -> None:
    assert (await heal.plan(ward.ports, "api")).decision.reason == "api answers again"
    ward.patients["api"].well = False
    planned = await heal.plan(ward.ports, "api")
    assert (planned.decision.go, planned.action) == (Go.ACT, "restart")
    assert planned.state.state is Standing.RUNNING
    ward.patients["db"].well = False
    assert (await heal.plan(ward.ports, "api")).decision.go is Go.WAIT
    assert ward.patients["api"].restarts == []
    with pytest.raises(MainstayError, match="nothing is configured to heal nginx"):
        await heal.plan(ward.ports, "nginx")
