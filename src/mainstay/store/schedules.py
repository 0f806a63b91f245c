"""Where each schedule stands."""

from dataclasses import dataclass

from mainstay.store.base import Row, Tx


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything due up to `last_due` has a run or was counted as missed.

    `missed` says how many due times the last gap left out, `missed_at` when that was noticed. `spec` is the
    schedule in its own words; when it changes, counting starts anew. Times are seconds since 1970.
    """

    job: str
    last_due: float
    next_due: float | None
    spec: str
    missed: int = 0
    missed_at: float | None = None


def get(tx: Tx, job: str) -> Standing | None:
    """Give where the schedule of a job stands, or None when it was never looked at."""
    row = tx.one("schedules.get", job=job)
    return None if row is None else _made(row)


def everything(tx: Tx) -> list[Standing]:
    """Give where all schedules stand, by job."""
    return [_made(row) for row in tx.all("schedules.all")]


def put(tx: Tx, standing: Standing) -> None:
    """Keep where a schedule stands."""
    tx.run(
        "schedules.put",
        job=standing.job,
        last_due=standing.last_due,
        next_due=standing.next_due,
        missed=standing.missed,
        missed_at=standing.missed_at,
        spec=standing.spec,
    )


def drop(tx: Tx, job: str) -> None:
    """Forget a schedule that no longer exists."""
    tx.run("schedules.drop", job=job)


def _made(row: Row) -> Standing:
    return Standing(
        job=row["job"],
        last_due=row["last_due"],
        next_due=row["next_due"],
        spec=row["spec"],
        missed=row["missed"],
        missed_at=row["missed_at"],
    )
