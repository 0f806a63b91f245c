"""Show how the gateway's origins are, and switch a route to other ones without a failed request."""

import argparse
from typing import TYPE_CHECKING, Any

from mainstay.cli.context import Context
from mainstay.cli.output import Text
from mainstay.cli.table import Column, show
from mainstay.core.errors import MainstayError

if TYPE_CHECKING:
    from pathlib import Path

STATES = {
    "up": ("●", "green"),
    "draining": ("○", "dim"),
    "ejected": ("✖", "red"),
    "down": ("✖", "red"),
}
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
        for route in answer["routes"]:
            for origin in route["origins"]:
                symbol, style = STATES[origin["state"]]
                rows.append(
                    [
                        (symbol, style),
                        (route["route"], "bold"),
                        origin["url"],
                        origin["state"],
                        str(origin["active"]),
                        str(origin["requests"]),
                        str(origin["failures"]),
                        str(answer["process"]) if len(answers) > 1 else "",
                    ]
                )
    titles = ("", "route", "origin", "state", "under way", "requests", "failures", "process")
    show(ctx.out, [Column(title, right=4 <= number <= 6) for number, title in enumerate(titles)], rows)
    return 0
