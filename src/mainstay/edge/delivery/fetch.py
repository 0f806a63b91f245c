"""Fetches what is due for a lane: at most so many events, and not more of their bodies than fits."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace

from mainstay.edge.delivery.parcel import Parcel
from mainstay.store import inbox_delivery
from mainstay.store.base import Tx
from mainstay.store.inbox_delivery import Due, Event

FOR_EVER = 1e15
SOON = 20
AT_ONCE = 8 * 2**20
"""Bytes of bodies that are fetched for a source at a time, unless one alone is larger."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How many events of a source are wanted, beside those that are busy.

    `freed` are order keys of which the next event is asked for; with `scan` everything that is due is looked through.
    """

    source: str
    wanted: int
    busy: Collection[str] = ()
    keys: Collection[str] = ()
    freed: Collection[str] = ()
    scan: bool = True
    look: float | None = None
    """The target is left alone: when nothing is due, one of the next twenty, chosen by this number from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Found:
    """What there was. `more` says that there may be more due, `next_at` when the next attempt is due after that."""

    parcels: list[Parcel] = field(default_factory=list)
    more: bool = False
    next_at: float | None = None


def fetch(tx: Tx, wish: Wish, now: float) -> Found:
    """Fetch for one source."""
    limit = wish.wanted + len(wish.busy)
    scanned = inbox_delivery.due(tx, wish.source, now, limit) if wish.scan else []
    parcels: list[Parcel] = []
    size, whole = 0, True
    for one in _once(tx, wish, scanned, now):
        if len(parcels) >= wish.wanted or (parcels and size + one.size > AT_ONCE):
            whole = False
            break
        if (event := inbox_delivery.get(tx, one.id)) is not None:
            size += one.size
            parcels.append(parcel_of(event))
    if not parcels and wish.look is not None:
        parcels += early(tx, wish.source, wish.look)
    more = not whole or len(scanned) >= limit
    return Found(parcels, more, inbox_delivery.next_at(tx, wish.source, now))


def early(tx: Tx, source: str, chance: float) -> list[Parcel]:
    """Choose an event that is not due, to see whether the target is well. Never always the same: it may be at fault."""
    soon = inbox_delivery.due(tx, source, FOR_EVER, SOON)
    event = inbox_delivery.get(tx, soon[int(chance * len(soon))].id) if soon else None
    return [] if event is None else [replace(parcel_of(event), early=True)]


def _once(tx: Tx, wish: Wish, scanned: list[Due], now: float) -> Iterator[Due]:
    """Give what is due and not busy, one of each order key."""
    keys, seen = set(wish.keys), set(wish.busy)
    followers = (inbox_delivery.follower(tx, wish.source, key, now) for key in wish.freed)
    for one in (*(each for each in followers if each is not None), *scanned):
        if one.id in seen or one.order_key in keys:
            continue
        seen.add(one.id)
        if one.order_key is not None:
            keys.add(one.order_key)
        yield one


def parcel_of(event: Event) -> Parcel:
    """Make what a target is given of what was taken in."""
    return Parcel(
        id=event.id,
        source=event.source,
        received_at=event.received_at,
        headers=tuple((name, value) for name, value in event.headers),
        body=event.body,
        attempt=event.attempts + 1,
        event_id=event.event_id,
        type=event.event_type,
        key=event.order_key,
        replay_of=event.replay_of,
    )
