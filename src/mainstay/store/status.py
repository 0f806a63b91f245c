"""What commands look at that pages do not: latencies of the last hour, streaks, identifiers by their end."""

from mainstay.core.ids import first_id
from mainstay.store.base import Row, Tx

WEEK = 7 * 86400.0
"""Seconds over which the time that jobs take is added up."""


def p95(tx: Tx, start: float) -> dict[str, float]:
    """Give each check's 95th percentile of latencies, in seconds, of the answers since `start`."""
    return {row["check_id"]: row["p95"] for row in tx.all("status.p95", start=start)}


def last_ended(tx: Tx) -> dict[str, Row]:
    """Give each job's newest run that has ended."""
    return {row["job"]: row for row in tx.all("status.last_ended")}


def live(tx: Tx) -> list[Row]:
    """Give the runs that wait, run or need a person."""
    return tx.all("status.live")


def streaks(tx: Tx) -> dict[str, tuple[str, int]]:
    """Give per job how its newest runs ended, `done` or `failed`, and how many in a row."""
    return {row["job"]: (row["state"], int(row["runs"])) for row in tx.all("status.streaks")}


def schedules(tx: Tx) -> dict[str, Row]:
    """Give where each job's schedule stands: next_due, missed, missed_at, spec (JSON)."""
    return {row["job"]: row for row in tx.all("status.schedules")}


def worked(tx: Tx, now: float) -> dict[str, float]:
    """Give how many seconds each job's runs took within a week, from their first start to their end."""
    rows = tx.all("status.worked", first=first_id(now - 2 * WEEK), since=now - WEEK)
    return {row["job"]: max(0.0, float(row["seconds"])) for row in rows}


def silences(tx: Tx, now: float) -> list[Row]:
    """Give the silences that hold now; `*` is one of every service."""
    return tx.all("silences.active", now=now)


def like(tx: Tx, noun: str, part: str) -> list[Row]:
    """Give at most five `runs`, `incidents` or `backups` whose identifier is, begins or ends with `part`."""
    if not part.isalnum():
        return []
    for pattern in (part, f"%{part}", f"{part}%"):
        found = tx.all(f"status.{noun}_like", pattern=pattern)
        if found:
            return found
    return []
