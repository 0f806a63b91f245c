"""The scorecard as the pages show it, judged anew every half minute."""

from collections.abc import Sequence
from dataclasses import dataclass

from mainstay.core.finding import Finding, Priority, Standing
from mainstay.readiness import assess as judge
from mainstay.readiness.evidence import gather
from mainstay.store.base import Tx
from mainstay.web.site import Site

FRESH = 30.0
WORDS = {
    Standing.MISSING: ("Missing", "fail", "fail"),
    Standing.CONFIGURED: ("Configured", "unknown", "wait"),
    Standing.RUNNING: ("Running", "info", "play"),
    Standing.PROVEN: ("Proven", "ok", "ok"),
}
"""A standing as word, tone and icon."""
PRIORITIES = {
    Priority.P0: "Critical: without it data, safety or service is lost",
    Priority.P1: "High: by hand it is painful",
    Priority.P2: "Medium: quality of life",
    Priority.P3: "Later",
}


@dataclass(frozen=True, slots=True)
class Card:
    """The findings, the share of P0 and P1 rows that are automated, and whether no P0 row is missing."""

    findings: Sequence[Finding]
    score: int
    ready: bool
    at: float


async def card(site: Site) -> Card | None:
    """The scorecard; None when nobody said what is set up."""
    setup, now = site.plan.readiness, site.clock.now()
    if setup is None:
        return None
    kept: Card | None = site.card
    if kept and 0 <= now - kept.at < FRESH:
        return kept

    def look(tx: Tx) -> Card:
        findings = judge.assess(setup, gather(tx, now), now)
        return Card(findings, judge.score(findings), judge.ready(findings), now)

    made = await site.store.read(look)
    site.card = made
    return made
