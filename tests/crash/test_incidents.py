"""Killed around an incident's change of state: all of it is in the journal, or nothing; and it goes on from there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstay.core.incident import IncidentState
from tests.crash.offices import Offices, offices
from tests.journals import Journal, journal
from tests.servers.recorder import Recorder

__all__ = ["journal"]


@pytest.fixture
def office(journal: Journal, tmp_path: Path, recorder: Recorder) -> Iterator[Offices]:
    with offices(journal, tmp_path, recorder) as made:
        yield made


@pytest.mark.parametrize(("point", "kept"), [("incident.before_commit", False), ("incident.committed", True)])
async def test_an_opening_is_written_whole_or_not_at_all(office: Offices, point: str, kept: bool) -> None:
    office.dies("ok", "fail", at=point)
    found, events, owed = await office.journalled()
    assert len(found) == (1 if kept else 0)
    assert [event.kind.value for event in events] == (["failed", "opened"] if kept else [])
    assert sorted(row.channel for row in owed) == (["hook", "pager"] if kept else [])
    office.works("fail", "ok", "ok")
    found, events, owed = await office.journalled()
    assert [incident.state for incident in found] == [IncidentState.RESOLVED]
    assert [event.kind.value for event in events] == ["failed", "opened", "resolved"]
    assert office.actions() == ["trigger", "resolve"]
    assert len(office.keys()) == len(set(office.keys())) == 2


@pytest.mark.parametrize(("point", "kept"), [("incident.before_commit", False), ("incident.committed", True)])
async def test_a_recovery_is_written_whole_or_not_at_all(office: Offices, point: str, kept: bool) -> None:
    office.works("fail")
    # The first good answer changes the incident too, by counting; the second one ends it.
    office.dies("ok", "ok", at=f"{point}@2" if point == "incident.before_commit" else point)
    (incident,), events, _ = await office.journalled()
    assert (incident.state is IncidentState.RESOLVED) == kept
    assert incident.facts.get("oks", 0) == (0 if kept else 1)
    assert [event.kind.value for event in events][2:] == (["resolved"] if kept else [])
    office.works("ok")
    (incident,), events, _ = await office.journalled()
    assert incident.state is IncidentState.RESOLVED
    assert [event.kind.value for event in events] == ["failed", "opened", "resolved"]
    assert office.actions() == ["trigger", "resolve"]


@pytest.mark.parametrize("commit", range(2, 9))
async def test_killed_before_any_commit_it_ends_well(office: Offices, commit: int) -> None:
    office.dies("ok", "fail", "ok", "ok", at=f"journal.before_commit@{commit}")
    office.works("fail", "ok", "ok")
    found, events, owed = await office.journalled()
    assert all(incident.state is IncidentState.RESOLVED for incident in found)
    kinds = [event.kind.value for event in events]
    assert kinds == ["failed", "opened", "resolved"] * len(found)
    assert all(row.sent_at is not None for row in owed)
    assert len(owed) == 4 * len(found)
