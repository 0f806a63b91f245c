"""People have events brought once more: one, or all that a search finds."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from mainstay.core.ids import new_id
from mainstay.store import audit, inbox_delivery
from mainstay.store.base import Tx
from mainstay.store.inbox import DELIVERED

AT_ONCE = 500
"""Events replayed in one write."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """An event, and the id under which it is brought again: a new one when it had been delivered."""

    of: str
    id: str


def each_once(found: Sequence[inbox_delivery.Line]) -> list[str]:
    """Give the ids to bring again of what a search found, the oldest first.

    A search finds earlier repetitions too. Of an event and those that were delivered only one is brought, and none
    of them beside one that is not delivered yet: the target would get the same event several times.
    """
    done = {line.replay_of or line.id for line in found if line.state != DELIVERED}
    ids: list[str] = []
    for line in reversed(found):
        root = line.replay_of or line.id
        if line.state == DELIVERED and root in done:
            continue
        done.add(root)
        ids.append(line.id)
    return ids


def replay(
    tx: Tx, ids: Sequence[str], who: str, now: float, brought: Collection[str], **why: Any
) -> list[Replayed]:
    """Queue events again and note who wanted it.

    Those that are not there are left out, and those of sources that nobody takes: `brought` are those that have a
    target.
    """
    wanted = [one for one in ids if inbox_delivery.source_of(tx, one) in brought]
    done = [(one, inbox_delivery.replay(tx, one, new_id(now), now)) for one in wanted]
    replayed = [Replayed(of, made) for of, made in done if made is not None]
    if replayed:
        target = replayed[0].of if len(replayed) == 1 else f"{len(replayed)} events"
        audit.note(tx, who, "inbox.replay", target, now, **why)
    return replayed
