"""Senders: what is owed arrives, in order, once, however the provider behaves."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import pytest

from mainstay.core.check import Verdict
from mainstay.core.errors import JournalError
from mainstay.core.notifier import Message, Notifier
from mainstay.incidents.outbox import LONGEST_PAUSE, Sender, Senders, pause
from mainstay.incidents.recorder import Recorder
from mainstay.incidents.routing import Channel
from mainstay.ports.clock import FakeClock, SystemClock
from mainstay.store import nodes, outbox
from mainstay.store.base import Store
from tests.helpers import aeventually
from tests.incidents.scenes import HOOK, Feed, all_incidents, office, owed, pagerduty, slack
from tests.journals import Journal
from tests.servers.faults import FaultProxy
from tests.servers.recorder import PAGERDUTY
from tests.servers.recorder import Recorder as Provider

OK, FAIL = Verdict.OK, Verdict.FAIL


@asynccontextmanager
async def sending(
    store: Store, clock: FakeClock, office: Recorder, **channels: Notifier
) -> AsyncIterator[None]:
    """Senders at work until the end of the block."""
    task = asyncio.create_task(Senders(store, clock, office.desk, channels).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def said(provider: Provider) -> list[str]:
    """The headlines that Slack's stand-in has accepted."""
    return [request.json()["blocks"][0]["text"]["text"] for request in provider.to(HOOK) if request.accepted]


async def test_an_incident_is_told_to_both_channels_and_so_is_its_end(
    store: Store, clock: FakeClock, recorder: Provider
) -> None:
    desk = office(store, clock)
    feed = Feed(desk, clock)
    async with sending(store, clock, desk, slack=slack(recorder), pagerduty=pagerduty(recorder)):
        await feed("api", FAIL)
        await clock.advance(1)
        await feed("api", OK, OK)
        await clock.advance(1)
    assert said(recorder) == ["Critical: api fails its http check", "Resolved: api fails its http check"]
    pager = [request.json() for request in recorder.to(PAGERDUTY)]
    (incident,) = await all_incidents(store)
    assert [(event["event_action"], event["dedup_key"]) for event in pager] == [
        ("trigger", incident.id),
        ("resolve", incident.id),
    ]
    rows = await owed(store, "pagerduty")
    assert [row.receipt for row in rows] == [f"202 {incident.id}"] * 2


async def test_a_provider_that_is_down_for_six_hours_loses_nothing(
    store: Store, clock: FakeClock, recorder: Provider
) -> None:
    desk = office(store, clock)
    feed = Feed(desk, clock)
    recorder.answer(503, b"down")
    expected = []
    async with sending(store, clock, desk, slack=slack(recorder)):
        for hour in range(6):
            await feed("api", FAIL)
            expected.append(("opened", clock.now()))
            await clock.advance(600)
            for _ in range(18):
                await feed("api", OK)
            expected.append(("resolved", clock.now()))
            await clock.advance(3000 + hour)
        assert said(recorder) == []
        tried = len(recorder.requests)
        recorder.accept()
        await clock.advance(600)
    rows = [row for row in await owed(store, "slack") if row.message.service == "api"]
    assert [(row.message.kind.value, row.event_at) for row in rows] == expected
    assert all(row.sent_at is not None for row in rows)
    accepted = [request.json() for request in recorder.accepted]
    assert said(recorder) == [
        f"{word}: api fails its http check" for _ in range(6) for word in ("Critical", "Resolved")
    ]
    # Six hours at one attempt in half a minute on average, and never a storm.
    assert 360 <= tried <= 1500
    notes = [block["elements"][0]["text"] for body in accepted for block in body["attachments"][0]["blocks"]
             if block["type"] == "context"]  # fmt: skip
    assert len(notes) == 12
    assert notes[0].startswith("Delivered late: this was at 2026-05-28 20:26:40 UTC, 6h")


def fault(name: str) -> Callable[[Provider], None]:
    return {
        "503": lambda provider: provider.answer(503, b"down", times=3),
        "500 with a page": lambda provider: provider.answer(500, b"<html>oops</html>", times=3),
        "hanging": lambda provider: provider.hang(times=3),
        "dropping": lambda provider: provider.drop(times=3),
        "429": lambda provider: provider.answer(429, b"slow down", headers={"Retry-After": "30"}, times=3),
        "404": lambda provider: provider.answer(404, b"no_service", times=3),
        "302": lambda provider: provider.answer(302, headers={"Location": "https://example.com/"}, times=3),
    }[name]


@pytest.mark.parametrize("name", ["503", "500 with a page", "hanging", "dropping", "429", "404", "302"])
async def test_whatever_the_provider_does_it_arrives_once_and_in_order(
    store: Store, clock: FakeClock, recorder: Provider, name: str
) -> None:
    desk = office(store, clock)
    feed = Feed(desk, clock)
    fault(name)(recorder)
    async with sending(store, clock, desk, slack=slack(recorder, timeout=2 if name == "hanging" else 30)):
        await feed("api", FAIL)
        await feed("api", OK, OK)
        await clock.advance(300)
    assert said(recorder) == ["Critical: api fails its http check", "Resolved: api fails its http check"]
    assert [row.attempts for row in await owed(store, "slack")] == [4, 1]


async def test_a_refused_connection_says_so_without_the_secret_address(
    store: Store, clock: FakeClock, recorder: Provider
) -> None:
    desk = office(store, clock)
    recorder.refuse()
    async with sending(store, clock, desk, slack=slack(recorder)):
        await Feed(desk, clock)("api", FAIL)
        await clock.advance(1)
        (row,) = await owed(store, "slack")
    assert row.error is not None
    assert "Slack cannot be reached" in row.error
    assert "hook" not in row.error


async def test_the_providers_wish_is_obeyed(store: Store, clock: FakeClock, recorder: Provider) -> None:
    desk = office(store, clock)
    recorder.answer(429, headers={"Retry-After": "1800"}, times=1)
    async with sending(store, clock, desk, slack=slack(recorder)):
        await Feed(desk, clock)("blog", FAIL)
        await clock.advance(1799)
        assert len(recorder.requests) == 1
        await clock.advance(2)
    assert len(said(recorder)) == 1


async def test_what_can_never_be_accepted_is_kept_as_refused_and_the_next_goes_on(
    store: Store, clock: FakeClock, recorder: Provider, make_recorder: Callable[[], Provider]
) -> None:
    other = make_recorder()
    desk = office(store, clock, channels=[Channel("slack"), Channel("second")])
    recorder.answer(400, b"invalid_blocks", times=1)
    async with sending(store, clock, desk, slack=slack(recorder), second=slack(other)):
        await Feed(desk, clock)("blog", FAIL)
        await clock.advance(1)
        await Feed(desk, clock)("api", FAIL)
        await clock.advance(1)
    first, second = (row for row in await owed(store, "slack"))
    assert (first.refused_at is not None, first.error) == (
        True,
        "Slack refused the message with 400: invalid_blocks",
    )
    assert second.sent_at is not None
    assert "Warning: slack refused a message" in said(other)
    assert "Resolved: slack refused a message" in said(other)
    assert not any("slack refused" in line for line in said(recorder))


async def test_a_channel_that_fails_for_two_minutes_is_told_through_the_others(
    store: Store, clock: FakeClock, recorder: Provider, make_recorder: Callable[[], Provider]
) -> None:
    other = make_recorder()
    desk = office(store, clock, channels=[Channel("slack"), Channel("second")])
    recorder.answer(503)
    async with sending(store, clock, desk, slack=slack(recorder), second=slack(other)):
        await Feed(desk, clock)("blog", FAIL)
        await clock.advance(110)
        assert len(said(other)) == 1
        await clock.advance(100)
        assert said(other)[1:] == ["Warning: slack does not take messages"]
        await clock.advance(3600)
        assert len(said(other)) == 2
        recorder.accept()
        await clock.advance(100)
    assert said(other)[2:] == ["Resolved: slack does not take messages"]
    assert said(recorder) == ["Warning: blog fails its http check"]


async def test_a_channel_that_hangs_delays_no_other(
    store: Store, clock: FakeClock, recorder: Provider, make_recorder: Callable[[], Provider]
) -> None:
    other = make_recorder()
    desk = office(store, clock)
    recorder.hang()
    async with sending(store, clock, desk, slack=slack(recorder, timeout=30), pagerduty=pagerduty(other)):
        await Feed(desk, clock)("api", FAIL)
        await aeventually(lambda: len(other.accepted) == 1 and len(recorder.requests) == 1)
        assert said(recorder) == []


class Broken(Notifier):
    """A notifier with a fault of its own, twice."""

    async def send(self, message: Message, now: float) -> str:
        BROKEN.append(message.key)
        if len(BROKEN) < 3:
            raise ZeroDivisionError("oops")
        return "at last"


BROKEN: list[str] = []


async def test_a_notifier_that_breaks_is_tried_again_with_the_same_key(
    store: Store, clock: FakeClock
) -> None:
    BROKEN.clear()
    desk = office(store, clock)
    async with sending(store, clock, desk, slack=Broken()):
        await Feed(desk, clock)("api", FAIL)
        await clock.advance(120)
    (row,) = await owed(store, "slack")
    assert [row.id] * 3 == BROKEN
    assert row.receipt == "at last"


async def test_a_clock_set_back_holds_nothing_up(store: Store, clock: FakeClock, recorder: Provider) -> None:
    desk = office(store, clock)
    recorder.answer(503, times=1)
    async with sending(store, clock, desk, slack=slack(recorder)):
        await Feed(desk, clock)("api", FAIL)
        await clock.advance(0.001)
        clock.step(-86400)
        await clock.advance(61)
    assert len(said(recorder)) == 1


async def test_two_nodes_never_send_the_same_message_at_once(
    store: Store, clock: FakeClock, recorder: Provider
) -> None:
    desk = office(store, clock)
    await Feed(desk, clock)("api", FAIL)
    for name in ("one", "two"):
        joining = nodes.NodeRow(name, name, 1, "agent", clock.now(), clock.now())
        await store.write(partial(nodes.join, node=joining))
    one, two = (Sender(store, clock, desk.desk, "slack", slack(recorder), name) for name in ("one", "two"))
    (row,) = await owed(store, "slack")
    claimed = await store.write(
        lambda tx: outbox.claim(tx, row.id, "one", clock.now(), until=clock.now() + 14)
    )
    assert claimed is not None
    assert not await two.deliver_due()
    assert recorder.requests == []
    # The owner itself goes on, and so does another one when the owner is no more or its time is over.
    await store.write(lambda tx: nodes.remove(tx, "one"))
    assert await two.deliver_due()
    assert not await one.deliver_due()
    assert len(said(recorder)) == 1


async def test_an_expired_claim_is_free(store: Store, clock: FakeClock, recorder: Provider) -> None:
    desk = office(store, clock)
    await Feed(desk, clock)("api", FAIL)
    join = nodes.NodeRow("one", "one", 1, "agent", clock.now(), clock.now())
    await store.write(lambda tx: nodes.join(tx, join))
    (row,) = await owed(store, "slack")
    await store.write(lambda tx: outbox.claim(tx, row.id, "one", clock.now(), until=clock.now() + 14))
    async with sending(store, clock, desk, slack=slack(recorder)):
        await clock.advance(13)
        assert recorder.requests == []
        await clock.advance(2)
        assert len(said(recorder)) == 1


async def test_standings_and_forgetting(store: Store, clock: FakeClock, recorder: Provider) -> None:
    desk = office(store, clock)
    await Feed(desk, clock)("api", FAIL)
    await Sender(store, clock, desk.desk, "slack", slack(recorder)).deliver_due()
    standing = {row.channel: row for row in await store.read(outbox.standings)}
    assert (standing["slack"].owed, standing["slack"].sent_at) == (0, clock.now())
    assert (standing["pagerduty"].owed, standing["pagerduty"].owed_since) == (1, clock.now())
    # Who was told of an open incident has to hear of its end, however long ago it was.
    assert await store.write(lambda tx: outbox.forget(tx, clock.now() + 1)) == 0
    await Feed(desk, clock)("api", OK, OK)
    assert await store.write(lambda tx: outbox.forget(tx, clock.now() + 1)) == 1
    assert [row.message.kind.value for row in await owed(store, "slack")] == ["resolved"]
    assert len(await owed(store, "pagerduty")) == 2


def test_pauses_are_spread_grow_and_end_at_a_minute() -> None:
    draw = random.Random(1)
    assert max(pause(1, None, draw) for _ in range(500)) <= 2
    longest = [pause(50, None, draw) for _ in range(500)]
    assert 0 <= min(longest) < 5
    assert LONGEST_PAUSE - 5 < max(longest) <= LONGEST_PAUSE
    assert pause(1, 300, draw) == 300
    assert pause(1, 1e9, draw) == 3600


@pytest.mark.parametrize("journal", ["postgres"], indirect=True)
async def test_a_journal_that_is_away_is_waited_for(
    journal: Journal, recorder: Provider, fault_proxy: Callable[[int], FaultProxy]
) -> None:
    assert journal.server is not None
    proxy = fault_proxy(journal.server.port)
    near = replace(journal, url=journal.url.replace(f":{journal.server.port}/", f":{proxy.port}/"))
    clock = SystemClock()
    async with near.opened(clock) as store, journal.opened(clock) as other:
        task = asyncio.create_task(_sending(store, clock, recorder))
        proxy.refuse()
        await Feed(office(other, clock), clock)("api", FAIL)
        with pytest.raises(JournalError):
            await store.write(lambda tx: tx.signal("outbox"))
        assert said(recorder) == []
        proxy.heal()
        await aeventually(lambda: said(recorder) != [], 20)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _sending(store: Store, clock: SystemClock, provider: Provider) -> None:
    await Senders(store, clock, office(store, clock).desk, {"slack": slack(provider)}).run()
