"""How the delivery of webhooks stands: what is due, what came of it, what is repeated, found and forgotten."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from mainstay.core.ids import first_id
from mainstay.store.base import Row, Tx
from mainstay.store.inbox import DEAD, DELIVERED, KEPT, QUEUED, TOPIC

NEWS = "deliveries"
"""The topic that is signalled when attempts were made."""


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
class Line:
    """An event without its headers and body, for lists; `size` is the body's, in bytes."""

    id: str
    source: str
    received_at: float
    size: int
    peer: str
    user_agent: str | None
    secret: str | None
    sent_at: float | None
    event_id: str | None
    event_type: str | None
    order_key: str | None
    conflict_of: str | None
    replay_of: str | None
    state: str
    attempts: int
    next_at: float
    delivered_at: float | None
    died_at: float | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Due:
    """An event whose attempt is due; `size` is its body's, in bytes."""

    id: str
    order_key: str | None
    size: int


@dataclass(frozen=True, slots=True)
class Ending:
    """What came of an attempt, and what follows: the event is delivered, dead, or queued until `next_at`.

    `attempt` is its number; one that has been counted already leaves the event as it is.
    """

    event: str
    source: str
    attempt: int
    state: str
    at: float
    latency: float | None
    status: int | None
    detail: str
    next_at: float | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How many events of a source are in a state (queued, held, dead or kept), since when, and when one is next due."""

    source: str
    state: str
    events: int
    oldest_at: float
    next_at: float | None

    @property
    def waits(self) -> bool:
        """Whether these are still to be brought to somebody."""
        return self.state not in (DEAD, KEPT)


@dataclass(frozen=True, slots=True)
class Delivery:
    """How the delivery of a source stands: `open` is a target left alone since `since`, because of `detail`.

    The counts are of everything since the journal began; `retried` counts attempts that are to be repeated.
    """

    source: str
    state: str = "closed"
    since: float | None = None
    detail: str = ""
    delivered: int = 0
    dead: int = 0
    retried: int = 0
    delivered_at: float | None = None


# --- the courier's part --------------------------------------------------------------------------------------------


def due(tx: Tx, source: str, now: float, limit: int) -> list[Due]:
    """Give events whose attempt is due, the one that has waited longest first.

    Nothing is due before what came earlier under the same order key is delivered or dead.
    """
    return [Due(**row) for row in tx.all("inbox.due", source=source, now=now, limit=limit)]


def follower(tx: Tx, source: str, key: str, now: float) -> Due | None:
    """Give the first event under an order key that is not done with, if its attempt is due."""
    row = tx.one("inbox.follower", source=source, key=key)
    if row is None or row["state"] != QUEUED or row["next_at"] > now:
        return None
    return Due(row["id"], row["order_key"], row["size"])


def next_at(tx: Tx, source: str, now: float) -> float | None:
    """Give when the next attempt of a source is due that is not due yet; None when there is none."""
    row = tx.one("inbox.next_at", source=source, now=now)
    return None if row is None else row["at"]


def settle(tx: Tx, endings: Sequence[Ending]) -> None:
    """Write down what came of attempts, and what follows. What was done with before stays as it is."""
    rows = [asdict(ending) for ending in endings]
    tx.many("inbox.attempted", rows)
    for state, query in ((DELIVERED, "inbox.delivered"), (DEAD, "inbox.dead"), (QUEUED, "inbox.later")):
        if chosen := [row for row in rows if row["state"] == state]:
            tx.many(query, chosen)
    counts = Counter((ending.source, ending.state) for ending in endings)
    taken = {ending.source: ending.at for ending in endings if ending.state == DELIVERED}
    for source in sorted({ending.source for ending in endings}):
        tx.run(
            "inbox.tally",
            source=source,
            delivered=counts[source, DELIVERED],
            dead=counts[source, DEAD],
            retried=counts[source, QUEUED],
            delivered_at=taken.get(source),
        )
    tx.signal(NEWS)


def stand(tx: Tx, source: str, state: str, since: float | None, detail: str) -> None:
    """Say whether a target is left alone (`open`), is being looked at (`half-open`) or takes events (`closed`)."""
    tx.run("inbox.stand", source=source, state=state, since=since, detail=detail)
    tx.signal(NEWS)


def hurry(tx: Tx, source: str, since: float, now: float) -> int:
    """The target is well again: what failed after `since` because it was not is due now. Gives how many."""
    return tx.run("inbox.hurry", source=source, since=since, now=now)


def astray(tx: Tx, source: str, far: float, now: float) -> int:
    """Make due what a wrong clock put further off than `far`; gives how many."""
    return tx.run("inbox.astray", source=source, far=far, now=now)


def dead_count(tx: Tx, source: str) -> int:
    """Give how many dead letters a source has."""
    row = tx.one("inbox.dead_count", source=source)
    return 0 if row is None else int(row["events"])


def hold(tx: Tx, id: str, error: str | None) -> bool:
    """Make no attempt until somebody has it replayed; false when it is not queued."""
    held = tx.run("inbox.hold", id=id, error=error)
    if held:
        tx.signal(TOPIC)
    return bool(held)


def keep_only(tx: Tx, source: str, now: float) -> int:
    """Nobody takes this source's events any more: what waits is kept until a replay. Gives how many.

    However old they are, they count as kept since `now`.
    """
    kept = tx.run("inbox.keep_only", source=source, now=now)
    if kept:
        tx.signal(TOPIC)
    return kept


def keep_no_more(tx: Tx, source: str, since: float, now: float) -> int:
    """Somebody takes this source's events again: what was kept of those received since then is due. Gives how many."""
    brought = tx.run("inbox.keep_no_more", source=source, since=since, now=now)
    if brought:
        tx.signal(TOPIC)
    return brought


def old(tx: Tx, source: str, state: str, before: float, limit: int) -> list[Row]:
    """Give events (id, source, key, state) in a state that were received before a moment, the oldest first.

    What waited for a target that was taken away counts as received when it was.
    """
    first = first_id(before)
    found = tx.all("inbox.old", source=source, state=state, before=first, moment=before, limit=limit)
    return [{"source": source, "state": state, **row} for row in found]


def drop(tx: Tx, events: Sequence[Row]) -> None:
    """Remove events (id, source, key, state) and what they were known by: a copy that comes after is a new event.

    One that is no longer in that state stays: somebody has had it brought again meanwhile.
    """
    tx.many("inbox.forget", events)
    tx.many("inbox.unsee", [event for event in events if event["key"] is not None])


# --- people's part -------------------------------------------------------------------------------------------------


def replay(tx: Tx, of: str, id: str, now: float) -> str | None:
    """Have an event brought once more; give the id under which that happens, None when there is no such event.

    What was delivered is repeated under the new `id`, so that the target takes it again. What was not keeps its own,
    so that a target which has taken it after all can tell; its attempts begin anew.
    """
    if tx.run("inbox.revive", id=of, now=now):
        tx.signal(TOPIC)
        return of
    if tx.run("inbox.replay", of=of, id=id, now=now):
        tx.signal(TOPIC)
        return id
    return None


def get(tx: Tx, id: str) -> Event | None:
    """Give one event."""
    row = tx.one("inbox.get", id=id)
    return None if row is None else _event(row)


def since(tx: Tx, source: str, first: str, limit: int) -> list[Row]:
    """Give a source's events (id, event_id, event_type, body) from an id on, the oldest first."""
    return tx.all("inbox.since", source=source, first=first, limit=limit)


def like(tx: Tx, part: str) -> list[Row]:
    """Give at most five events (id) whose identifier is, ends or begins with `part`."""
    if not part.isalnum():
        return []
    for pattern in (part, f"%{part}", f"{part}%"):
        if found := tx.all("inbox.like", pattern=pattern):
            return found
    return []


def attempts(tx: Tx, id: str) -> list[Attempt]:
    """Give what came of each attempt, the first one first."""
    return [Attempt(**row) for row in tx.all("inbox.attempts", event=id)]


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
) -> list[Line]:
    """Give events from the newest back, those before the id `before`; `part` is looked for in the bodies."""
    asked = {"state": state, "type": type, "part": part, "since": since, "before": before, "limit": limit}
    if source:
        return [Line(**row) for row in tx.all("inbox.find_of", source=source, **asked)]
    return [Line(**row) for row in tx.all("inbox.find", **asked)]


def previous(tx: Tx, event: Event) -> Event | None:
    """Give the event of the same source and type that came before."""
    row = tx.one("inbox.previous", source=event.source, id=event.id, type=event.event_type or "")
    return None if row is None else _event(row)


def replays(tx: Tx, id: str) -> list[Row]:
    """Give the repetitions of an event (id, state, delivered_at), the oldest first."""
    return tx.all("inbox.replays", id=id)


def stats(tx: Tx) -> list[Standing]:
    """Give how many events are queued, held, dead and kept, by source."""
    return [Standing(**row) for row in tx.all("inbox.stats")]


def source_of(tx: Tx, id: str) -> str | None:
    """Give the source that an event is of; None when there is no such event."""
    row = tx.one("inbox.source_of", id=id)
    return None if row is None else row["source"]


def saved_at(tx: Tx) -> float | None:
    """Give when a target last took an event that it had not taken before."""
    row = tx.one("inbox.saved")
    return None if row is None else row["at"]


def deliveries(tx: Tx) -> dict[str, Delivery]:
    """Give how the delivery of every source stands that was ever delivered to."""
    return {row["source"]: Delivery(**row) for row in tx.all("inbox.deliveries")}


def _event(row: Row) -> Event:
    return Event(**{**row, "headers": json.loads(row["headers"])})
