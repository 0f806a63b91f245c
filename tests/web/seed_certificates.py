"""The company's certificates: one served, one in trouble, one that has expired; the last was never looked at."""

from __future__ import annotations

from mainstay.store import certificates as repository
from mainstay.store.base import Tx
from mainstay.store.certificates import Certificate

DAY = 86400.0


def certificates(tx: Tx, now: float, *, hostile: bool = False) -> None:
    """Write their rows."""
    bad = "<img src=x onerror=alert(1)>" if hostile else ""
    good = Certificate(
        name="example.com",
        names=("example.com", "www.example.com"),
        serial="04ab",
        issuer="R11" + bad,
        not_before=now - 20 * DAY,
        not_after=now + 70.5 * DAY,
        installed_at=now - 20 * DAY,
        served_at=now - 3600,
        served="served for example.com at 203.0.113.10:443" + bad,
        due_at=now + 40 * DAY,
        due_why="the authority suggests that moment",
        looked_at=now - 3600,
    )
    fault = "no certificate was issued: Detail: 203.0.113.10: Timeout during connect" + bad
    rows = [
        good,
        Certificate(
            name="erp.example.com",
            names=("erp.example.com",),
            issuer="R11",
            not_before=now - 80 * DAY,
            not_after=now + 9.9 * DAY,
            served_at=now - 5 * DAY,
            served="served for erp.example.com at 203.0.113.11:443",
            due_at=now - 20 * DAY,
            due_why="two thirds of its 90d are over then",
            failures=4,
            retry_at=now + 3 * 3600,
            fault=fault,
            looked_at=now - 3600,
        ),
        Certificate(
            name="mail.example.com", not_before=now - 91 * DAY, not_after=now - DAY, looked_at=now - 60
        ),
    ]
    for row in rows:
        repository.put(tx, row)
