"""Make, list and revoke API keys of the gateway's clients. A key is shown this once; only its hash is kept."""

import argparse
import re
from typing import TYPE_CHECKING, Any

from mainstay.cli.context import Context
from mainstay.cli.output import Text
from mainstay.cli.parser import UsageError, closest
from mainstay.cli.table import Column, show
from mainstay.cli.words import ago, moment, zone_of
from mainstay.core.errors import MainstayError
from mainstay.store.base import Tx

if TYPE_CHECKING:
    from mainstay.store.keys import ApiKey

STATES = {"live": ("●", "green"), "expired": ("○", "dim"), "revoked": ("✖", "red")}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    below = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = below.add_parser("create", help="make a key; it is shown this once")
    create.add_argument("subject", help="whom it is for; origins get it as X-User-ID")
    create.add_argument("--plan", help="their plan; the default one when left out")
    create.add_argument(
        "--for", dest="span", metavar="SPAN", help="how long it works, like 90d; without it for ever"
    )
    create.add_argument("--note", default="", help="what it is used for, for whoever wonders")
    create.add_argument("--dry-run", action="store_true", help="only say what would be done")
    listing = below.add_parser("list", help="which keys there are, and when they were used")
    listing.add_argument("subject", nargs="?", help="only theirs")
    listing.add_argument("--all", action="store_true", help="with those that have ended")
    revoke = below.add_parser("revoke", help="end a key; gateways know it within two seconds")
    revoke.add_argument("key", metavar="KEY", help="its beginning, ms_ and ten letters, as `list` shows it")
    revoke.add_argument("--dry-run", action="store_true", help="only say what would be done")


def run(ctx: Context, args: argparse.Namespace) -> int:
    """Do the action."""
    return {"create": _create, "list": _list, "revoke": _revoke}[args.action](ctx, args)


def _create(ctx: Context, args: argparse.Namespace) -> int:
    from mainstay.cli.people import who
    from mainstay.store import audit, keys

    now, person, plan = ctx.clock.now(), who(), _plan(ctx, args.plan)
    if not re.fullmatch(r"[\x21-\x7e]{1,256}", args.subject):
        what = f"{args.subject!r} cannot be put into a header"
        raise UsageError(what, hint="1 to 256 letters, digits and signs, without spaces")
    until = None if args.span is None else now + _seconds(args.span)
    ending = "for ever" if until is None else f"until {moment(until, zone_of(ctx.outline().timezone), now)}"
    if args.dry_run:
        ctx.out.print(f"would make a key for {args.subject}, plan {plan or 'by default'}, {ending}")
        return 0

    def unit(tx: Tx) -> "tuple[str, ApiKey]":
        made = keys.create(tx, args.subject, plan=plan, note=args.note, who=person, now=now, expires_at=until)
        audit.note(tx, person, "key.create", args.subject, now, key=made[1].id, plan=plan, until=until)
        return made

    text, key = ctx.change(unit)
    if ctx.out.json:
        ctx.out.data(
            {"id": f"ms_{key.id}", "key": text, "subject": key.subject, "plan": plan, "expires_at": until}
        )
    else:
        ctx.out.note(
            f"a key for {key.subject}, plan {plan or 'by default'}, {ending}; it is not shown again:"
        )
        ctx.out.print((text, "bold"))
    return 0


def _plan(ctx: Context, wanted: str | None) -> str:
    """A plan has to be one that the gateway knows: a misspelt one would quietly be the default."""
    gateway = ctx.config(secrets=False).gateway
    if gateway is None or gateway.auth.keys is None:
        raise MainstayError("the gateway takes no API keys", hint="turn them on: gateway: {auth: {keys: {}}}")
    if wanted is not None and wanted not in gateway.plans:
        guess = closest(wanted, list(gateway.plans))
        hint = f"did you mean {guess}?" if guess else f"plans: {', '.join(gateway.plans) or 'none'}"
        raise UsageError(f"there is no plan {wanted}", hint=hint)
    return wanted or ""


def _seconds(span: str) -> float:
    from mainstay.core.units import parse_duration

    try:
        seconds = parse_duration(span)
    except ValueError as fault:
        what, _, remedy = str(fault).partition("; ")
        raise UsageError(what, hint=remedy or "like 90d") from None
    if seconds <= 0:
        raise UsageError(f"{span} is not a time to work", hint="like 90d")
    return seconds


def _list(ctx: Context, args: argparse.Namespace) -> int:
    from mainstay.store import keys

    now, zone = ctx.clock.now(), zone_of(ctx.outline().timezone)
    found = [
        key
        for key in ctx.look(keys.all_keys)
        if (args.all or key.state(now) == "live") and args.subject in (None, key.subject)
    ]
    if ctx.out.json:
        ctx.out.data({"keys": [_plain(key, now) for key in found]})
        return 0
    if not found:
        ctx.out.print(("there is no key", "dim"))
        return 0
    rows: list[list[str | Text]] = []
    for key in found:
        symbol, style = STATES[key.state(now)]
        until = "" if key.expires_at is None else moment(key.expires_at, zone, now)
        used = "never" if key.used_at is None else ago(key.used_at, now)
        rows.append(
            [
                (symbol, style),
                (f"ms_{key.id}", "bold"),
                key.subject,
                key.plan or "-",
                used,
                until,
                key.who,
                key.note,
            ]
        )
    titles = ("", "key", "for", "plan", "used", "until", "made by", "note")
    show(ctx.out, [Column(title, wrap=title == "note") for title in titles], rows)
    return 0


def _plain(key: "ApiKey", now: float) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(key), "id": f"ms_{key.id}", "state": key.state(now)}


def _revoke(ctx: Context, args: argparse.Namespace) -> int:
    from mainstay.cli.people import who
    from mainstay.store import audit, keys

    name = keys.shown(args.key)
    key = ctx.look(lambda tx: keys.get(tx, name)) if name else None
    if name is None or key is None:
        raise MainstayError("there is no such key", hint="mainstay keys list --all shows their beginnings")
    if args.dry_run:
        ctx.out.print(f"would revoke ms_{name} of {key.subject}")
        return 0
    now, person = ctx.clock.now(), who()

    def unit(tx: Tx) -> bool:
        audit.note(tx, person, "key.revoke", key.subject, now, key=name)
        return keys.revoke(tx, name, now)

    ended = ctx.change(unit)
    if ctx.out.json:
        ctx.out.data({"id": f"ms_{name}", "subject": key.subject, "revoked": ended})
    elif ended:
        ctx.out.print(f"ms_{name} of {key.subject} opens nothing any more")
    else:
        ctx.out.note(f"ms_{name} was revoked already")
    return 0 if ended else 1
