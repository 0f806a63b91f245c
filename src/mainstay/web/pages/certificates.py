"""`GET /certificates`: how long each is valid, when it is due, and where it was seen."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from mainstay.store import certificates
from mainstay.store.base import Tx
from mainstay.store.certificates import Certificate
from mainstay.web.plan import CertificatePlan, Plan
from mainstay.web.site import show, site_of

DAY = 86400.0
STALE = 2 * DAY
"""Seconds after which it counts no more that it was seen."""


@dataclass(frozen=True, slots=True)
class CertificateLine:
    """A certificate as it is configured and as it was last seen; `left` in seconds."""

    plan: CertificatePlan
    row: Certificate
    now: float

    @property
    def left(self) -> float | None:
        return None if self.row.not_after is None else self.row.not_after - self.now

    @property
    def days(self) -> int:
        """Whole days that are left."""
        return max(0, int((self.left or 0.0) // DAY))

    @property
    def mark(self) -> tuple[str, str, str]:
        """Word, tone and icon."""
        if self.left is None:
            return "None yet", "warn", "wait"
        if self.left <= 0:
            return "Expired", "fail", "fail"
        if self.row.fault:
            return "Not in order", "warn", "warn"
        if self.row.served_at is not None and self.now - self.row.served_at < STALE:
            return "Served", "ok", "ok"
        return "In place", "unknown", "unknown"

    @property
    def word(self) -> str:
        return self.mark[0]

    @property
    def tone(self) -> str:
        return self.mark[1]

    @property
    def icon(self) -> str:
        return self.mark[2]


def lines(tx: Tx, plan: Plan, now: float) -> list[CertificateLine]:
    """Give every configured certificate, in the file's order."""
    known = {each.name: each for each in certificates.everything(tx)}
    return [
        CertificateLine(one, known.get(one.name, Certificate(one.name)), now) for one in plan.certificates
    ]


async def listing(request: Request) -> Response:
    """All certificates."""
    site, now = site_of(request), site_of(request).clock.now()
    return await show(request, "certificates.html", lambda tx: {"lines": lines(tx, site.plan, now)})
