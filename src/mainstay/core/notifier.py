"""Notifiers tell: they deliver one message to one channel, or say why not."""

from dataclasses import dataclass, field
from typing import Any, Literal

from mainstay.core.errors import MainstayError
from mainstay.core.incident import EventKind, Severity
from mainstay.core.plugin import Plugin
from mainstay.core.units import Duration


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be told, complete: a notifier needs nothing else.

    `key` identifies the message for ever (a resend carries the same), `thread` the incident it belongs to (the
    deduplication key of pagers). `event_at` is when it happened, which a late message must say.
    """

    key: str
    thread: str
    kind: EventKind
    severity: Severity
    service: str
    title: str
    detail: str
    event_at: float
    link: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


class NotifyError(MainstayError):
    """The message was not accepted.

    `permanent` is true when this very message can never be accepted (a malformed request); it is then kept as
    refused, shown, and the next one tried. `retry_after` is the provider's own wish, in seconds.
    """

    def __init__(
        self, what: str, *, hint: str | None = None, permanent: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(what, hint=hint)
        self.permanent = permanent
        self.retry_after = retry_after


class Notifier(Plugin, kind="notifier"):
    """A channel to people or machines."""

    when: Literal["always", "critical"] = "always"
    """Which incidents it is told of: all, or only critical ones."""
    timeout: Duration = 10.0
    """How long one attempt may take."""

    async def send(self, message: Message, now: float) -> str:
        """Deliver once; return the provider's receipt (an id or a status). Raise `NotifyError` if not accepted."""
        raise NotImplementedError
