"""One check's latencies over time, and what they look like without a script."""

from collections.abc import Sequence
from dataclasses import dataclass

from mainstay.store import views
from mainstay.store.base import Row, Tx

RANGES = {"1h": (3600.0, 0), "24h": (86400.0, 60), "7d": (7 * 86400.0, 3600), "90d": (90 * 86400.0, 3600)}
"""Name of a range: how far back in seconds, and which samples (0: the answers themselves)."""
POINTS = 2000
DRAWN = 240


@dataclass(frozen=True, slots=True)
class Point:
    """Latencies in seconds of the answers from `at` on; None where there was no answer."""

    at: float
    p50: float | None
    p95: float | None


def latencies(tx: Tx, check: str, name: str, now: float) -> list[Point]:
    """Give a check's latencies over a range, oldest first, with gaps where nothing was measured."""
    reach, span = RANGES[name]
    start = now - reach
    if span == 0:
        return [_answer(row) for row in views.check_answers(tx, check, start, POINTS)]
    rows = views.series(tx, check, span, start)
    points = [Point(row["at"], row["p50"], row["p95"]) for row in rows]
    # What is not summed up yet comes from the answers, so that a young installation has a plot too.
    newest = points[-1].at + span if points else start
    points += _summed(views.check_answers(tx, check, newest, POINTS), span)
    return _with_gaps(points, span)


def _answer(row: Row) -> Point:
    return Point(row["at"], row["latency"], row["latency"])


def _summed(rows: Sequence[Row], span: int) -> list[Point]:
    groups: dict[float, list[float]] = {}
    for row in rows:
        if row["latency"] is not None:
            groups.setdefault(row["at"] // span * span, []).append(row["latency"])
    return [Point(at, rank(seen, 50), rank(seen, 95)) for at, seen in sorted(groups.items())]


def rank(values: Sequence[float], percent: int) -> float | None:
    """The smallest value that at least so many percent of the values do not exceed (nearest rank)."""
    return sorted(values)[max(0, -(-percent * len(values) // 100) - 1)] if values else None


def _with_gaps(points: list[Point], span: int) -> list[Point]:
    found: list[Point] = []
    for point in points:
        if found and point.at - found[-1].at > 2.5 * span:
            found.append(Point(found[-1].at + span, None, None))
        found.append(point)
    return found


def columns(points: Sequence[Point]) -> dict[str, list[float | None]]:
    """The points as columns, as plots want them; latencies in milliseconds."""

    def thousand(value: float | None) -> float | None:
        return None if value is None else round(value * 1000, 3)

    return {
        "at": [round(point.at) for point in points],
        "p50": [thousand(point.p50) for point in points],
        "p95": [thousand(point.p95) for point in points],
    }


@dataclass(frozen=True, slots=True)
class Drawing:
    """Two lines in a box of 1000 by 200, the top of which stands for `top` seconds."""

    p50: str
    p95: str
    top: float


def drawing(points: Sequence[Point], start: float, end: float) -> Drawing | None:
    """Draw latencies as SVG paths; None when there is nothing to draw."""
    few = thin(points)
    highest = max((point.p95 for point in few if point.p95 is not None), default=0.0)
    if not highest:
        return None
    top = nice(highest)

    def path(which: str) -> str:
        moves: list[str] = []
        pen = "M"
        for point in few:
            value = getattr(point, which)
            if value is None:
                pen = "M"
                continue
            x = (point.at - start) / (end - start) * 1000
            moves.append(f"{pen}{x:.0f} {200 - value / top * 200:.0f}")
            pen = "L"
        return "".join(moves)

    return Drawing(path("p50"), path("p95"), top)


def thin(points: Sequence[Point]) -> Sequence[Point]:
    """At most 240 points: of each stretch the worst, since that is what one looks for."""
    if len(points) <= DRAWN:
        return points
    step = -(-len(points) // DRAWN)
    return [_worst(points[at : at + step]) for at in range(0, len(points), step)]


def _worst(points: Sequence[Point]) -> Point:
    p50s = [point.p50 for point in points if point.p50 is not None]
    p95s = [point.p95 for point in points if point.p95 is not None]
    return Point(points[0].at, max(p50s, default=None), max(p95s, default=None))


def nice(value: float) -> float:
    """The next round figure: 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0**-9
    while power * 10 < value:
        power *= 10
    return next(power * step for step in (1, 2, 2.5, 5, 10) if power * step >= value)
