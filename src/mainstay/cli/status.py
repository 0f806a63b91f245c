"""Say what is wrong now, how each service does and whether the backups are proven.

Exit code 0: all is well. 1: something fails, or a critical incident is open. 3: nobody knows, because the agent has
not written for a while.
"""

import argparse
from typing import TYPE_CHECKING, Any, NamedTuple

from mainstay.cli.context import Context
from mainstay.cli.marks import mark, worst
from mainstay.cli.output import Output, Text
from mainstay.cli.status_edge import Outside, outside, outside_of, print_outside
from mainstay.cli.status_log import logs, logs_of, print_logs
from mainstay.cli.table import Column, show
from mainstay.cli.words import ago, count, latency, moment, span, zone_of
from mainstay.readiness.setup import ServiceFacts, Setup
from mainstay.store import meta, status, views
from mainstay.store.base import Row, Tx

if TYPE_CHECKING:
    from mainstay.backup.physical.picture import LogView

STALE = 60.0
"""Seconds after its last beat that the agent is taken for gone."""
HOUR = 3600.0


class Seen(NamedTuple):
    """What the journal said, at one instant."""

    now: float
    frame: Row
    states: dict[str, Row]
    incidents: list[Row]
    backups: dict[str, Row]
    proofs: dict[str, Row]
    p95: dict[str, float]
    silences: list[Row]
    healing_off: str | None
    outside: Outside | None
    logs: "dict[str, LogView]"
    worked: float = 0.0

    @property
    def wrote_at(self) -> float | None:
        """When the agent was last heard of."""
        times = [self.frame[name] for name in ("beat_at", "measured_at") if self.frame.get(name)]
        return max(times, default=None)

    @property
    def critical(self) -> list[str]:
        """What people were woken for, in words."""
        return [each["title"] for each in self.incidents if each["severity"] == "critical"]

    @property
    def stale(self) -> bool:
        """Whether what is known is too old to go by."""
        return self.wrote_at is None or self.now - self.wrote_at > STALE


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("service", nargs="?", help="only this service, with every check")


def run(ctx: Context, args: argparse.Namespace) -> int:
    """Print the state of everything."""
    setup = ctx.outline().setup
    chosen = [service for service in setup.services if args.service in (None, service.name)]
    if not chosen and args.service:
        from mainstay.cli.parser import UsageError, closest

        names = [service.name for service in setup.services]
        guess = closest(args.service, names)
        hint = f"did you mean {guess}?" if guess else f"known: {', '.join(names)}"
        raise UsageError(f"there is no service {args.service}", hint=hint)
    now = ctx.clock.now()
    seen = ctx.look(lambda tx: look(tx, now, setup))
    if args.service:
        mine = [each for each in seen.incidents if each["service"] == args.service]
        seen = seen._replace(incidents=mine)
    rows = [_service(service, seen) for service in chosen]
    if ctx.out.json:
        ctx.out.data(_document(setup, rows, seen))
    else:
        _print(ctx, setup, rows, seen, detailed=args.service is not None)
    return _code(rows, seen)


def look(tx: Tx, now: float, setup: Setup) -> Seen:
    """Read everything at once."""
    return Seen(
        now=now,
        frame=views.frame(tx),
        states={row["check_id"]: row for row in views.states(tx)},
        incidents=views.open_incidents(tx),
        backups=views.last_backups(tx),
        proofs=views.last_proofs(tx),
        p95=status.p95(tx, now - HOUR),
        silences=status.silences(tx, now),
        healing_off=meta.get(tx, meta.HEALING_OFF),
        outside=outside(tx, setup),
        logs=logs(tx, setup, now),
        worked=sum(status.worked(tx, now).values()),
    )


def _service(service: ServiceFacts, seen: Seen) -> dict[str, Any]:
    checks = [_check(check.id, seen) for check in service.checks]
    state = worst([check["verdict"] for check in checks])
    telling = [check for check in checks if check["verdict"] == state]
    since = [check["since"] for check in telling if check["since"]]
    latencies = [check["p95"] for check in checks if check["p95"] is not None]
    return {
        "name": service.name,
        "title": service.title,
        "critical": service.critical,
        "state": state,
        "since": (min(since) if state != "ok" else max(since)) if since else None,
        "p95": max(latencies, default=None),
        "detail": telling[0]["detail"] if telling else "no check",
        "checks": checks,
    }


def _check(check: str, seen: Seen) -> dict[str, Any]:
    row = seen.states.get(check)
    if row is None:
        return {
            "id": check,
            "verdict": "unknown",
            "since": None,
            "at": None,
            "detail": "not asked yet",
            "p95": None,
        }
    return {
        "id": check,
        "verdict": row["verdict"],
        "since": row["since"],
        "at": row["at"],
        "detail": row["detail"],
        "p95": seen.p95.get(check),
    }


def _code(rows: list[dict[str, Any]], seen: Seen) -> int:
    if seen.stale:
        return 3
    return 1 if any(row["state"] == "fail" for row in rows) or seen.critical else 0


def _headline(setup: Setup, rows: list[dict[str, Any]], seen: Seen) -> Text:
    if seen.wrote_at is None:
        return "Nothing has been measured yet", "yellow"
    if seen.stale:
        return f"Nobody knows: the agent last wrote {ago(seen.wrote_at, seen.now)}", "alarm"
    bad = [row["title"] for row in rows if row["state"] == "fail"]
    if bad:
        names = bad[0] if len(bad) == 1 else f"{len(bad)} of {len(rows)} services"
        return f"{names} {'fails' if len(bad) == 1 else 'fail'}", "alarm"
    if seen.critical:
        return "; ".join(seen.critical[:2]), "alarm"
    odd = [row["title"] for row in rows if row["state"] != "ok"]
    bare = [one.name for one in setup.databases if one.storages and one.name not in seen.backups]
    fine = "Every service is fine" if rows else "No service is watched"
    if odd:
        return f"Nothing fails; look at {', '.join(odd[:3])}", "yellow"
    if seen.incidents:
        return f"{fine}; {count(len(seen.incidents), 'incident')} open", "yellow"
    if bare:
        return f"{fine}; never backed up: {', '.join(bare[:3])}", "yellow"
    return ("All is well", "green") if rows else (fine, "yellow")


def _print(ctx: Context, setup: Setup, rows: list[dict[str, Any]], seen: Seen, *, detailed: bool) -> None:
    out = ctx.out
    text, style = _headline(setup, rows, seen)
    bold = "alarm" if style == "alarm" else style
    wrote = "" if seen.stale else f"  (agent wrote {ago(seen.wrote_at, seen.now)})"
    out.print((setup.title, "bold"), "  ", (text, bold), (wrote, "dim"))
    _switched_off(out, ctx.outline().timezone, seen)
    if seen.worked > setup.machine_time:
        told = f"  jobs were at work for {span(seen.worked)} within a week, of {span(setup.machine_time)}"
        out.print((f"{told}; mainstay jobs says which", "yellow"))
    out.print("")
    if detailed:
        _checks(out, rows[0], seen)
        _incidents(out, seen)
        return
    columns = [Column(""), Column("service"), Column("state"), Column("for"), Column("p95", right=True)]
    table = sorted(rows, key=lambda row: ["fail", "warn", "unknown", "ok"].index(row["state"]))
    show(out, [*columns, Column("says", wrap=True)], [_row(row, seen) for row in table])
    if not rows:
        out.print(("  no service is configured", "dim"))
    _incidents(out, seen)
    _backups(out, setup, seen)
    print_logs(out, seen.logs, seen.now)
    print_outside(out, setup, seen.outside, seen.now)


def _switched_off(out: Output, timezone: str, seen: Seen) -> None:
    """Say what somebody has quietened on purpose, lest it be forgotten."""
    for silence in seen.silences:
        what = "anything" if silence["service"] == "*" else silence["service"]
        why = f": {silence['why']}" if silence["why"] else ""
        until = moment(silence["until_at"], zone_of(timezone), seen.now)
        out.print((f"  nobody is told about {what} until {until} ({silence['who']}{why})", "yellow"))
    if seen.healing_off is not None:
        out.print((f"  healing is off: {seen.healing_off}", "yellow"))


def _row(row: dict[str, Any], seen: Seen) -> list[str | Text]:
    symbol, word, style = mark(row["state"], stale=seen.stale)
    name: Text = (row["name"], "bold" if row["critical"] else "")
    held = span(seen.now - row["since"]) if row["since"] else ""
    detail: Text = (row["detail"], "dim" if row["state"] == "ok" else "")
    return [(symbol, style), name, (word, style), held, (latency(row["p95"]), "dim"), detail]


def _checks(out: Output, row: dict[str, Any], seen: Seen) -> None:
    columns = [Column(""), Column("check"), Column("state"), Column("for"), Column("p95", right=True)]
    table: list[list[str | Text]] = []
    for check in row["checks"]:
        symbol, word, style = mark(check["verdict"], stale=seen.stale)
        held = span(seen.now - check["since"]) if check["since"] else ""
        name = check["id"].partition("/")[2]
        table.append(
            [(symbol, style), name, (word, style), held, (latency(check["p95"]), "dim"), check["detail"]]
        )
    show(out, [*columns, Column("says", wrap=True)], table)


def _incidents(out: Output, seen: Seen) -> None:
    if not seen.incidents:
        return
    out.print("")
    out.print(("Open incidents", "bold"))
    rows: list[list[str | Text]] = []
    notes: list[Text] = []
    for incident in seen.incidents:
        style = "red" if incident["severity"] == "critical" else "yellow"
        who = f"acknowledged by {incident['acknowledged_by']}" if incident["acknowledged_at"] else ""
        since = span(seen.now - incident["failed_at"])
        short = (incident["id"][-8:], "dim")
        notes.append((incident["detail"].split("\n")[0], "dim"))
        rows.append(
            [("✖", style), (incident["severity"], style), short, since, incident["title"], (who, "dim")]
        )
    show(out, [*[Column("")] * 4, Column("", wrap=True), Column("")], rows, notes=notes)


def _backups(out: Output, setup: Setup, seen: Seen) -> None:
    databases = [one for one in setup.databases if one.storages or not one.log_storage]
    if not databases:
        return
    out.print("")
    out.print(("Backups", "bold"))
    rows: list[list[str | Text]] = []
    for database in databases:
        backup, proof = seen.backups.get(database.name), seen.proofs.get(database.name)
        taken = f"taken {ago(backup['taken_at'], seen.now)}" if backup else "never taken"
        if proof is None:
            style, symbol, told = ("yellow", "▲", "not proven") if backup else ("red", "✖", "")
        else:
            old = seen.now - proof["at"] > setup.proof_age
            style, symbol = ("yellow", "▲") if old else ("green", "●")
            told = f"proven {ago(proof['at'], seen.now)}: {compared(proof['rows'], database.rows)} compared"
        if backup and backup["proof_verdict"] not in (None, "proven"):
            style, symbol, told = "red", "✖", backup["proof_summary"]
        rows.append([(symbol, style), database.name, taken, (told, style if style != "green" else "")])
    show(out, [Column(""), Column(""), Column(""), Column("", wrap=True)], rows)


def compared(number: int, words: str) -> str:
    """Say how much was compared: `1 row`, `1,204 entries`."""
    return count(number, "row") if words == "rows" else f"{number:,} {words}"


def _document(setup: Setup, rows: list[dict[str, Any]], seen: Seen) -> dict[str, Any]:
    return {
        "name": setup.name,
        "verdict": _headline(setup, rows, seen)[0],
        "at": seen.now,
        "agent": {"wrote_at": seen.wrote_at, "stale": seen.stale},
        "services": rows,
        "incidents": [dict(incident) for incident in seen.incidents],
        "silences": [dict(silence) for silence in seen.silences],
        "healing_off": seen.healing_off,
        "machine_time": {"seconds": seen.worked, "budget": setup.machine_time},
        "backups": [
            {
                "database": database.name,
                "taken_at": (seen.backups.get(database.name) or {}).get("taken_at"),
                "proven_at": (seen.proofs.get(database.name) or {}).get("at"),
                "last_verdict": (seen.backups.get(database.name) or {}).get("proof_verdict"),
            }
            for database in setup.databases
        ],
        "logs": logs_of(seen.logs),
        **outside_of(setup, seen.outside, seen.now),
    }
