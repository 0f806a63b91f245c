"""Answers of checks: every one for two days, then what they amount to by the minute and by the hour."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from mainstay.core.check import Result, Verdict
from mainstay.store import meta
from mainstay.store.base import Row, Tx

MINUTE = 60
HOUR = 3600
DAY = 86400
LATE = 60.0
"""Seconds to wait for answers that are still on their way into the journal before a span is summed up."""


@dataclass(frozen=True, slots=True)
class Keep:
    """How long to keep what, in seconds. Samples of an hour are kept for ever."""

    answers: float = 2 * DAY
    minutes: float = 90 * DAY


DEFAULT = Keep()


def record(tx: Tx, results: Sequence[Result]) -> None:
    """Keep answers and make them the present answers of their checks; signals `results`."""
    if not results:
        return
    tx.many("results.keep", [_answer(result) for result in results])
    tx.many("results.state", [_state(result) for result in results])
    tx.signal("results")


def kept(tx: Tx, result: Result) -> bool:
    """Say whether this very answer was recorded before."""
    return tx.one("results.kept", check=result.check, at=result.at, place=result.place) is not None


def states(tx: Tx) -> list[Row]:
    """Give the present answer of every check: check_id, service, verdict, since, at, latency, detail, facts (JSON)."""
    return tx.all("results.states")


def forget(tx: Tx, checks: Iterable[str]) -> None:
    """Drop the present answers of checks that are no longer configured; what they answered is kept."""
    tx.many("results.forget", [{"check": check} for check in checks])


def _answer(result: Result) -> dict[str, Any]:
    return {
        "check": result.check,
        "at": result.at,
        "place": result.place,
        "verdict": result.verdict.value,
        "latency": result.latency,
        # A healthy check says the same thousands of times a day: only its latency is worth keeping.
        "detail": None if result.verdict is Verdict.OK else result.detail,
    }


def _state(result: Result) -> dict[str, Any]:
    told = json.dumps(result.facts, default=str, ensure_ascii=False)
    return _answer(result) | {"service": result.service, "detail": result.detail, "facts": told}


# --- rolling up ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RolledUp:
    """The samples of one stretch of time, and where the next stretch begins."""

    span: int
    end: float
    samples: tuple[Mapping[str, Any], ...]


def sum_up(tx: Tx, span: int, now: float) -> RolledUp | None:
    """Read one stretch of finished spans (an hour of them) and sum it up; None when there is nothing to do.

    It only reads, so it belongs in `Store.read`: much work, and the writer need not wait for it.
    """
    finished = (now - LATE) // span * span
    start = float(meta.get(tx, f"summed_up_{span}") or 0)
    if start > now:
        start = 0.0  # the machine's clock was wrong and went back: sum up again what is still there
    oldest = tx.one("results.oldest", start=start)
    if oldest is None or oldest["at"] is None:
        return None
    start = oldest["at"] // span * span
    if start >= finished:
        return None
    end = min(finished, start // HOUR * HOUR + HOUR)
    rows = tx.all("results.span", start=start, end=end)
    return RolledUp(span, end, tuple(_samples(rows, span)))


def keep_samples(tx: Tx, summed: RolledUp) -> None:
    """Write down what `sum_up` gave."""
    tx.many("results.sample", summed.samples)
    meta.put(tx, f"summed_up_{summed.span}", repr(summed.end))


def _samples(rows: Sequence[Row], span: int) -> Iterator[dict[str, Any]]:
    for (check, at), group in groupby(rows, key=lambda row: (row["check_id"], row["at"] // span * span)):
        answers = list(group)
        counts = {str(verdict): 0 for verdict in Verdict}
        for answer in answers:
            counts[answer["verdict"]] += 1
        latencies = sorted(answer["latency"] for answer in answers if answer["latency"] is not None)
        yield {
            "check_id": check,
            "span": span,
            "at": at,
            **counts,
            "p50": _rank(latencies, 0.50),
            "p95": _rank(latencies, 0.95),
            "slowest": latencies[-1] if latencies else None,
        }


def _rank(ordered: Sequence[float], share: float) -> float | None:
    """Give the smallest value that at least `share` of the values do not exceed (nearest rank)."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(round(share * len(ordered), 9)) - 1)]


# --- pruning -------------------------------------------------------------------------------------------------------


def prune(tx: Tx, now: float, keep: Keep = DEFAULT, stretch: float = 600.0) -> int:
    """Drop old answers and old samples, at most `stretch` seconds' worth of each; gives how many rows.

    Call it until it gives 0. Answers that are not summed up yet are never dropped.
    """
    summed = min(float(meta.get(tx, f"summed_up_{span}") or 0) for span in (MINUTE, HOUR))
    gone = 0
    oldest = tx.one("results.oldest", start=0.0)
    if oldest and oldest["at"] is not None:
        last = min(now - keep.answers, summed) // HOUR * HOUR
        end = min(last, oldest["at"] + stretch)
        gone += tx.run("results.prune", start=oldest["at"], end=end) if end > oldest["at"] else 0
    first = tx.one("results.oldest_sample", span=MINUTE)
    if first and first["at"] is not None:
        end = min(now - keep.minutes, first["at"] + stretch)
        gone += tx.run("results.prune_samples", span=MINUTE, end=end) if end > first["at"] else 0
    return gone
