"""Messages owed to channels. A row leaves only by being accepted or refused for good."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from mainstay.core.incident import EventKind, Severity
from mainstay.core.notifier import Message
from mainstay.store.base import Row, Tx

LONGEST_CLAIM = 3600.0
"""A claim that reaches further into the future comes from a wrong clock and does not hold."""


@dataclass(frozen=True, slots=True)
class Owed:
    """A message and how its delivery stands. Times are seconds since 1970; `tried_at` is the first attempt."""

    id: str
    channel: str
    incident: str | None
    message: Message
    event_at: float
    owed_at: float
    attempts: int
    next_at: float
    tried_at: float | None
    claimed_by: str | None
    claimed_until: float | None
    sent_at: float | None
    refused_at: float | None
    receipt: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """What a channel is owed, since when, when it last took something, how many it refused for good."""

    channel: str
    owed: int
    owed_since: float | None
    sent_at: float | None
    refused: int


def owe(tx: Tx, channel: str, message: Message, now: float) -> None:
    """Owe a message to a channel; its key is the row's identifier and must sort by time."""
    tx.run(
        "outbox.owe",
        id=message.key,
        channel=channel,
        incident=message.thread,
        # Not in ASCII: an escaped half of a pair would come back as text that no channel can be sent.
        message=json.dumps(asdict(message), ensure_ascii=False),
        event_at=message.event_at,
        owed_at=now,
    )
    tx.signal("outbox")


def next_owed(tx: Tx, channel: str) -> Owed | None:
    """Give the oldest message that a channel is owed, whether an attempt is due or not."""
    row = tx.one("outbox.next", channel=channel)
    return None if row is None else _owed(row)


def all_owed(tx: Tx) -> list[Owed]:
    """Give every message that is owed to any channel, the oldest first."""
    return [_owed(row) for row in tx.all("outbox.all_owed")]


def get(tx: Tx, key: str) -> Owed | None:
    """Give one message by its key."""
    row = tx.one("outbox.get", id=key)
    return None if row is None else _owed(row)


def claim(tx: Tx, key: str, owner: str, now: float, until: float) -> Owed | None:
    """Begin an attempt that lasts to `until` at most; None when it is done or another owner is at it."""
    got = tx.run("outbox.claim", id=key, owner=owner, now=now, until=until, longest=LONGEST_CLAIM)
    return get(tx, key) if got else None


def sent(tx: Tx, key: str, receipt: str, now: float) -> None:
    """The provider has accepted it."""
    tx.run("outbox.sent", id=key, receipt=receipt, now=now)
    tx.signal("outbox")


def later(tx: Tx, key: str, owner: str, error: str, next_at: float) -> None:
    """An attempt failed; the next one is at `next_at`."""
    tx.run("outbox.later", id=key, owner=owner, error=error, next_at=next_at)


def refused(tx: Tx, key: str, error: str, now: float) -> None:
    """The provider will never accept it; it is kept and shown."""
    tx.run("outbox.refused", id=key, error=error, now=now)
    tx.signal("outbox")


def told(tx: Tx, incident: str) -> set[str]:
    """Give the channels that were told of an incident or will be."""
    return {str(row["channel"]) for row in tx.all("outbox.told", incident=incident)}


def of_incident(tx: Tx, incident: str) -> list[Owed]:
    """Give every message of an incident, in order."""
    return [_owed(row) for row in tx.all("outbox.of_incident", incident=incident)]


def standings(tx: Tx) -> list[Standing]:
    """Give how each channel stands that was ever owed something."""
    return [
        Standing(
            str(row["channel"]), int(row["owed"]), row["owed_since"], row["sent_at"], int(row["refused"])
        )
        for row in tx.all("outbox.standing")
    ]


def forget(tx: Tx, before: float) -> int:
    """Leave out messages that were accepted before a moment; give how many."""
    return tx.run("outbox.forget", before=before)


def _owed(row: Row) -> Owed:
    fields: dict[str, Any] = dict(row)
    message: dict[str, Any] = json.loads(fields["message"])
    message["kind"] = EventKind(message["kind"])
    message["severity"] = Severity(message["severity"])
    fields["message"] = Message(**message)
    return Owed(**fields)
