"""What the tests of incidents share: results, a recorder with two channels, real notifiers with a fake provider."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from mainstay.core.check import Result, Verdict
from mainstay.core.incident import Event, Incident
from mainstay.core.secret import Secret
from mainstay.incidents.desk import Reaction
from mainstay.incidents.machine import Rules
from mainstay.incidents.recorder import Recorder
from mainstay.incidents.routing import Channel, Routing
from mainstay.notifiers.pagerduty import PagerDuty
from mainstay.notifiers.slack import Slack
from mainstay.ports.clock import Clock
from mainstay.store import incidents, outbox
from mainstay.store.base import Store
from mainstay.store.outbox import Owed
from tests.servers.recorder import PAGERDUTY
from tests.servers.recorder import Recorder as Provider

CHANNELS = (Channel("slack"), Channel("pagerduty", "critical"))
RULES = {
    "api": Rules(critical=True),
    "blog": Rules(critical=False),
    "db": Rules(critical=True, warn_after=0.0),
    "shop": Rules(critical=True, needs=("db", "blog")),
    "mobile": Rules(critical=True, needs=("shop",)),
}
HOOK = "/services/T0/B0/hook"


def office(
    store: Store,
    clock: Clock,
    reactions: Sequence[Reaction] = (),
    channels: Sequence[Channel] = CHANNELS,
) -> Recorder:
    """A recorder with Slack for all and PagerDuty for critical incidents."""
    return Recorder(store, clock, Routing(channels, "https://status.example.com/"), reactions, RULES)


class Feed:
    """Results of `SERVICE/http` at the clock's own time, and never two at the same."""

    _last: ClassVar[WeakKeyDictionary[Clock, float]] = WeakKeyDictionary()

    def __init__(self, recorder: Recorder, clock: Clock) -> None:
        self.recorder = recorder
        self.clock = clock

    def _now(self) -> float:
        last = self._last.get(self.clock, 0.0)
        self._last[self.clock] = now = max(self.clock.now(), last + 0.001)
        return now

    async def __call__(self, service: str, *verdicts: Verdict, confirmed: bool = True) -> None:
        batch = [
            Result(
                f"{service}/http",
                service,
                verdict,
                f"answered {verdict}",
                self._now(),
                latency=0.01,
                confirmed=confirmed,
            )
            for verdict in verdicts
        ]
        await self.recorder.record(batch)


def slack(provider: Provider, **options: Any) -> Slack:
    return Slack(url=Secret("slack_url", provider.url + HOOK), **options)


def pagerduty(provider: Provider, **options: Any) -> PagerDuty:
    return PagerDuty(
        routing_key=Secret("pagerduty_key", "R0" * 16),
        url=provider.url + PAGERDUTY,
        when="critical",
        **options,
    )


async def all_incidents(store: Store) -> list[Incident]:
    return await store.read(lambda tx: incidents.recent(tx, 1000))


async def timeline(store: Store, incident: str) -> list[Event]:
    return await store.read(lambda tx: incidents.events(tx, incident))


async def owed(store: Store, channel: str) -> list[Owed]:
    """Every message that a channel was ever owed, in order."""

    def read(tx: Any) -> list[Owed]:
        return [
            row
            for incident in sorted(incidents.recent(tx, 1000), key=lambda each: each.id)
            for row in outbox.of_incident(tx, incident.id)
            if row.channel == channel
        ]

    return sorted(await store.read(read), key=lambda row: row.id)
