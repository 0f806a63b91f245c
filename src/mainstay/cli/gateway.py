"""Show how the gateway's origins are, and those whom it needs itself; switch a route to other origins.

A switch fails no request. Exit code 1 when no origin of a route is well.
"""

import argparse
from typing import TYPE_CHECKING, Any

from mainstay.cli.context import Context
from mainstay.cli.output import Text
from mainstay.cli.table import Column, show
from mainstay.cli.words import ago, span
from mainstay.core.errors import MainstayError

if TYPE_CHECKING:
    from pathlib import Path

STATES = {
    "up": ("●", "green"),
    "trial": ("▲", "yellow"),
    "draining": ("○", "dim"),
    "ejected": ("✖", "red"),
    "down": ("✖", "red"),
}
NEEDS = {"up": ("●", "green"), "down": ("✖", "red"), "unknown": ("○", "dim")}
PATIENCE = 5.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    below = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    below.add_parser("status", help="how the origins of every route are")
    swap = below.add_parser("swap", help="send all further requests of a route to other origins")
    swap.add_argument("route", help="its name, or its path when it has none")
    swap.add_argument("origin", nargs="+", help="the new origins, like http://127.0.0.1:8001")
    swap.add_argument(
        "--within", default="30s", metavar="SPAN", help="how long they have to answer (default: 30s)"
    )


def run(ctx: Context, args: argparse.Namespace) -> int:
    """Do the action."""
    if args.action == "status":
        return _show(ctx, _ask(ctx, {"do": "state"}, PATIENCE))
    from mainstay.cli.parser import UsageError
    from mainstay.core.units import parse_duration

    try:
        within = parse_duration(args.within)
    except ValueError as fault:
        raise UsageError(str(fault), hint="like 30s") from None
    question = {"do": "swap", "route": args.route, "origins": args.origin, "within": within}
    answers = _ask(ctx, question, within + 2 * PATIENCE)
    if not ctx.out.json:
        ctx.out.print(f"{args.route} goes to {', '.join(args.origin)}")
        return 0
    return _show(ctx, answers)


def _directory(ctx: Context) -> "Path":
    from mainstay.edge.http.meter import DIRECTORY

    return ctx.outline().state_dir / DIRECTORY


def _ask(ctx: Context, question: dict[str, Any], patience: float) -> list[dict[str, Any]]:
    """Ask every process. One that refuses speaks for all: they read the same file and try the same origins."""
    from mainstay.edge.proxy.control import ask

    answers = ask(_directory(ctx), question, patience)
    for answer in answers:
        if "fault" in answer:
            raise MainstayError(answer["fault"], hint=answer["hint"], where=answer["where"])
    return answers


def _show(ctx: Context, answers: list[dict[str, Any]]) -> int:
    if ctx.out.json:
        ctx.out.data({"processes": answers})
        return 0
    rows: list[list[str | Text]] = []
    for answer in answers:
        process = str(answer["process"]) if len(answers) > 1 else ""
        for route in answer["routes"]:
            rows += [_origin(route["route"], origin, answer["at"], process) for origin in route["origins"]]
    titles = ("", "route", "origin", "state", "for", "under way", "requests", "failures", "process", "says")
    show(
        ctx.out,
        [
            Column(title, right=5 <= number <= 7, wrap=title == "says")
            for number, title in enumerate(titles)
            if title != "process" or len(answers) > 1
        ],
        rows if len(answers) > 1 else [[*row[:8], row[9]] for row in rows],
    )
    _needs(ctx, answers)
    return _code(answers)


def _code(answers: list[dict[str, Any]]) -> int:
    """Give 1 when no origin of a route is well in some process."""
    from mainstay.edge.sight.merge import bad, serving

    routes = [serving(route) for answer in answers for route in answer["routes"]]
    return 1 if any(there and len(bad(there)) == len(there) for there in routes) else 0


def _origin(route: str, origin: dict[str, Any], now: float, process: str) -> list[str | Text]:
    symbol, style = STATES[origin["state"]]
    return [
        (symbol, style),
        (route, "bold"),
        origin["url"],
        (origin["state"], "" if origin["state"] == "up" else style),
        span(now - origin["since"]),
        str(origin["active"]),
        str(origin["requests"]),
        str(origin["failures"]),
        process,
        (origin["detail"], "dim"),
    ]


def _needs(ctx: Context, answers: list[dict[str, Any]]) -> None:
    """Print how those answer whom the gateway itself needs."""
    rows: list[list[str | Text]] = []
    for answer in answers:
        for need in answer["needs"]:
            symbol, style = NEEDS[need["state"]]
            held = span(answer["at"] - need["since"]) if need["since"] else ""
            asked = f"asked {ago(need['at'], answer['at'])}" if need["at"] else "not asked yet"
            rows.append(
                [(symbol, style), (need["what"], "bold"), need["place"], need["state"], held, (asked, "dim")]
                + [(need["detail"], "dim")]
            )
    if rows:
        ctx.out.print("")
        titles = ("", "needs", "at", "state", "for", "", "says")
        show(ctx.out, [Column(title, wrap=title == "says") for title in titles], rows)
