"""A message that cannot be told never keeps the others waiting, and what a service answers never makes one."""

from __future__ import annotations

import asyncio
import json

import pytest

from mainstay.core.check import Result, Verdict
from mainstay.core.notifier import Message, Notifier
from mainstay.core.secret import Secret, SecretUrl
from mainstay.incidents.outbox import BROKEN_AFTER, Sender
from mainstay.incidents.routing import Channel
from mainstay.notifiers.email import Email
from mainstay.notifiers.webhook import Webhook
from mainstay.ports.clock import FakeClock
from mainstay.store import incidents
from mainstay.store.base import Store
from tests.incidents.scenes import Feed, office, owed, pagerduty, slack
from tests.servers.recorder import Recorder as Provider
from tests.servers.smtp import SmtpSink

NASTY = {
    "half of a pair": json.loads('"status is \\ud800, not ok"'),
    "nothing": "status is \x00\x1b[31m, not ok\r\n\x7f",
    "no UTF-8": b"caf\xe9 \xff".decode("utf-8", "surrogateescape"),
    "huge": "x\u2028<&>" * 100_000,
    "empty": "",
    "right to left": "\u202eevil\u202c \ufeff",
}


@pytest.mark.parametrize("journal", ["sqlite", "postgres"], indirect=True)
@pytest.mark.parametrize("name", NASTY)
async def test_whatever_a_service_says_every_channel_is_told(
    store: Store, clock: FakeClock, recorder: Provider, smtp: SmtpSink, name: str
) -> None:
    channels: dict[str, Notifier] = {
        "slack": slack(recorder),
        "pagerduty": pagerduty(recorder),
        "hook": Webhook(url=SecretUrl("url", f"{recorder.url}/hook"), secret=Secret("key", "a key")),
        "mail": Email.model_validate(
            {
                "host": "127.0.0.1",
                "port": smtp.port,
                "security": "none",
                "from": "m@example.com",
                "to": ["a@example.com"],
            }
        ),
    }
    desk = office(store, clock, channels=[Channel(name) for name in channels])
    detail = NASTY[name]
    await desk.record(
        [Result("api/http", "api", Verdict.FAIL, detail, clock.now(), confirmed=True, facts={"said": detail})]
    )
    for channel, notifier in channels.items():
        assert await Sender(store, clock, desk.desk, channel, notifier).deliver_due(), channel
        (row,) = await owed(store, channel)
        assert row.sent_at is not None, row.error
    (incident,) = await store.read(incidents.live)
    incident.detail.encode()
    json.dumps(incident.facts, ensure_ascii=False).encode()


class Brittle(Notifier):
    """Breaks over one service's messages, as a notifier with a fault of its own would."""

    told: list[str] = []

    async def send(self, message: Message, now: float) -> str:
        if message.service == "api":
            raise ZeroDivisionError(message.title)
        self.told.append(message.service)
        return "fine"


async def test_a_message_that_breaks_the_notifier_is_refused_at_last_and_the_next_one_told(
    store: Store, clock: FakeClock, recorder: Provider
) -> None:
    desk = office(store, clock)
    feed = Feed(desk, clock)
    brittle = Brittle()
    senders = [
        Sender(store, clock, desk.desk, "slack", brittle),
        Sender(store, clock, desk.desk, "pagerduty", pagerduty(recorder)),
    ]
    tasks = [asyncio.create_task(sender.run()) for sender in senders]
    await feed("api", Verdict.FAIL)
    await feed("db", Verdict.FAIL)
    await clock.advance(60 * (BROKEN_AFTER + 1))
    assert brittle.told[:1] == ["db"]
    first, *_ = await owed(store, "slack")
    assert first.refused_at is not None
    assert first.attempts == BROKEN_AFTER
    assert "the notifier broke: ZeroDivisionError" in str(first.error)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
