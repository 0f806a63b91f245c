"""Messages past the journal, for when it is the journal, or the agent, that is in trouble."""

import asyncio
import logging
from collections.abc import Mapping

from mainstay.core.ids import new_id
from mainstay.core.incident import EventKind, Severity
from mainstay.core.notifier import Message, Notifier, NotifyError
from mainstay.core.secret import redact
from mainstay.ports.clock import Clock

log = logging.getLogger(__name__)

GRACE = 2.0
"""Seconds beyond a notifier's own time-out."""


class Alarm:
    """One trouble of mainstay's own: every channel is told once of its beginning, and those once of its end.

    There is no outbox here: what a channel did not take is tried again at the next call. `thread` is the same each
    time, so that a pager knows the alert again.
    """

    def __init__(self, clock: Clock, thread: str, title: str, hint: str) -> None:
        self._clock = clock
        self._thread = thread
        self._title = title
        self._hint = hint
        self._since = 0.0
        self._told: set[str] = set()

    @property
    def rung(self) -> bool:
        """Whether somebody was told of a trouble and not yet of its end."""
        return bool(self._told)

    async def ring(self, channels: Mapping[str, Notifier], detail: str, since: float) -> None:
        """Tell every channel that was not told yet; `since` is when it began, in seconds since 1970."""
        if not self.rung:
            self._since = since
        untold = {name: channel for name, channel in channels.items() if name not in self._told}
        self._told |= await self._tell(untold, EventKind.OPENED, detail)

    async def over(self, channels: Mapping[str, Notifier], detail: str) -> None:
        """Tell those who were told that it is over."""
        told = {name: channel for name, channel in channels.items() if name in self._told}
        self._told = (self._told & told.keys()) - await self._tell(told, EventKind.RESOLVED, detail)

    async def _tell(self, channels: Mapping[str, Notifier], kind: EventKind, detail: str) -> set[str]:
        message = self._message(kind, detail)
        took = await asyncio.gather(*(self._send(*each, message) for each in channels.items()))
        return {name for name, taken in zip(channels, took, strict=True) if taken}

    def _message(self, kind: EventKind, detail: str) -> Message:
        now = self._clock.now()
        facts = {"key": self._thread, "failed_at": self._since, "hint": self._hint}
        if kind is EventKind.RESOLVED:
            facts["seconds"] = max(0.0, now - self._since)
        return Message(
            key=new_id(now),
            thread=self._thread,
            kind=kind,
            severity=Severity.CRITICAL,
            service="mainstay",
            title=self._title,
            detail=redact(detail),
            event_at=now,
            facts=facts,
        )

    async def _send(self, name: str, channel: Notifier, message: Message) -> bool:
        try:
            async with asyncio.timeout(channel.timeout + GRACE):
                await channel.send(message, self._clock.now())
        except (NotifyError, TimeoutError) as fault:
            log.warning("channel %s: %s", name, redact(str(fault)) or "no answer")
        except Exception:
            log.exception("channel %s broke", name)
        else:
            return True
        return False
