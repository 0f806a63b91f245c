"""How the gateway of each machine is, and what its routes answered: written by the agent beside it."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from mainstay.store.base import Row, Tx

TOPIC = "gateway"
MINUTE, HOUR = 60, 3600
MINUTES_KEPT = 14 * 86400.0
HOURS_KEPT = 400 * 86400.0
COUNTS = (
    "answers", "client_errors", "server_errors", "admitted", "limited", "unauthorised", "failed",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seen:
    """How a machine's gateway was at a moment (seconds since 1970); `state` is plain data, see `edge.sight.merge`."""

    host: str
    at: float
    state: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one route answered; `latencies` counts answers by the buckets of the edge's own histogram.

    `client_errors` are answers of 4xx, `server_errors` of 5xx. `limited` and `unauthorised` are among the former,
    `failed` are requests to which no origin gave a whole answer.
    """

    route: str
    answers: int = 0
    client_errors: int = 0
    server_errors: int = 0
    admitted: int = 0
    limited: int = 0
    unauthorised: int = 0
    failed: int = 0
    latencies: tuple[int, ...] = ()

    def __add__(self, other: "Traffic") -> "Traffic":
        counts = {name: getattr(self, name) + getattr(other, name) for name in COUNTS}
        most = max(len(self.latencies), len(other.latencies))
        mine, theirs = (one.latencies + (0,) * (most - len(one.latencies)) for one in (self, other))
        return replace(self, **counts, latencies=tuple(a + b for a, b in zip(mine, theirs, strict=True)))


@dataclass(frozen=True, slots=True)
class Sample:
    """What a route answered on all machines in the `span` seconds from `at` on."""

    at: float
    traffic: Traffic


@dataclass(frozen=True, slots=True)
class Totals:
    """What was let in and turned away; `admitted_at` and `refused_at` are the newest hours in which anything was."""

    admitted: int = 0
    limited: int = 0
    unauthorised: int = 0
    admitted_at: float | None = None
    refused_at: float | None = None


def put_seen(tx: Tx, seen: Seen) -> None:
    """Say how a machine's gateway is; signals `gateway`."""
    tx.run("gateway.put_seen", host=seen.host, at=seen.at, seen=json.dumps(seen.state, ensure_ascii=False))
    tx.signal(TOPIC)


def seen(tx: Tx) -> list[Seen]:
    """Give how the gateway of each machine was when it was last looked at."""
    return [Seen(row["host"], row["at"], json.loads(row["seen"])) for row in tx.all("gateway.seen")]


def forget(tx: Tx, host: str) -> None:
    """Forget how a machine's gateway was: it has none any more."""
    if tx.run("gateway.forget_seen", host=host):
        tx.signal(TOPIC)


def add(tx: Tx, host: str, at: float, traffic: Sequence[Traffic]) -> None:
    """Add what a machine's routes answered at a moment to its minute and its hour."""
    for span in (MINUTE, HOUR):
        start = at // span * span
        there = {
            row["route"]: _traffic(row)
            for row in tx.all("gateway.samples_at", span=span, at=start, host=host)
        }
        sums = [there[one.route] + one if one.route in there else one for one in traffic]
        tx.many("gateway.put_sample", [_row(one, span, start, host) for one in sums])


def samples(tx: Tx, span: int, since: float) -> list[Sample]:
    """Give what each route answered since a moment, all machines together, the oldest first."""
    found: dict[tuple[float, str], Traffic] = {}
    for row in tx.all("gateway.samples", span=span, since=since):
        one = _traffic(row)
        key = (row["at"], one.route)
        found[key] = found[key] + one if key in found else one
    return [Sample(at, traffic) for (at, _), traffic in found.items()]


def totals(tx: Tx, since: float) -> Totals:
    """Give what was admitted and turned away since a moment."""
    row = tx.one("gateway.totals", since=since) or {}
    counts = {name: int(row.get(name) or 0) for name in ("admitted", "limited", "unauthorised")}
    return Totals(**counts, admitted_at=row.get("admitted_at"), refused_at=row.get("refused_at"))


def prune(tx: Tx, now: float) -> int:
    """Forget old spans; gives how many. Call it until it gives 0."""
    gone = tx.run("gateway.prune", span=MINUTE, before=now - MINUTES_KEPT)
    return gone + tx.run("gateway.prune", span=HOUR, before=now - HOURS_KEPT)


def _traffic(row: Row) -> Traffic:
    counts = {name: int(row[name]) for name in COUNTS}
    return Traffic(row["route"], **counts, latencies=tuple(json.loads(row["latencies"])))


def _row(traffic: Traffic, span: int, at: float, host: str) -> dict[str, Any]:
    latencies = json.dumps(traffic.latencies, separators=(",", ":"))
    return {**asdict(traffic), "span": span, "at": at, "host": host, "latencies": latencies}


def together(traffic: Iterable[Traffic], route: str = "") -> Traffic:
    """Add up."""
    total = Traffic(route)
    for one in traffic:
        total = total + one
    return total
