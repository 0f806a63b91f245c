"""List, renew or bring in TLS certificates. A renewal counts when the servers were seen to serve it."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstay.cli.context import Context
from mainstay.cli.output import Text
from mainstay.cli.parser import UsageError, closest
from mainstay.cli.table import Column, show
from mainstay.cli.words import ago, span
from mainstay.core.errors import MainstayError
from mainstay.store.certificates import Certificate

if TYPE_CHECKING:
    from mainstay.certs.pem import Pair
    from mainstay.config.model import Config

DAY = 86400.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    below = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    below.add_parser("list", help="what there is, how long it is valid, when it is due, whether it is served")
    renew = below.add_parser("renew", help="renew what is due, and see that it is served")
    renew.add_argument("name", nargs="*", help="the certificates; every one when left out")
    renew.add_argument(
        "--force", action="store_true", help="although it is not due, or was tried a moment ago"
    )
    renew.add_argument("--dry-run", action="store_true", help="only say what would be done")
    bring = below.add_parser("import", help="put a certificate in place that something else has got")
    bring.add_argument("name", help="the certificate, as it is called under `certificates:`")
    bring.add_argument(
        "--lineage", type=Path, metavar="DIR", help="certbot's, like /etc/letsencrypt/live/example.com"
    )
    bring.add_argument(
        "--cert", type=Path, metavar="FILE", help="or the certificate with those between it and the root"
    )
    bring.add_argument("--key", type=Path, metavar="FILE", help="and its key, both in PEM")
    bring.add_argument("--dry-run", action="store_true", help="only say what would be done")


def run(ctx: Context, args: argparse.Namespace) -> int:
    """Do the action."""
    return {"list": _list, "renew": _renew, "import": _import}[args.action](ctx, args)


def _named(ctx: Context, wanted: list[str]) -> list[str]:
    known = list(ctx.outline().setup.certificates)
    for name in wanted:
        if name not in known:
            guess = closest(name, known)
            hint = f"did you mean {guess}?" if guess else f"there are: {', '.join(known) or 'none'}"
            raise UsageError(f"there is no certificate {name}", hint=hint)
    if not known:
        raise UsageError("no certificate is configured", hint="certificates: [{names: [example.com]}]")
    return wanted or known


def _standing(ctx: Context) -> list[Certificate]:
    from mainstay.store import certificates

    names = ctx.outline().setup.certificates
    if not names:
        return []
    known = {each.name: each for each in ctx.look(certificates.everything)}
    return [known.get(name, Certificate(name)) for name in names]


def _list(ctx: Context, args: argparse.Namespace) -> int:
    found, now = _standing(ctx), ctx.clock.now()
    if ctx.out.json:
        ctx.out.data({"certificates": [_plain(each, now) for each in found]})
        return 0
    if not found:
        ctx.out.print(("no certificate is configured", "dim"))
        return 0
    titles = ("", "name", "valid for", "due", "seen", "issuer", "names")
    columns = [Column(title, wrap=title == "names") for title in titles]
    show(ctx.out, columns, [_row(each, now) for each in found], notes=[(each.fault, "red") for each in found])
    return 0


def _row(each: Certificate, now: float) -> list[str | Text]:
    left = (each.not_after or now) - now
    symbol, style = ("○", "dim") if each.not_after is None else ("●", "green")
    if each.fault:
        symbol, style = "▲", "yellow"
    if each.not_after is not None and left <= 0:
        symbol, style = "✖", "red"
    validity = "none yet" if each.not_after is None else span(left) if left > 0 else "expired"
    return [
        (symbol, style),
        (each.name, "bold"),
        (validity, style),
        ago(each.due_at, now) if each.due_at and each.due_at > now else "now" if each.due_at else "",
        (ago(each.served_at, now), "dim"),
        (each.issuer or "", "dim"),
        (" ".join(each.names), "dim"),
    ]


def _plain(each: Certificate, now: float) -> dict[str, Any]:
    from dataclasses import asdict

    left = None if each.not_after is None else round((each.not_after - now) / DAY, 2)
    return {**asdict(each), "names": list(each.names), "days_left": left}


def _renew(ctx: Context, args: argparse.Namespace) -> int:
    names = _named(ctx, args.name)
    if args.dry_run:
        return _would(ctx, names, force=args.force)
    from mainstay.cli.doing import do

    given = {"force": True} if args.force else {}
    return do(ctx, ctx.config(), [(f"renew:{name}", given) for name in names])


def _would(ctx: Context, names: list[str], *, force: bool) -> int:
    """Say what a renewal would do, as far as the last look tells."""
    now = ctx.clock.now()
    found = []
    for each in _standing(ctx):
        waits = each.retry_at is not None and each.failures > 0 and each.retry_at > now
        due = each.due_at is None or each.due_at <= now
        why = "it was asked for" if force else each.due_why or "it was never looked at"
        if waits and not force:
            why = f"after {each.failures} failures the next try is {ago(each.retry_at, now)}"
        if each.name in names:
            found.append({"certificate": each.name, "order": force or (due and not waits), "why": why})
    if ctx.out.json:
        ctx.out.data({"would": found})
        return 0
    for one in found:
        verb = "would be ordered" if one["order"] else "would be kept, and looked at where it is served"
        ctx.out.print((str(one["certificate"]), "bold"), f" {verb}: {one['why']}")
    return 0


def _import(ctx: Context, args: argparse.Namespace) -> int:
    (name,) = _named(ctx, [args.name])
    pair = _read(*_files(args))
    config = ctx.config(secrets=not args.dry_run)
    _check(ctx, config, name, pair)
    if args.dry_run:
        if ctx.out.json:
            ctx.out.data({"would": "import", "certificate": name, "serial": pair.leaf.serial})
        else:
            ctx.out.print(f"would put {pair.leaf.serial} in place for {', '.join(pair.leaf.names)}")
        return 0
    from mainstay.app.certs import shelf_of
    from mainstay.app.ownership import own
    from mainstay.cli.doing import do

    own(config.state_dir)
    version = shelf_of(config, name).add(pair)
    return do(ctx, config, [(f"renew:{name}", {"version": version})])


def _files(args: argparse.Namespace) -> tuple[Path, Path]:
    if args.lineage is not None and not (args.cert or args.key):
        return args.lineage / "fullchain.pem", args.lineage / "privkey.pem"
    if args.lineage is None and args.cert and args.key:
        return args.cert, args.key
    raise UsageError("say what to bring in", hint="--lineage DIR, or --cert FILE and --key FILE")


def _read(certificate: Path, key: Path) -> "Pair":
    from mainstay.certs.pem import pair

    try:
        return pair(certificate.read_bytes(), key.read_bytes(), str(certificate))
    except OSError as fault:
        raise MainstayError(
            f"{fault.filename}: {fault.strerror}", hint="run it as who may read both files"
        ) from None


def _check(ctx: Context, config: "Config", name: str, pair: "Pair") -> None:
    """Refuse what is of no use; say what will be renewed at once."""
    left = pair.leaf.not_after - ctx.clock.now()
    if left <= 0:
        raise MainstayError(
            "this certificate has expired", hint=f"mainstay certs renew {name} gets a new one"
        )
    wanted = next(each for each in config.certificates if each.called == name).names
    lacking = [each for each in wanted if not pair.leaf.covers(each)]
    if lacking:
        ctx.warn(f"it does not cover {', '.join(lacking)}, so it will be renewed at the next look")
