"""The parts of `mainstay status` about what comes in from outside: webhooks and the gateway.

What they need is imported only where there is one of them: `mainstay status` has to be quick.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from mainstay.cli.output import Output, Text
from mainstay.cli.table import Column, show
from mainstay.cli.words import ago, count, latency, span
from mainstay.readiness.setup import Setup
from mainstay.store.base import Tx

if TYPE_CHECKING:
    from mainstay.edge.sight.picture import Picture
    from mainstay.store.gateway import Seen
    from mainstay.store.inbox_delivery import Delivery, Standing

LONG_WAIT = 300.0
"""Seconds after which a webhook that waits is something to look at."""
ROUTES = {"ok": ("●", "green"), "warn": ("▲", "yellow"), "fail": ("✖", "red"), "unknown": ("○", "dim")}
ORIGINS = {"down": "down", "ejected": "left alone", "trial": "on trial"}


class Outside(NamedTuple):
    """What the journal said of webhooks and of the gateway."""

    inbox: "list[Standing]"
    deliveries: "dict[str, Delivery]"
    gateway: "list[Seen]"


def outside(tx: Tx, setup: Setup) -> Outside | None:
    """Read it; None where neither is configured."""
    if not (setup.sources or setup.kept or setup.routes):
        return None
    from mainstay.store import gateway, inbox_delivery

    return Outside(inbox_delivery.stats(tx), inbox_delivery.deliveries(tx), gateway.seen(tx))


def outside_of(setup: Setup, found: Outside | None, now: float) -> dict[str, Any]:
    """Give it for programs."""
    if found is None:
        return {"webhooks": [], "gateway": None}
    picture = _picture(setup, found.gateway, now)
    rows = sources(setup, found.inbox, found.deliveries)
    return {"webhooks": rows, "gateway": picture.plain() if picture else None}


def print_outside(out: Output, setup: Setup, found: Outside | None, now: float) -> None:
    """Print it; nothing where there is nothing."""
    if found is not None:
        print_sources(out, sources(setup, found.inbox, found.deliveries), now)
        print_gateway(out, _picture(setup, found.gateway, now), now)


def sources(
    setup: Setup, stands: "Sequence[Standing]", deliveries: "Mapping[str, Delivery]"
) -> list[dict[str, Any]]:
    """Give how each source of webhooks stands, in the file's order: those that somebody takes, then the others."""
    return [_source(name, stands, deliveries) for name in (*setup.sources, *setup.kept)]


def _source(name: str, stands: "Sequence[Standing]", deliveries: "Mapping[str, Delivery]") -> dict[str, Any]:
    from mainstay.store.inbox import DEAD, KEPT, QUEUED
    from mainstay.store.inbox_delivery import Delivery

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


def _picture(setup: Setup, rows: "Sequence[Seen]", now: float) -> "Picture | None":
    if not setup.routes and not rows:
        return None
    from mainstay.edge.sight.picture import picture

    return picture(rows, now, setup.routes)


def print_gateway(out: Output, found: "Picture | None", now: float) -> None:
    """Print the routes, origins that are out, and who does not answer the gateway; nothing where there is none."""
    if found is None:
        return
    out.print("")
    out.print(("Gateway", "bold"), (f"  {_looked(found, now)}", "dim" if found.fresh else "yellow"))
    table: list[list[str | Text]] = []
    for host in found.hosts:
        if host.fresh and not host.processes:
            since = f"for {span(now - host.gone_since)}" if host.gone_since else ""
            table.append(
                [("✖", "red"), ("carries nothing", "bold"), since, f"no process answers on {host.name}"]
            )
    for route in found.routes:
        symbol, style = ROUTES[route.state] if found.fresh else ROUTES["unknown"]
        held = f"for {span(now - route.since)}" if route.since else ""
        told = f"{route.says}{', switched by hand' if route.swapped else ''}; {_lately(route.lately)}"
        table.append(
            [(symbol, style), (route.name, "bold"), held, (told, "dim" if route.state == "ok" else "")]
        )
        for origin in route.origins:
            if origin.state not in ("up", "draining"):
                where = f"{origin.url} {origin.host}".rstrip()
                words = f"{where} is {ORIGINS[origin.state]}: {origin.detail}"
                table.append(["", "", f"for {span(now - (origin.since or now))}", (words, style)])
    for need in found.needs:
        if need.state == "down":
            held = f"for {span(now - need.since)}" if need.since else ""
            asked = f"{need.place} does not answer: {need.detail}"
            table.append([("✖", "red" if need.grave else "yellow"), (need.what, "bold"), held, asked])
    show(out, [Column(""), Column(""), Column(""), Column("", wrap=True)], table)


def _looked(found: "Picture", now: float) -> str:
    if found.at is None:
        return "nobody has looked at it yet"
    return f"looked at {ago(found.at, now)}" + ("" if found.fresh else ": nobody knows how it is now")


def _lately(figures: Mapping[str, Any]) -> str:
    parts = [f"{figures['answers']:.1f}/s"]
    parts += [f"{figures['server_errors']:.1f}/s 5xx"] if figures["server_errors"] else []
    refused = figures["limited"] + figures["unauthorised"]
    parts += [f"{refused:.1f}/s turned away"] if refused else []
    parts += [f"p99 {latency(figures['p99'])}"] if figures["p99"] is not None else []
    return ", ".join(parts)
