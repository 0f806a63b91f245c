"""The 95th percentile of each check's latency: of its last full hour, or of all answers while it is younger."""

from mainstay.store import views
from mainstay.store.base import Tx
from mainstay.web.site import Site

FRESH = 60.0
YOUNG = 20_000
"""Answers that are looked at, at most, for checks without a full hour."""


async def p95s(site: Site) -> dict[str, float]:
    """Give the p95 latency of each check in seconds; checks without an answer are left out."""
    kept = site.latencies
    if site.clock.monotonic() - kept.read_at < (FRESH if kept.known else 2.0):
        return kept.known
    now = site.clock.now()
    checks = site.checks

    def look(tx: Tx) -> dict[str, float]:
        found = {row["check_id"]: row["p95"] for row in views.hours(tx, checks, now - 3 * 3600)}
        found = {check: p95 for check, p95 in found.items() if p95 is not None}
        return found | (young(tx, now) if len(found) < len(checks) / 2 else {})

    kept.known = await site.store.read(look)
    kept.read_at = site.clock.monotonic()
    return kept.known


def young(tx: Tx, now: float) -> dict[str, float]:
    """The same from the answers themselves, nearest rank."""
    answers: dict[str, list[float]] = {}
    for row in views.answers(tx, now - 3600, YOUNG):
        if row["latency"] is not None:
            answers.setdefault(row["check_id"], []).append(row["latency"])
    return {check: sorted(seen)[max(0, -(-95 * len(seen) // 100) - 1)] for check, seen in answers.items()}
