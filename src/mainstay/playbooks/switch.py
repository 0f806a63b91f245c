"""The switch that stops all healing. Checks and messages go on."""

from mainstay.store import audit, meta
from mainstay.store.base import Tx


def turn_off(tx: Tx, who: str, why: str, now: float) -> None:
    """Stop all healing until `turn_on`; what is under way ends its attempt."""
    meta.put(tx, meta.HEALING_OFF, f"{why} ({who})" if why else who)
    audit.note(tx, who, "heal.off", "*", now, why=why)


def turn_on(tx: Tx, who: str, now: float) -> None:
    """Let playbooks act again."""
    meta.drop(tx, meta.HEALING_OFF)
    audit.note(tx, who, "heal.on", "*", now)


def off_since(tx: Tx) -> str | None:
    """Give why and by whom healing is switched off, or None."""
    return meta.get(tx, meta.HEALING_OFF)
