"""How the delivery of webhooks stands: what is due, what came of it, what is repeated, found and forgotten."""

import json
from dataclasses import dataclass
from typing import Any

from mainstay.store.base import Row, Tx
from mainstay.store.inbox import TOPIC


@dataclass(frozen=True, slots=True)
class Event:
    """A webhook that was taken in. Times are seconds since 1970."""

    id: str
    source: str
    received_at: float
    headers: list[list[str]]
    """Name in lower case and value, in the order in which they came."""
    body: bytes
    query: str
    peer: str
    user_agent: str | None
    secret: str | None
    sent_at: float | None
    event_id: str | None
    event_type: str | None
    order_key: str | None
    key: str | None
    digest: str
    conflict_of: str | None
    replay_of: str | None
    state: str
    attempts: int
    next_at: float
    delivered_at: float | None
    died_at: float | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to deliver; `latency` in seconds, `status` is what the target answered, if it did."""

    n: int
    at: float
    latency: float | None
    status: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How many events of a source are in a state (queued, held or dead), since when, and when the next is due."""

    source: str
    state: str
    events: int
    oldest_at: float
    next_at: float | None


def due(tx: Tx, source: str, now: float, limit: int, *, in_order: bool = False) -> list[Event]:
    """Give events whose attempt is due, the one that has waited longest first.

    With `in_order` nothing is due before what came earlier under the same order key is delivered or dead.
    """
    name = "inbox.due_in_order" if in_order else "inbox.due"
    return [_event(row) for row in tx.all(name, source=source, now=now, limit=limit)]


def next_at(tx: Tx, source: str) -> float | None:
    """Give when the next attempt of a source is due; None when nothing is queued."""
    row = tx.one("inbox.next_at", source=source)
    return None if row is None else row["at"]


def attempted(tx: Tx, id: str, at: float, latency: float | None, status: int | None, detail: str) -> None:
    """Write down what came of an attempt; `delivered`, `later` or `dead` say what follows from it."""
    tx.run("inbox.attempted", event=id, at=at, latency=latency, status=status, detail=detail)
    tx.run("inbox.count_attempt", event=id)


def attempts(tx: Tx, id: str) -> list[Attempt]:
    """Give what came of each attempt, the first one first."""
    return [Attempt(**row) for row in tx.all("inbox.attempts", event=id)]


def delivered(tx: Tx, id: str, now: float) -> bool:
    """The target has it; false when it was done with already."""
    return _moved(tx, tx.run("inbox.delivered", id=id, now=now))


def later(tx: Tx, id: str, error: str | None, next_at: float) -> bool:
    """The next attempt is at `next_at`; also lets a held event go on. False when it was done with already."""
    return _moved(tx, tx.run("inbox.later", id=id, error=error, next_at=next_at))


def hold(tx: Tx, id: str, error: str | None) -> bool:
    """Make no attempt until somebody lets it go on with `later`; false when it is not queued."""
    return _moved(tx, tx.run("inbox.hold", id=id, error=error))


def dead(tx: Tx, id: str, error: str, now: float) -> bool:
    """It was tried often enough: a dead letter. False when it was done with already."""
    return _moved(tx, tx.run("inbox.dead", id=id, error=error, now=now))


def _moved(tx: Tx, count: int) -> bool:
    if count:
        tx.signal(TOPIC)
    return bool(count)


def replay(tx: Tx, of: str, id: str, now: float) -> bool:
    """Queue an event's bytes once more under the new `id`; false when there is no such event."""
    return _moved(tx, tx.run("inbox.replay", of=of, id=id, now=now))


def get(tx: Tx, id: str) -> Event | None:
    """Give one event."""
    row = tx.one("inbox.get", id=id)
    return None if row is None else _event(row)


def find(
    tx: Tx,
    *,
    source: str = "",
    state: str = "",
    type: str = "",
    part: bytes = b"",
    since: float = 0.0,
    before: str = "",
    limit: int = 50,
) -> list[Event]:
    """Give events from the newest back, those before the id `before`; `part` is looked for in the bodies."""
    asked = {"state": state, "type": type, "part": part, "since": since, "before": before, "limit": limit}
    if source:
        return [_event(row) for row in tx.all("inbox.find_of", source=source, **asked)]
    return [_event(row) for row in tx.all("inbox.find", **asked)]


def previous(tx: Tx, event: Event) -> Event | None:
    """Give the event of the same source and type that came before."""
    row = tx.one("inbox.previous", source=event.source, id=event.id, type=event.event_type or "")
    return None if row is None else _event(row)


def stats(tx: Tx) -> list[Standing]:
    """Give how many events are queued, held and dead, by source."""
    return [Standing(**row) for row in tx.all("inbox.stats")]


def prune(tx: Tx, source: str, before: float, limit: int = 500) -> int:
    """Forget events of a source that are done with and were received before a moment; give how many, `limit` at most.

    A copy that comes after that is a new event.
    """
    old = tx.all("inbox.old", source=source, before=before, limit=limit)
    drop(tx, [{"source": source, **row} for row in old])
    return len(old)


def drop(tx: Tx, events: list[dict[str, Any]]) -> None:
    """Remove events (id, source, key) and what they were known by."""
    tx.many("inbox.unsee", [event for event in events if event["key"] is not None])
    tx.many("inbox.drop", events)


def _event(row: Row) -> Event:
    return Event(**{**row, "headers": json.loads(row["headers"])})
