"""Small facts that the journal keeps about itself: its schema, how far results are rolled up, when it was copied."""

from mainstay.store.base import Tx

HEALING_OFF = "healing_off"
"""Why and by whom all healing is switched off; not there while it is on."""


def get(tx: Tx, key: str) -> str | None:
    """Give a value, or None."""
    row = tx.one("meta.get", key=key)
    return None if row is None else str(row["value"])


def put(tx: Tx, key: str, value: str) -> None:
    """Set a value."""
    tx.run("meta.put", key=key, value=value)


def drop(tx: Tx, key: str) -> None:
    """Forget a value."""
    tx.run("meta.drop", key=key)
