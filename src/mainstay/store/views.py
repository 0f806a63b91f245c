"""What pages show: read-only looks at the journal, a few queries a page however many services there are.

Rows are as in the tables; JSON stays text. Times are seconds since 1970.
"""

import json
from collections.abc import Iterable, Sequence

from mainstay.store.base import Row, Tx

MINUTE = 60
HOUR = 3600
DAY = 86400


def frame(tx: Tx) -> Row:
    """Give what surrounds every page: open_incidents, unseen_incidents, owed, owed_since, beat_at, measured_at."""
    return tx.one("views.frame") or {}


def states(tx: Tx) -> list[Row]:
    """Give the present answer of every check."""
    return tx.all("results.states")


def service_states(tx: Tx, service: str) -> list[Row]:
    """Give the present answers of one service's checks."""
    return tx.all("views.service_states", service=service)


# --- incidents -----------------------------------------------------------------------------------------------------


def open_incidents(tx: Tx) -> list[Row]:
    """Give what is wrong now, the loudest and oldest first."""
    return tx.all("views.open_incidents")


def incidents(
    tx: Tx, *, limit: int = 50, before: str = "", service: str = "", state: str = "", begun: float = 0.0
) -> list[Row]:
    """Give incidents from the newest back that opened or ended after `begun`; `state` is `open`, `resolved` or all."""
    return tx.all("views.incidents", limit=limit, before=before, service=service, state=state, begun=begun)


def incident(tx: Tx, identifier: str) -> Row | None:
    """Give one incident."""
    return tx.one("views.incident", id=identifier)


def events(tx: Tx, identifier: str) -> list[Row]:
    """Give the life of one incident."""
    return tx.all("views.events", incident=identifier)


def latest_actions(tx: Tx) -> dict[str, Row]:
    """Give the newest action (at, detail) of each open incident."""
    return {row["incident"]: row for row in tx.all("views.latest_actions")}


def messages(tx: Tx, identifier: str) -> list[Row]:
    """Give everything told and owed about one incident."""
    return tx.all("views.messages", incident=identifier)


def told(tx: Tx) -> list[Row]:
    """Give per open incident and channel: sent, sent_at, attempts, owed."""
    return tx.all("views.told")


def healing(tx: Tx, identifier: str) -> list[Row]:
    """Give the runs that tried to heal an incident, the first try first."""
    return tx.all("views.runs_by_key", low=f"heal:{identifier}:", high=f"heal:{identifier};")


def live_healing(tx: Tx) -> dict[str, Row]:
    """Give each open incident's newest healing run: id, key, state, summary, error."""
    return {row["incident"]: row for row in tx.all("views.live_healing")}


def silences(tx: Tx, now: float) -> list[Row]:
    """Give the silences that hold now or later."""
    return tx.all("views.silences", now=now)


# --- answers over time ---------------------------------------------------------------------------------------------


def minutes(tx: Tx, checks: Iterable[str], start: float) -> list[Row]:
    """Give these checks' answers by the minute: check_id, at, ok, warn, fail, unknown."""
    return tx.all("views.minutes", checks=json.dumps(list(checks)), start=start)


def hours(tx: Tx, checks: Iterable[str], start: float) -> list[Row]:
    """Give the p50 and p95 of these checks' hours, the newest last."""
    return tx.all("views.hours", checks=json.dumps(list(checks)), start=start)


def answers(tx: Tx, start: float, limit: int) -> list[Row]:
    """Give every check's answers since a time, `limit` at most: check_id, at, verdict, latency."""
    return tx.all("views.answers", start=start, limit=limit)


def check_answers(tx: Tx, check: str, start: float, limit: int) -> list[Row]:
    """Give one check's answers since a time: at, verdict, latency."""
    return tx.all("views.check_answers", check=check, start=start, limit=limit)


def series(tx: Tx, check: str, span: int, start: float) -> list[Row]:
    """Give one check's samples of a span (60 or 3600 seconds) since a time."""
    return tx.all("views.series", check=check, span=span, start=start)


def last_bad(tx: Tx, service: str, start: float, limit: int = 12) -> list[Row]:
    """Give one service's newest answers that were not ok."""
    return tx.all("views.last_bad", service=service, start=start, limit=limit)


def first_answer(tx: Tx) -> float | None:
    """Give when the oldest answer that is still kept was given."""
    row = tx.one("views.first_answer")
    return None if row is None else row["at"]


# --- jobs ----------------------------------------------------------------------------------------------------------


def recent_runs(tx: Tx, jobs: Sequence[str], limit: int = 24) -> dict[str, list[Row]]:
    """Give each job's newest runs, the oldest of them first."""
    found: dict[str, list[Row]] = {job: [] for job in jobs}
    for row in tx.all("views.recent_runs", jobs=json.dumps(list(jobs)), limit=limit):
        found.setdefault(row["job"], []).append(row)
    return found


def runs(tx: Tx, *, job: str = "", state: str = "", before: str = "", limit: int = 50) -> list[Row]:
    """Give runs from the newest back."""
    return tx.all("views.runs", job=job, state=state, before=before, limit=limit)


def run(tx: Tx, identifier: str) -> Row | None:
    """Give one run."""
    return tx.one("views.run", id=identifier)


def steps(tx: Tx, identifier: str) -> list[Row]:
    """Give a run's finished steps."""
    return tx.all("views.steps", run=identifier)


def log_tail(tx: Tx, identifier: str, limit: int = 500) -> list[Row]:
    """Give the newest lines of a run's log (seq, at, line), in order."""
    return tx.all("views.log_tail", run=identifier, limit=limit)[::-1]


def log_after(tx: Tx, identifier: str, after: int, limit: int = 500) -> list[Row]:
    """Give the lines of a run's log after line number `after`."""
    return tx.all("views.log_after", run=identifier, after=after, limit=limit)


def schedules(tx: Tx) -> dict[str, Row]:
    """Give where each job's schedule stands: last_due, next_due, missed, missed_at."""
    return {row["job"]: row for row in tx.all("views.schedules")}


def run_counts(tx: Tx) -> list[Row]:
    """Give per job and state: runs, finished_at."""
    return tx.all("views.run_counts")


# --- backups -------------------------------------------------------------------------------------------------------


def last_backups(tx: Tx) -> dict[str, Row]:
    """Give each database's newest backup with its newest proof (columns `proof_*`)."""
    return {row["database"]: row for row in tx.all("views.last_backups")}


def last_proofs(tx: Tx) -> dict[str, Row]:
    """Give each database's newest proof that found the restored copy equal, with the backup's database and taken_at."""
    return {row["database"]: row for row in tx.all("views.last_proofs")}


def backup_counts(tx: Tx) -> dict[str, Row]:
    """Give per database: kept, bytes, oldest_at."""
    return {row["database"]: row for row in tx.all("views.backup_counts")}


def backups(tx: Tx, database: str = "", limit: int = 60) -> list[Row]:
    """Give backups from the newest back, each with its newest proof (columns `proof_*`); '' means every database."""
    return tx.all("views.backups", database=database, limit=limit)


# --- channels, processes, people -----------------------------------------------------------------------------------


def channels(tx: Tx) -> dict[str, Row]:
    """Give per channel: sent, refused, sent_at, owed, owed_since, attempts, next_at."""
    return {row["channel"]: row for row in tx.all("views.channels")}


def channel_errors(tx: Tx) -> dict[str, Row]:
    """Give each channel's newest error (error, owed_at)."""
    return {row["channel"]: row for row in tx.all("views.channel_errors")}


def outbox(tx: Tx, *, channel: str = "", owed: bool = False, before: str = "", limit: int = 50) -> list[Row]:
    """Give messages from the newest back, with the title of their incident."""
    return tx.all("views.outbox", channel=channel, owed=int(owed), before=before, limit=limit)


def nodes(tx: Tx) -> list[Row]:
    """Give the processes that live."""
    return tx.all("views.nodes")


def audit(tx: Tx, limit: int = 50) -> list[Row]:
    """Give who did what, the newest first."""
    return tx.all("views.audit", limit=limit)
