"""Tell nobody about a service for a while. Checks go on, and what outlasts the silence is told afterwards."""

import argparse

from mainstay.cli.context import Context
from mainstay.cli.output import Text
from mainstay.cli.parser import UsageError, closest
from mainstay.cli.table import Column, show
from mainstay.cli.words import moment, span, zone_of
from mainstay.store import audit, silences
from mainstay.store.base import Tx
from mainstay.store.silences import Silence

LONGEST = 31 * 86400.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "service", nargs="?", help="the service; '*' is every one. Without it: list the silences"
    )
    parser.add_argument(
        "--for", dest="span", metavar="SPAN", help="how long, like 30m or 2h (31 days at most)"
    )
    parser.add_argument("--why", default="", help="the reason, for whoever wonders")
    parser.add_argument("--end", action="store_true", help="end the service's silence now")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")


def run(ctx: Context, args: argparse.Namespace) -> int:
    """Begin, end or list silences."""
    if args.service is None:
        return _list(ctx)
    _known(ctx, args.service)
    if args.end:
        return _end(ctx, args)
    if not args.span or not args.why:
        raise UsageError(
            "a silence needs an end and a reason", hint="mainstay silence odoo --for 2h --why 'moving'"
        )
    return _begin(ctx, args)


def _known(ctx: Context, service: str) -> None:
    names = [one.name for one in ctx.outline().setup.services]
    if service not in (silences.ALL, *names):
        guess = closest(service, names)
        hint = f"did you mean {guess}?" if guess else f"known: {', '.join(names)}"
        raise UsageError(f"there is no service {service}", hint=hint)


def _begin(ctx: Context, args: argparse.Namespace) -> int:
    from mainstay.cli.people import who
    from mainstay.core.units import parse_duration

    try:
        seconds = parse_duration(args.span)
    except ValueError as fault:
        what, _, remedy = str(fault).partition("; ")
        raise UsageError(what, hint=remedy or "like 30m or 2h") from None
    if not 0 < seconds <= LONGEST:
        raise UsageError(f"{args.span} is not a time to be silent", hint="between 1s and 31d")
    now, person = ctx.clock.now(), who()

    def unit(tx: Tx) -> Silence:
        audit.note(tx, person, "silence.add", args.service, now, until=now + seconds, why=args.why)
        until = now + seconds
        return silences.add(tx, args.service, from_at=now, until_at=until, why=args.why, who=person, now=now)

    until = moment(now + seconds, zone_of(ctx.outline().timezone), now)
    if args.dry_run:
        ctx.out.print(f"would tell nobody about {args.service} until {until}")
        return 0
    made = ctx.change(unit)
    if ctx.out.json:
        ctx.out.data({"id": made.id, "service": made.service, "until_at": made.until_at})
    else:
        ctx.out.print(f"nobody is told about {args.service} until {until}")
    return 0


def _end(ctx: Context, args: argparse.Namespace) -> int:
    from mainstay.cli.people import who

    now, person = ctx.clock.now(), who()

    def unit(tx: Tx) -> int:
        mine = [one for one in silences.upcoming(tx, now) if one.service == args.service]
        for one in [] if args.dry_run else mine:
            silences.end(tx, one.id, now)
            audit.note(tx, person, "silence.end", args.service, now, silence=one.id)
        return len(mine)

    ended = ctx.change(unit)
    if ctx.out.json:
        ctx.out.data({"service": args.service, "ended": ended})
    elif ended:
        ctx.out.print(f"{'would end' if args.dry_run else 'ended'} the silence of {args.service}")
    else:
        ctx.out.note(f"{args.service} is not silenced")
    return 0 if ended else 1


def _list(ctx: Context) -> int:
    now = ctx.clock.now()
    found = ctx.look(lambda tx: silences.upcoming(tx, now))
    if ctx.out.json:
        from dataclasses import asdict

        ctx.out.data({"silences": [asdict(one) for one in found]})
        return 0
    if not found:
        ctx.out.print(("nothing is silenced", "dim"))
        return 0
    zone = zone_of(ctx.outline().timezone)
    rows: list[list[str | Text]] = [
        [(one.service, "bold"), span(one.until_at - now), moment(one.until_at, zone, now), one.who, one.why]
        for one in found
    ]
    titles = ("service", "for", "until", "who", "why")
    show(ctx.out, [Column(title, wrap=title == "why") for title in titles], rows)
    return 0
