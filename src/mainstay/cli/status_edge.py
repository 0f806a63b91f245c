"""The parts of `mainstay status` about what comes in from outside: webhooks."""

from collections.abc import Mapping, Sequence
from typing import Any

from mainstay.cli.output import Output, Text
from mainstay.cli.table import Column, show
from mainstay.cli.words import ago, count, span
from mainstay.readiness.setup import Setup
from mainstay.store.inbox import DEAD, KEPT, QUEUED
from mainstay.store.inbox_delivery import Delivery, Standing

LONG_WAIT = 300.0
"""Seconds after which a webhook that waits is something to look at."""


def sources(
    setup: Setup, stands: Sequence[Standing], deliveries: Mapping[str, Delivery]
) -> list[dict[str, Any]]:
    """Give how each source of webhooks stands, in the file's order: those that somebody takes, then the others."""
    return [_source(name, stands, deliveries) for name in (*setup.sources, *setup.kept)]


def _source(name: str, stands: Sequence[Standing], deliveries: Mapping[str, Delivery]) -> dict[str, Any]:
    mine = {one.state: one for one in stands if one.source == name}
    delivery = deliveries.get(name, Delivery(name))
    return {
        "source": name,
        "waiting": sum(one.events for one in mine.values() if one.waits),
        "oldest_at": mine[QUEUED].oldest_at if QUEUED in mine else None,
        "dead": mine[DEAD].events if DEAD in mine else 0,
        "kept": mine[KEPT].events if KEPT in mine else 0,
        "delivered": delivery.delivered,
        "delivered_at": delivery.delivered_at,
        "target": "left alone" if delivery.state != "closed" else "up",
        "target_since": delivery.since,
        "target_detail": delivery.detail,
    }


def print_sources(out: Output, rows: Sequence[dict[str, Any]], now: float) -> None:
    """Print one line for each source; nothing when there is none."""
    if not rows:
        return
    out.print("")
    out.print(("Webhooks", "bold"))
    table: list[list[str | Text]] = []
    for row in rows:
        symbol, style = _mark(row, now)
        table.append([(symbol, style), row["source"], _told(row, now), (row["target_detail"], "dim")])
    show(out, [Column(""), Column(""), Column(""), Column("", wrap=True)], table)


def _mark(row: dict[str, Any], now: float) -> tuple[str, str]:
    if row["target"] != "up":
        return "✖", "red"
    late = row["oldest_at"] is not None and now - row["oldest_at"] > LONG_WAIT
    if late or row["dead"]:
        return "▲", "yellow"
    return ("●", "green") if row["delivered"] or row["kept"] else ("○", "dim")


def _told(row: dict[str, Any], now: float) -> str:
    parts = []
    if row["target"] != "up":
        parts.append(f"its target is left alone since {ago(row['target_since'] or now, now)}")
    if row["waiting"]:
        oldest = f", the oldest for {span(now - row['oldest_at'])}" if row["oldest_at"] else ""
        parts.append(f"{row['waiting']:,} waiting{oldest}")
    if row["dead"]:
        parts.append(count(row["dead"], "dead letter"))
    if row["kept"]:
        parts.append(f"{row['kept']:,} kept")
    if row["delivered"]:
        parts.append(f"{row['delivered']:,} delivered, the last {ago(row['delivered_at'], now)}")
    return "; ".join(parts) or "nothing has come yet"
