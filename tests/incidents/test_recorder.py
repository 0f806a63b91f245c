"""The recorder and the desk: what is written for a result, and who is owed which message."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mainstay.core.check import Result, Verdict
from mainstay.core.errors import MainstayError
from mainstay.core.incident import Event, EventKind, Incident, IncidentState, Severity
from mainstay.core.run import Run, RunState
from mainstay.incidents import from_run
from mainstay.ports.clock import FakeClock
from mainstay.store import incidents, outbox, results, silences
from mainstay.store.base import Store, Tx
from tests.incidents.scenes import Feed, all_incidents, office, owed, timeline

OK, WARN, FAIL, UNKNOWN = Verdict.OK, Verdict.WARN, Verdict.FAIL, Verdict.UNKNOWN


def kinds(rows: list[outbox.Owed]) -> list[str]:
    return [row.message.kind.value for row in rows]


async def test_a_life_of_an_incident_in_the_journal(store: Store, clock: FakeClock) -> None:
    feed = Feed(office(store, clock), clock)
    await feed("api", OK)
    clock.step(5)
    await feed("api", FAIL, confirmed=False)
    clock.step(0.8)
    await feed("api", FAIL)
    (incident,) = await all_incidents(store)
    assert (incident.key, incident.state, incident.severity) == ("check:api/http", "open", Severity.CRITICAL)
    assert incident.opened_at - incident.failed_at == pytest.approx(0.8)
    clock.step(10)
    await feed("api", OK, OK)
    (incident,) = await all_incidents(store)
    assert incident.state is IncidentState.RESOLVED
    assert [event.kind.value for event in await timeline(store, incident.id)] == [
        "failed",
        "opened",
        "resolved",
    ]
    states = await store.read(results.states)
    assert [(row["check_id"], row["verdict"]) for row in states] == [("api/http", "ok")]


async def test_a_restart_between_any_two_results_forgets_nothing(store: Store, clock: FakeClock) -> None:
    open_after = []
    for verdict in [OK, FAIL, OK, FAIL, FAIL, OK, OK, FAIL, *[OK] * 5, FAIL, *[OK] * 6]:
        clock.step(5)
        await Feed(office(store, clock), clock)("api", verdict)
        live = await store.read(incidents.live)
        open_after.append(len(live))
    # Two good answers in a row end the first, six the second, since it came back: five were not enough.
    assert open_after == [0, 1, 1, 1, 1, 1, 0, 1, *[1] * 5, 1, *[1] * 5, 0]
    assert len(await all_incidents(store)) == 2


async def test_a_warning_lasts_across_restarts(store: Store, clock: FakeClock) -> None:
    for _ in range(6):
        await Feed(office(store, clock), clock)("api", WARN)
        clock.step(60)
    (incident,) = await all_incidents(store)
    assert (incident.severity, incident.opened_at - incident.failed_at) == (Severity.WARNING, 300)


async def test_the_same_batch_twice_is_one_incident(store: Store, clock: FakeClock) -> None:
    feed = Feed(office(store, clock), clock)
    await feed("api", FAIL)
    await feed("api", FAIL)
    assert len(await all_incidents(store)) == 1
    assert kinds(await owed(store, "slack")) == ["opened"]


async def test_a_batch_that_comes_again_counts_once(store: Store, clock: FakeClock) -> None:
    """The watch hands it on again when it could not learn whether it was kept."""
    recorder = office(store, clock)
    now = clock.now()
    up, down = [Result("api/http", "api", verdict, "", now, confirmed=True) for verdict in (OK, FAIL)]
    await recorder.record([down])
    good = [replace(up, at=now + 1)]
    for _ in range(3):
        await recorder.record(good)
    assert len(await store.read(incidents.live)) == 1
    whole = [replace(up, at=now + 2), replace(down, at=now + 3), replace(up, at=now + 4)]
    whole += [replace(up, at=now + after) for after in range(5, 10)]
    for _ in range(3):
        await recorder.record(whole)
    assert [each.state for each in await all_incidents(store)] == [IncidentState.RESOLVED] * 2


async def test_critical_goes_to_the_pager_and_a_warning_does_not(store: Store, clock: FakeClock) -> None:
    feed = Feed(office(store, clock), clock)
    await feed("api", FAIL, OK, OK)
    await feed("blog", FAIL, OK, OK)
    assert kinds(await owed(store, "slack")) == ["opened", "resolved"] * 2
    assert kinds(await owed(store, "pagerduty")) == ["opened", "resolved"]


async def test_an_escalation_reaches_the_pager_and_its_recovery_too(store: Store, clock: FakeClock) -> None:
    feed = Feed(office(store, clock), clock)
    await feed("db", WARN)
    assert kinds(await owed(store, "pagerduty")) == []
    await feed("db", FAIL)
    await feed("db", OK, OK)
    assert kinds(await owed(store, "slack")) == ["opened", "escalated", "resolved"]
    assert kinds(await owed(store, "pagerduty")) == ["escalated", "resolved"]


async def test_messages_are_complete(store: Store, clock: FakeClock) -> None:
    await Feed(office(store, clock), clock)("api", FAIL)
    (row,) = await owed(store, "slack")
    (incident,) = await all_incidents(store)
    message = row.message
    assert message.key == row.id
    assert message.thread == incident.id
    assert message.link == f"https://status.example.com/incidents/{incident.id}"
    assert message.event_at == incident.opened_at
    assert message.facts["failed_at"] == incident.failed_at


async def test_the_channels_that_were_told_hear_of_acknowledgement_and_recovery(
    store: Store, clock: FakeClock
) -> None:
    recorder = office(store, clock)
    await Feed(recorder, clock)("blog", FAIL)
    (incident,) = await all_incidents(store)
    taken = await recorder.acknowledge(incident.id, "ana")
    assert (taken.state, taken.acknowledged_by) == (IncidentState.ACKNOWLEDGED, "ana")
    assert await recorder.acknowledge(incident.id, "ben") == taken
    await Feed(recorder, clock)("blog", FAIL)
    await Feed(recorder, clock)("blog", OK, OK)
    assert kinds(await owed(store, "slack")) == ["opened", "acknowledged", "resolved"]
    assert await owed(store, "pagerduty") == []


async def test_a_person_ends_it_and_it_comes_back_when_it_still_fails(store: Store, clock: FakeClock) -> None:
    recorder = office(store, clock)
    feed = Feed(recorder, clock)
    await feed("api", FAIL)
    (first,) = await all_incidents(store)
    ended = await recorder.resolve_manually(first.id, "ana", "false alarm")
    assert ended.state is IncidentState.RESOLVED
    assert await recorder.resolve_manually(first.id, "ana") == ended
    await recorder.note(first.id, "ana", "looked at the logs")
    assert (await timeline(store, first.id))[-1].detail == "looked at the logs"
    await feed("api", FAIL)
    assert len(await all_incidents(store)) == 2


async def test_an_unknown_incident_is_said_so(store: Store, clock: FakeClock) -> None:
    with pytest.raises(MainstayError, match="there is no incident nope"):
        await office(store, clock).acknowledge("nope", "ana")


async def silence(store: Store, clock: FakeClock, service: str, seconds: float) -> silences.Silence:
    now = clock.now()
    return await store.write(
        lambda tx: silences.add(
            tx, service, from_at=now, until_at=now + seconds, why="work", who="ana", now=now
        )
    )


@pytest.mark.parametrize("service", ["api", "*"])
async def test_a_silence_keeps_messages_from_coming_into_being(
    store: Store, clock: FakeClock, service: str
) -> None:
    feed = Feed(office(store, clock), clock)
    await silence(store, clock, service, 600)
    await feed("api", FAIL)
    await feed("api", OK, OK)
    clock.step(601)
    await feed("api", OK)
    (incident,) = await all_incidents(store)
    assert incident.state is IncidentState.RESOLVED
    assert await owed(store, "slack") == []


async def test_what_outlasts_its_silence_is_told_then(store: Store, clock: FakeClock) -> None:
    feed = Feed(office(store, clock), clock)
    kept = await silence(store, clock, "api", 600)
    await feed("api", FAIL)
    clock.step(100)
    await feed("blog", OK)
    assert await owed(store, "slack") == []
    assert await store.write(lambda tx: silences.end(tx, kept.id, clock.now()))
    assert not await store.write(lambda tx: silences.end(tx, kept.id, clock.now()))
    await feed("blog", OK)
    await feed("blog", OK)
    (row,) = await owed(store, "slack")
    assert (row.message.kind, row.owed_at - row.event_at) == (EventKind.OPENED, 100)


async def test_a_recovery_is_told_even_in_a_silence(store: Store, clock: FakeClock) -> None:
    recorder = office(store, clock)
    feed = Feed(recorder, clock)
    await feed("api", FAIL)
    await silence(store, clock, "api", 600)
    (incident,) = await all_incidents(store)
    await recorder.acknowledge(incident.id, "ana")
    await feed("api", OK, OK)
    assert kinds(await owed(store, "slack")) == ["opened", "resolved"]


async def test_other_services_are_not_silenced(store: Store, clock: FakeClock) -> None:
    await silence(store, clock, "api", 600)
    await Feed(office(store, clock), clock)("blog", FAIL)
    assert kinds(await owed(store, "slack")) == ["opened"]
    upcoming = await store.read(lambda tx: silences.upcoming(tx, clock.now()))
    assert [each.service for each in upcoming] == ["api"]


async def test_what_fails_because_of_another_service_is_not_told_of(store: Store, clock: FakeClock) -> None:
    feed = Feed(office(store, clock), clock)
    await feed("db", FAIL)
    await feed("shop", FAIL)
    await feed("mobile", FAIL)
    assert [row.message.service for row in await owed(store, "slack")] == ["db"]
    shop = next(each for each in await all_incidents(store) if each.service == "shop")
    assert (await timeline(store, shop.id))[
        -1
    ].detail == "Nobody is told for now: db, which it needs, fails too"
    await feed("db", OK, OK)
    clock.step(30)
    await feed("shop", OK, OK)
    await feed("mobile", OK, OK)
    clock.step(300)
    await feed("db", OK)
    assert kinds(await owed(store, "slack")) == ["opened", "resolved"]


async def test_what_goes_on_failing_without_that_reason_is_told_a_minute_later(
    store: Store, clock: FakeClock
) -> None:
    feed = Feed(office(store, clock), clock)
    await feed("db", FAIL)
    await feed("shop", FAIL)
    await feed("db", OK, OK)
    clock.step(59)
    await feed("shop", FAIL)
    assert [row.message.service for row in await owed(store, "slack")] == ["db", "db"]
    clock.step(2)
    await feed("shop", FAIL)
    assert [row.message.service for row in await owed(store, "pagerduty")] == ["db", "db", "shop"]
    await feed("shop", OK, OK)
    assert kinds(await owed(store, "pagerduty"))[2:] == ["opened", "resolved"]


async def test_a_lesser_fault_or_one_that_nobody_knows_of_explains_nothing(
    store: Store, clock: FakeClock
) -> None:
    feed = Feed(office(store, clock), clock)
    await feed("blog", FAIL)
    await silence(store, clock, "db", 600)
    await feed("db", FAIL)
    await feed("shop", FAIL)
    assert [row.message.service for row in await owed(store, "slack")] == ["blog", "shop"]


async def test_reactions_see_each_event_in_the_same_unit(store: Store, clock: FakeClock) -> None:
    seen: list[tuple[str, str]] = []

    def react(tx: Tx, incident: Incident, event: Event) -> None:
        assert incidents.get(tx, incident.id) == incident
        seen.append((incident.key, event.kind.value))

    await Feed(office(store, clock, [react]), clock)("api", FAIL, OK, OK)
    assert [kind for _, kind in seen] == ["failed", "opened", "resolved"]


async def test_a_reaction_that_breaks_undoes_everything(store: Store, clock: FakeClock) -> None:
    def react(tx: Tx, incident: Incident, event: Event) -> None:
        raise MainstayError("broken")

    with pytest.raises(MainstayError, match="broken"):
        await Feed(office(store, clock, [react]), clock)("api", FAIL)
    assert await all_incidents(store) == []
    assert await store.read(results.states) == []


async def test_conditions_are_raised_once_get_louder_and_are_cleared(store: Store, clock: FakeClock) -> None:
    desk = office(store, clock).desk

    async def raise_it(severity: Severity, detail: str) -> Incident:
        return await store.write(
            lambda tx: desk.raise_condition(
                tx,
                "backup:erp",
                service="backup:erp",
                severity=severity,
                title="The backup of erp is damaged",
                detail=detail,
                hint="mainstay backup prove erp",
            )
        )

    first = await raise_it(Severity.WARNING, "one block")
    assert await raise_it(Severity.WARNING, "one block") == first
    await raise_it(Severity.WARNING, "two blocks")
    louder = await raise_it(Severity.CRITICAL, "all blocks")
    assert (louder.id, louder.severity) == (first.id, Severity.CRITICAL)
    clock.step(60)
    assert await store.write(lambda tx: desk.clear_condition(tx, "backup:erp", "proven again")) is not None
    assert await store.write(lambda tx: desk.clear_condition(tx, "backup:erp")) is None
    assert [event.kind.value for event in await timeline(store, first.id)] == [
        "opened",
        "changed",
        "escalated",
        "resolved",
    ]
    assert kinds(await owed(store, "pagerduty")) == ["escalated", "resolved"]
    assert (await owed(store, "slack"))[0].message.facts["hint"] == "mainstay backup prove erp"


async def test_a_playbook_calls_for_people(store: Store, clock: FakeClock) -> None:
    desk = office(store, clock).desk
    await Feed(office(store, clock), clock)("blog", FAIL)
    (incident,) = await all_incidents(store)
    await store.write(lambda tx: desk.escalate(tx, incident.id, "3 restarts did not help"))
    assert kinds(await owed(store, "pagerduty")) == ["escalated"]
    await store.write(lambda tx: desk.resolve_manually(tx, incident.id, "ana"))
    assert await store.write(lambda tx: desk.escalate(tx, incident.id, "too late")) is None


def run(job: str, state: RunState, **fields: object) -> Run:
    return Run(id="r1", job=job, key="k", state=state, due_at=0.0, **fields)  # type: ignore[arg-type]


async def test_a_failed_job_is_an_incident_until_it_succeeds(store: Store, clock: FakeClock) -> None:
    desk = office(store, clock).desk
    hook = from_run.hook(desk)
    failed = run("backup:erp", RunState.FAILED, error="storage is full", attempt=3)
    await store.write(lambda tx: hook(tx, failed))
    await store.write(lambda tx: hook(tx, run("backup:erp", RunState.CANCELLED)))
    (incident,) = await all_incidents(store)
    assert (incident.key, incident.severity) == ("job:backup:erp", Severity.CRITICAL)
    assert incident.detail == "storage is full (tried 3 times)"
    await store.write(lambda tx: hook(tx, run("backup:erp", RunState.DONE, summary="389 MB")))
    (incident,) = await all_incidents(store)
    assert incident.state is IncidentState.RESOLVED


async def test_a_parked_run_warns_with_a_hint(store: Store, clock: FakeClock) -> None:
    desk = office(store, clock).desk
    await store.write(lambda tx: from_run.hook(desk)(tx, run("cleanup", RunState.PARKED)))
    (incident,) = await all_incidents(store)
    assert incident.severity is Severity.WARNING
    assert "mainstay run cleanup" in incident.facts["hint"]


async def test_a_failed_clean_up_does_not_wake_anybody(store: Store, clock: FakeClock) -> None:
    desk = office(store, clock).desk
    await store.write(
        lambda tx: from_run.hook(desk)(tx, run("cleanup", RunState.FAILED, error="no such path"))
    )
    assert kinds(await owed(store, "slack")) == ["opened"]
    assert await owed(store, "pagerduty") == []
