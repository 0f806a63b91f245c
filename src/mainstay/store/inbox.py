"""Webhooks that were taken in. A row is on disk before its sender is told so, and leaves only by being delivered.

The courier's half (what is due, attempts, replay, searching, forgetting) is in `store/inbox_delivery.py`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mainstay.store.base import Row, Tx

TOPIC = "inbox"

QUEUED, HELD, DELIVERED, DEAD, KEPT = "queued", "held", "delivered", "dead", "kept"
"""What may be said of an event; `kept` is one of a source that is brought to nobody."""


class Arrival:
    """An event on its way into the journal."""

    __slots__ = (
        "body", "digest", "event_id", "event_type", "headers", "id", "key", "lines", "order_key",
        "peer", "query", "received_at", "secret", "sent_at", "source", "state", "user_agent", "window",
    )  # fmt: skip

    def __init__(
        self,
        id: str,
        source: str,
        received_at: float,
        headers: str,
        body: bytes,
        digest: str,
        peer: str,
        query: str = "",
        user_agent: str | None = None,
        secret: str | None = None,
        sent_at: float | None = None,
        event_id: str | None = None,
        event_type: str | None = None,
        order_key: str | None = None,
        key: str | None = None,
        window: float = 0.0,
        state: str = QUEUED,
        lines: bytes = b"",
    ) -> None:
        self.id = id
        """Sorts by time; the target's idempotency key."""
        self.source = source
        self.received_at = received_at
        """Seconds since 1970."""
        self.headers = headers
        """JSON: [[name, value], ...] as they came, without what would let its reader in."""
        self.lines = lines
        """The headers as they came, each `name:value` and a line feed, as long as they are not written as JSON."""
        self.body = body
        """Exactly as it came."""
        self.digest = digest
        """SHA-256 of the body, in hex."""
        self.peer = peer
        self.query = query
        self.user_agent = user_agent
        self.secret = secret
        """The NAME of the secret that proved it."""
        self.sent_at = sent_at
        self.event_id = event_id
        self.event_type = event_type
        self.order_key = order_key
        self.key = key
        """What it is known by among the events of its source, see `key_of`; None when each one is new."""
        self.window = window
        """For how many seconds another one with the same key is the same event."""
        self.state = state
        """`kept` when nobody is to be brought it."""


class Stored:
    """What became of an arrival. No dataclass: those are made by code that is not compiled."""

    __slots__ = ("conflict_of", "id", "new")

    def __init__(self, id: str, new: bool = True, conflict_of: str | None = None) -> None:
        self.id = id
        """The event's id: its own, or that of the one that came first."""
        self.new = new
        self.conflict_of = conflict_of
        """The event that came before under the same id with another body. Both are kept."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Stored):
            return False
        return (self.id, self.new, self.conflict_of) == (other.id, other.new, other.conflict_of)

    def __hash__(self) -> int:
        return hash((self.id, self.new, self.conflict_of))

    def __repr__(self) -> str:
        return f"Stored({self.id}, new={self.new}, conflict_of={self.conflict_of})"


class Seen:
    """An event as others are compared with it."""

    __slots__ = ("at", "digest", "event")

    def __init__(self, event: str, digest: str, at: float) -> None:
        self.event = event
        """Its id."""
        self.digest = digest
        self.at = at
        """When it came, seconds since 1970."""


def key_of(event_id: str | None, digest: str) -> str:
    """Give what an event is known by: the id that its sender gave it or, without one, its body."""
    return f"body:{digest[:32]}" if event_id is None else f"id:{event_id}"


def put_many(tx: Tx, arrivals: Sequence[Arrival], state: str | None = None) -> list[Stored]:
    """Take events in, in order; one that was taken in within its window is not kept again.

    Repeating it with the same arrivals does no harm, also from another process. With `state` they are put down in that
    one, whatever their own is.
    """
    rows = [_row(arrival, state or arrival.state) for arrival in arrivals]
    claims = [row for row in rows if row["key"] is not None]
    claims.sort(key=_claim_order)  # neighbours share pages of the index, whatever order they came in
    repeats = len({(row["source"], row["key"]) for row in claims}) < len(claims)
    if not repeats and tx.many("inbox.claim", claims) == len(claims):
        stored = [Stored(arrival.id) for arrival in arrivals]
    else:
        stored = [_settle(tx, row) for row in rows]
        rows = [row for row, one in zip(rows, stored, strict=True) if one.new]
    if rows:
        tx.many("inbox.put", rows)
        tx.signal(TOPIC)
    return stored


def _claim_order(row: dict[str, Any]) -> tuple[str, str]:
    return row["source"], row["key"]


def _row(arrival: Arrival, state: str) -> dict[str, Any]:
    return {
        "id": arrival.id,
        "source": arrival.source,
        "received_at": arrival.received_at,
        "headers": arrival.headers,
        "body": arrival.body,
        "query": arrival.query,
        "peer": arrival.peer,
        "user_agent": arrival.user_agent,
        "secret": arrival.secret,
        "sent_at": arrival.sent_at,
        "event_id": arrival.event_id,
        "event_type": arrival.event_type,
        "order_key": arrival.order_key,
        "key": arrival.key,
        "digest": arrival.digest,
        "conflict_of": None,
        "state": state,
        "window": arrival.window,
    }


def _settle(tx: Tx, row: dict[str, Any]) -> Stored:
    """Find out whether an event is new, when some of its company are not."""
    first = _first(tx, row)
    if first is None:
        return Stored(row["id"])
    if first["digest"] == row["digest"]:
        return Stored(first["event"], new=False)
    row["key"] = f"{row['key']} body:{row['digest'][:32]}"
    copy = _first(tx, row)
    row["conflict_of"] = first["event"]
    return Stored(copy["event"] if copy else row["id"], copy is None, first["event"])


def _first(tx: Tx, row: dict[str, Any]) -> Row | None:
    """Give the other event that is known by this one's key; None when this one is it."""
    if row["key"] is None or tx.run("inbox.claim", **row):
        return None
    found = tx.one("inbox.claimed", source=row["source"], key=row["key"])
    return None if found is None or found["event"] == row["id"] else found


def known(tx: Tx, source: str, event_id: str) -> str | None:
    """Give the event that carries the sender's id, as far back as is remembered."""
    found = tx.one("inbox.claimed", source=source, key=key_of(event_id, ""))
    return None if found is None else str(found["event"])


def seen(tx: Tx, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Seen]:
    """Give the events that are known by (source, key), those that there are, however old they are."""
    wanted: dict[str, list[str]] = {}
    for source, key in keys:
        wanted.setdefault(source, []).append(key)
    found: dict[tuple[str, str], Seen] = {}
    for source, several in wanted.items():
        for row in tx.all("inbox.seen", source=source, keys=json.dumps(several)):
            found[source, row["key"]] = Seen(row["event"], row["digest"], row["at"])
    return found


def imported(tx: Tx) -> dict[str, int]:
    """Give how far each segment of the edges' logs is in the journal, in bytes."""
    return {row["segment"]: row["upto"] for row in tx.all("inbox.log_read")}


def bring(tx: Tx, arrivals: Sequence[Arrival], spans: Mapping[str, tuple[int, int]], now: float) -> bool:
    """Take in what lies in the log, in its order, and note that it is done. `spans` are the bytes of each segment.

    False, and nothing was done, when somebody else has brought a part of it meanwhile: each event is brought once.
    """
    before = imported(tx)
    if any(before.get(segment, 0) != start for segment, (start, _) in spans.items()):
        return False
    if arrivals:
        put_many(tx, arrivals)
    rows = [{"segment": name, "upto": end, "at": now} for name, (_, end) in spans.items()]
    tx.many("inbox.log_upto", rows)
    used(tx, _last_uses(arrivals))
    return True


def _last_uses(arrivals: Sequence[Arrival]) -> Iterable[tuple[tuple[str, str], float]]:
    found: dict[tuple[str, str], float] = {}
    for one in arrivals:
        if one.secret is not None:
            found[one.source, one.secret] = one.received_at
    return found.items()


def removed(tx: Tx, segments: Iterable[str], before: float) -> None:
    """Forget segments that are gone, and those that were last read before a time."""
    tx.many("inbox.log_gone", [{"segment": name, "before": before} for name in segments])


def used(tx: Tx, uses: Iterable[tuple[tuple[str, str], float]]) -> None:
    """Remember when secrets last proved an event: ((source, name of the secret), time)."""
    tx.many("inbox.used", [{"source": of[0], "secret": of[1], "at": at} for of, at in uses])


def uses(tx: Tx) -> Mapping[tuple[str, str], float]:
    """Give when each secret last proved an event, by (source, name of the secret)."""
    return {(row["source"], row["secret"]): row["used_at"] for row in tx.all("inbox.uses")}
