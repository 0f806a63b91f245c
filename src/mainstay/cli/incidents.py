"""Say what went wrong, and who knows; take care of an incident."""

import argparse
import json
from typing import Any

from mainstay.cli.context import Context, run_async
from mainstay.cli.find import one
from mainstay.cli.output import Text
from mainstay.cli.parser import amount
from mainstay.cli.table import Column, show
from mainstay.cli.words import clock_time, moment, span, zone_of
from mainstay.store import views
from mainstay.store.base import Row

STATES = {"open": ("✖", "red"), "acknowledged": ("▲", "yellow"), "resolved": ("●", "green")}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    below = parser.add_subparsers(dest="action", metavar="ACTION")
    listing = below.add_parser("list", help="the newest first (this is what happens without an action)")
    listing.add_argument("--open", action="store_true", help="only those that are not over")
    listing.add_argument("--service", help="only of this service")
    listing.add_argument("--limit", type=amount, default=20, help="at most so many")
    shown = below.add_parser("show", help="everything about one: its timeline and who was told")
    ack = below.add_parser("ack", help="say that you take care of it")
    resolve = below.add_parser("resolve", help="end one by hand")
    resolve.add_argument("--why", default="", help="what it was")
    for action in (shown, ack, resolve):
        action.add_argument("incident", metavar="ID", help="its identifier; the end is enough")


def run(ctx: Context, args: argparse.Namespace) -> int:
    """Do the action."""
    if args.action in (None, "list"):
        return _list(ctx, args)
    row = one(ctx, "incidents", args.incident)
    if args.action == "show":
        return _show(ctx, row)
    return _change(ctx, row, args)


def _list(ctx: Context, args: argparse.Namespace) -> int:
    state = "open" if getattr(args, "open", False) else ""
    service, limit = getattr(args, "service", None) or "", getattr(args, "limit", 20)
    rows = ctx.look(lambda tx: views.incidents(tx, limit=limit, service=service, state=state))
    if ctx.out.json:
        ctx.out.data({"incidents": [_plain(row) for row in rows]})
        return 0
    if not rows:
        ctx.out.print(("no incidents", "green"))
        return 0
    now, zone = ctx.clock.now(), zone_of(ctx.outline().timezone)
    titles = ("", "id", "began", "lasted", "severity", "service", "what")
    table = [_row(row, now, zone) for row in rows]
    show(ctx.out, [Column(title, wrap=title == "what") for title in titles], table)
    return 0


def _row(row: Row, now: float, zone: Any) -> list[str | Text]:
    symbol, style = STATES[row["state"]]
    lasted = span((row["resolved_at"] or now) - row["failed_at"])
    loud = "red" if row["severity"] == "critical" and row["state"] != "resolved" else ""
    return [
        (symbol, style),
        (row["id"][-8:], "dim"),
        moment(row["failed_at"], zone, now),
        lasted if row["resolved_at"] else (f"{lasted}…", style),
        (row["severity"], loud),
        (row["service"], "bold"),
        row["title"],
    ]


def _show(ctx: Context, row: Row) -> int:
    events, messages = ctx.look(lambda tx: (views.events(tx, row["id"]), views.messages(tx, row["id"])))
    if ctx.out.json:
        told = [{**message, "message": json.loads(message["message"])} for message in messages]
        ctx.out.data({**_plain(row), "events": [_plain(event) for event in events], "messages": told})
        return 0
    out, zone = ctx.out, zone_of(ctx.outline().timezone)
    symbol, style = STATES[row["state"]]
    out.print(
        (f"{symbol} {row['title']}", style), (f"  {row['severity']}, {row['state']}, {row['id']}", "dim")
    )
    out.print("  ", row["detail"])
    out.print("")
    table: list[list[str | Text]] = [
        [(clock_time(event["at"], zone), "dim"), (event["kind"], "cyan"), event["detail"]] for event in events
    ]
    out.print((f"  {moment(row['failed_at'], zone)}", "bold"))
    show(out, [Column(""), Column(""), Column("", wrap=True)], table)
    if messages:
        out.print("")
        out.print(("  Who was told", "bold"))
        show(
            out,
            [Column(""), Column(""), Column(""), Column("", wrap=True)],
            [_told(one, zone) for one in messages],
        )
    return 0


def _told(message: Row, zone: Any) -> list[str | Text]:
    kind = json.loads(message["message"]).get("kind", "")
    if message["sent_at"]:
        late = message["sent_at"] - message["event_at"]
        words: Text = (f"accepted {span(late)} after it happened", "green")
        return [(clock_time(message["sent_at"], zone), "dim"), message["channel"], kind, words]
    if message["refused_at"]:
        return ["", message["channel"], kind, (f"refused: {message['error']}", "red")]
    return [
        "",
        message["channel"],
        kind,
        (f"owed, {message['attempts']} attempts: {message['error']}", "yellow"),
    ]


def _change(ctx: Context, row: Row, args: argparse.Namespace) -> int:
    from mainstay.cli.people import who

    person = who()

    async def change() -> Any:
        async with ctx.app(ctx.config(secrets=True)) as app:
            if args.action == "ack":
                return await app.store.write(lambda tx: app.desk.acknowledge(tx, row["id"], person))
            return await app.store.write(
                lambda tx: app.desk.resolve_manually(tx, row["id"], person, args.why)
            )

    incident = run_async(change())
    if ctx.out.json:
        ctx.out.data({"id": incident.id, "state": str(incident.state), "by": person})
    elif str(incident.state) == row["state"]:
        by = f" by {incident.acknowledged_by}" if row["state"] == "acknowledged" else ""
        ctx.out.print((f"{incident.title}: it is {incident.state} already{by}; nothing was changed", "dim"))
    else:
        ctx.out.print((f"{incident.title}: {incident.state} by {person}", "green"))
    return 0


def _plain(row: Row) -> dict[str, Any]:
    return {**row, "facts": json.loads(row["facts"])}
