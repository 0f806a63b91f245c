"""The symbol, word and colour of each state: the word alone is enough for who cannot see the colour."""

from collections.abc import Sequence

Mark = tuple[str, str, str]
"""Symbol, word, style."""

VERDICTS: dict[str, Mark] = {
    "ok": ("●", "ok", "green"),
    "warn": ("▲", "warns", "yellow"),
    "fail": ("✖", "fails", "red"),
    "unknown": ("○", "unknown", "dim"),
}
_WORSE = ["fail", "warn", "unknown", "ok"]

RUNS: dict[str, Mark] = {
    "queued": ("○", "queued", "dim"),
    "running": ("●", "running", "cyan"),
    "done": ("●", "done", "green"),
    "failed": ("✖", "failed", "red"),
    "parked": ("▲", "parked", "yellow"),
    "cancelled": ("○", "cancelled", "dim"),
}

STANDINGS: dict[str, Mark] = {
    "missing": ("✖", "missing", "red"),
    "configured": ("▲", "configured", "yellow"),
    "running": ("●", "running", "cyan"),
    "proven": ("●", "proven", "green"),
}


def mark(verdict: str, *, stale: bool = False) -> Mark:
    """Give the mark of a verdict; what is stale has no colour."""
    symbol, word, style = VERDICTS.get(verdict, VERDICTS["unknown"])
    return (symbol, f"{word} then", "dim") if stale and verdict != "unknown" else (symbol, word, style)


def worst(verdicts: Sequence[str]) -> str:
    """Give the worst of some verdicts; nothing asked is nothing known."""
    return next((verdict for verdict in _WORSE if verdict in verdicts), "unknown")
