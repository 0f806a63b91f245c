"""What was taken out of the configuration does not stay open for ever, and what was owed to it is not lost."""

from __future__ import annotations

from functools import partial

from mainstay.core.check import Verdict
from mainstay.core.incident import IncidentState, Severity
from mainstay.core.run import Run, RunState
from mainstay.engine.queue import enqueue
from mainstay.incidents.leftovers import Known, tidy
from mainstay.incidents.routing import Channel
from mainstay.ports.clock import FakeClock
from mainstay.store import incidents, outbox, results, runs
from mainstay.store.base import Store, Tx
from tests.incidents.scenes import Feed, all_incidents, office, owed, timeline

EVERYTHING = Known(
    {"api/http", "db/http"}, {"backup:main", "heal:api"}, {"slack", "pagerduty"}, {"bank"}, {"shop"}
)


async def test_while_everything_is_known_nothing_changes(store: Store, clock: FakeClock) -> None:
    desk = office(store, clock)
    await Feed(desk, clock)("api", Verdict.FAIL)
    before = await all_incidents(store)
    await store.write(lambda tx: tidy(tx, desk.desk, EVERYTHING))
    assert await all_incidents(store) == before
    assert {row["check_id"] for row in await store.read(results.states)} == {"api/http"}


async def test_the_incident_of_a_removed_check_ends_and_its_end_is_told(
    store: Store, clock: FakeClock
) -> None:
    desk = office(store, clock)
    await Feed(desk, clock)("api", Verdict.FAIL)
    await Feed(desk, clock)("db", Verdict.FAIL, confirmed=False)
    await store.write(lambda tx: tidy(tx, desk.desk, Known({"web/http"}, set(), {"slack", "pagerduty"})))
    (incident,) = await all_incidents(store)
    assert incident.state is IncidentState.RESOLVED
    assert (
        "the check api/http is not in the configuration any more"
        in (await timeline(store, incident.id))[-1].detail
    )
    assert [row.message.kind.value for row in await owed(store, "pagerduty")] == ["opened", "resolved"]
    assert await store.read(results.states) == []
    assert await store.read(incidents.suspicions) == {}


async def test_conditions_of_removed_jobs_and_channels_end_others_stay(
    store: Store, clock: FakeClock
) -> None:
    desk = office(store, clock).desk

    def wrong(tx: Tx, key: str) -> object:
        return desk.raise_condition(tx, key, service="x", severity=Severity.WARNING, title=key, detail="so")

    wrong_keys = (
        "target:shop",
        "dead_letters:bank",
        "job:backup:old",
        "job:backup:main",
        "holes:backup:main",
        "holes:patch",
        "channel:fax",
        "wal:gone",
        "wal_gap:gone",
        "wal_gap:shop",
        "config",
    )
    for key in wrong_keys:
        await store.write(partial(wrong, key=key))
    await store.write(lambda tx: tidy(tx, desk, EVERYTHING))
    live = await store.read(incidents.live)
    keys = ["config", "dead_letters:bank", "holes:backup:main", "job:backup:main", "wal_gap:shop"]
    assert sorted(incident.key for incident in live) == keys


async def test_what_was_owed_to_a_renamed_channel_reaches_the_new_one_once(
    store: Store, clock: FakeClock
) -> None:
    before = office(store, clock, channels=[Channel("slack")])
    await Feed(before, clock)("api", Verdict.FAIL)
    after = office(store, clock, channels=[Channel("chat"), Channel("pager", "critical")])
    known = Known({"api/http"}, set(), {"chat", "pager"})
    for _ in range(2):
        await store.write(lambda tx: tidy(tx, after.desk, known))
    (old,) = await owed(store, "slack")
    assert old.refused_at is not None
    assert old.error == "the channel slack is not in the configuration any more"
    for channel in ("chat", "pager"):
        (new,) = await owed(store, channel)
        assert (new.message.title, new.event_at) == (old.message.title, old.event_at)
        assert new.sent_at is None
    await Feed(after, clock)("api", Verdict.OK, Verdict.OK)
    assert [row.message.kind.value for row in await owed(store, "chat")] == ["opened", "resolved"]


async def test_who_was_told_already_is_not_told_again(store: Store, clock: FakeClock) -> None:
    before = office(store, clock)
    await Feed(before, clock)("api", Verdict.FAIL)
    after = office(store, clock, channels=[Channel("slack")])
    await store.write(lambda tx: tidy(tx, after.desk, Known({"api/http"}, set(), {"slack"})))
    assert len(await owed(store, "slack")) == 1
    assert {row.channel for row in await store.read(outbox.all_owed)} == {"slack"}


async def test_healing_of_a_removed_service_is_called_off(store: Store, clock: FakeClock) -> None:
    desk = office(store, clock).desk
    now = clock.now()
    jobs = ("heal:old", "heal:api", "nightly")

    def ask(tx: Tx, job: str) -> Run:
        return enqueue(tx, job, key=job, due_at=now + 60, now=now)

    queued = [await store.write(partial(ask, job=job)) for job in jobs]
    await store.write(lambda tx: tidy(tx, desk, EVERYTHING))
    found = [await store.read(partial(runs.require, run_id=run.id)) for run in queued]
    assert [run.state for run in found] == [RunState.CANCELLED, RunState.QUEUED, RunState.QUEUED]
