"""What `mainstay doctor --send` does: it tells a channel something, and that it is over."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mainstay.app import App
    from mainstay.core.notifier import Message


async def tried(app: "App", name: str) -> str:
    """Send two messages, and say what the channel answered. Raises `MainstayError`."""
    from mainstay.core.incident import EventKind
    from mainstay.store import outbox

    notifier = app.config.notify[name]
    threads: list[str] = []
    for kind in (EventKind.OPENED, EventKind.RESOLVED):  # so that no pager keeps an open incident
        message = _message(app, kind, threads)
        owed_at = app.clock.now()
        receipt = await notifier.send(message, owed_at)
        threads.append(message.thread)

        def keep(
            tx: Any, message: "Message" = message, receipt: str = receipt, owed_at: float = owed_at
        ) -> None:
            outbox.owe(tx, name, message, owed_at)
            outbox.sent(tx, message.key, receipt, app.clock.now())

        await app.store.write(keep)
    return f"accepted: {receipt}"


def _message(app: "App", kind: Any, threads: list[str]) -> "Message":
    from mainstay.cli.people import who
    from mainstay.core.ids import new_id
    from mainstay.core.incident import Severity
    from mainstay.core.notifier import Message

    now = app.clock.now()
    key = new_id(now)
    return Message(
        key=key,
        thread=threads[0] if threads else key,
        kind=kind,
        severity=Severity.INFO,
        service="mainstay",
        title=f"A test of {app.config.title or app.config.name}: nothing is wrong",
        detail=f"{who()} asked for it with mainstay doctor --send",
        event_at=now,
        link=app.config.url,
    )
