"""People have events brought once more: one, or all that a search finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mainstay.core.ids import new_id
from mainstay.store import audit, inbox_delivery
from mainstay.store.base import Tx

AT_ONCE = 500
"""Events replayed in one write."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """An event, and the id under which it is brought again: a new one when it had been delivered."""

    of: str
    id: str


def replay(tx: Tx, ids: Sequence[str], who: str, now: float, **why: Any) -> list[Replayed]:
    """Queue events again and note who wanted it; those that are not there are left out."""
    done = [(one, inbox_delivery.replay(tx, one, new_id(now), now)) for one in ids]
    replayed = [Replayed(of, made) for of, made in done if made is not None]
    if replayed:
        target = replayed[0].of if len(replayed) == 1 else f"{len(replayed)} events"
        audit.note(tx, who, "inbox.replay", target, now, **why)
    return replayed
