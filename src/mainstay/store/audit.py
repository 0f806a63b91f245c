"""Who did what to what, for ever."""

import json
from typing import Any

from mainstay.core.ids import new_id
from mainstay.store.base import Tx


def note(tx: Tx, who: str, action: str, target: str, now: float, **detail: Any) -> str:
    """Write down an action of a person or of mainstay itself; gives the entry's id. Never pass secrets."""
    entry = new_id(now)
    told = json.dumps(detail, default=str, ensure_ascii=False)
    tx.run("audit.note", id=entry, at=now, who=who, action=action, target=target, detail=told)
    return entry
