"""What the gateway answered over time, as columns for plots and as pictures for those without scripts."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mainstay.edge.sight.traffic import quantile
from mainstay.store import gateway
from mainstay.store.base import Tx
from mainstay.store.gateway import HOUR, MINUTE, Sample, Traffic, together
from mainstay.web.series import nice

RANGES = {
    "1h": (3600.0, MINUTE),
    "24h": (86400.0, MINUTE),
    "7d": (7 * 86400.0, HOUR),
    "90d": (90 * 86400.0, HOUR),
}
"""Name of a range: how far back in seconds, and the span of its samples."""
DRAWN = 240


@dataclass(frozen=True, slots=True)
class Moment:
    """What was answered from `at` on: rates per second, latencies in seconds; None where nobody looked or none came."""

    at: float
    rate: float | None = None
    client_errors: float | None = None
    server_errors: float | None = None
    p50: float | None = None
    p99: float | None = None


def moments(tx: Tx, route: str, name: str, now: float) -> list[Moment]:
    """Give what a route (all of them for `""`) answered over a range, with gaps where nobody looked."""
    reach, span = RANGES[name]
    found = gateway.samples(tx, span, (now - reach) // span * span)
    by_time: dict[float, list[Sample]] = {}
    for sample in found:
        by_time.setdefault(sample.at, []).append(sample)
    made: list[Moment] = []
    for at, samples in sorted(by_time.items()):
        seconds = min(span, now - at)
        if seconds < 0.1 * span:
            continue  # it has only just begun: what it holds says nothing yet
        if made and at - made[-1].at > 1.5 * span:
            made.append(Moment(made[-1].at + span))
        made.append(_moment(at, seconds, _of(samples, route)))
    return made


def _of(samples: Iterable[Sample], route: str) -> Traffic:
    return together(one.traffic for one in samples if not route or one.traffic.route == route)


def _moment(at: float, seconds: float, traffic: Traffic) -> Moment:
    return Moment(
        at,
        traffic.answers / seconds,
        traffic.client_errors / seconds,
        traffic.server_errors / seconds,
        quantile(traffic.latencies, 0.5),
        quantile(traffic.latencies, 0.99),
    )


def columns(found: Sequence[Moment]) -> dict[str, list[float | None]]:
    """Give them as columns: rates per second, latencies in milliseconds."""

    def column(name: str, factor: float = 1.0) -> list[float | None]:
        values = [getattr(one, name) for one in found]
        return [None if value is None else round(value * factor, 4) for value in values]

    return {
        "at": [round(one.at) for one in found],
        "rate": column("rate"),
        "client_errors": column("client_errors"),
        "server_errors": column("server_errors"),
        "p50": column("p50", 1000),
        "p99": column("p99", 1000),
    }


@dataclass(frozen=True, slots=True)
class Drawing:
    """Lines in a box of 1000 by 200, the top of which stands for `top`, by the names of the columns."""

    lines: dict[str, str]
    top: float


def drawing(found: Sequence[Moment], names: Sequence[str], start: float, end: float) -> Drawing | None:
    """Draw some columns as SVG paths; None when there is nothing to draw."""
    few = thin(found)
    highest = max(
        (value for one in few for name in names if (value := getattr(one, name)) is not None), default=None
    )
    if highest is None:
        return None
    top = nice(max(highest, 1e-3))

    def x(at: float) -> float:
        return max(0.0, (at - start) / (end - start) * 1000)

    return Drawing({name: _path(few, name, x, top) for name in names}, top)


def _path(found: Sequence[Moment], name: str, x: Callable[[float], float], top: float) -> str:
    moves: list[str] = []
    pen = "M"
    for one in found:
        value = getattr(one, name)
        if value is None:
            pen = "M"
            continue
        moves.append(f"{pen}{x(one.at):.0f} {200 - value / top * 200:.1f}")
        pen = "L"
    return "".join(moves)


def thin(found: Sequence[Moment]) -> Sequence[Moment]:
    """At most 240 moments: of each stretch the highest values, since these are what one looks for."""
    if len(found) <= DRAWN:
        return found
    step = -(-len(found) // DRAWN)
    return [_highest(found[at : at + step]) for at in range(0, len(found), step)]


def _highest(found: Sequence[Moment]) -> Moment:
    names = ("rate", "client_errors", "server_errors", "p50", "p99")
    values = {name: [v for one in found if (v := getattr(one, name)) is not None] for name in names}
    return Moment(found[0].at, **{name: max(each, default=None) for name, each in values.items()})
