"""Which channels are told of which event."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from mainstay.core.incident import TOLD, EventKind, Incident, Severity

NOT_TO = "not_to"
"""Fact of an incident about a channel: it is not told through that very channel."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A notifier's name in the configuration and which incidents it wants."""

    name: str
    when: Literal["always", "critical"] = "always"


@dataclass(frozen=True, slots=True)
class Routing:
    """All channels, and the address of the dashboard for links in messages."""

    channels: Sequence[Channel] = ()
    dashboard: str | None = None

    def channels_for(self, kind: EventKind, incident: Incident, told: Collection[str]) -> list[str]:
        """Give the channels that are owed a message; `told` are those that already heard of this incident.

        News of an incident goes by its severity. An acknowledgement or a recovery goes to whoever was told before, even
        when the severity or the routing changed since.
        """
        if kind not in TOLD:
            return []
        if kind in (EventKind.ACKNOWLEDGED, EventKind.RESOLVED):
            return [channel.name for channel in self.channels if channel.name in told]
        return [channel.name for channel in self.channels if self._wants(channel, incident, told)]

    def link(self, incident: Incident) -> str | None:
        """Give the address of the incident's page, if the dashboard has one."""
        return f"{self.dashboard.rstrip('/')}/incidents/{incident.id}" if self.dashboard else None

    def _wants(self, channel: Channel, incident: Incident, told: Collection[str]) -> bool:
        if incident.facts.get(NOT_TO) == channel.name:
            return False
        return channel.when == "always" or incident.severity is Severity.CRITICAL or channel.name in told
