"""Give the dashboard's administrator a new password and end the logins with the old one. It is shown this once."""

import argparse

from mainstay.cli.context import Context
from mainstay.store.base import Tx


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--account", default="admin", help="another account; it is made if it is not there")


def run(ctx: Context, args: argparse.Namespace) -> int:
    """Set and print a password."""
    from mainstay.cli.people import who
    from mainstay.store import accounts, audit

    now, person = ctx.clock.now(), who()

    def unit(tx: Tx) -> str:
        audit.note(tx, person, "account.password", args.account, now)
        return accounts.reset_password(tx, args.account, now)

    password = ctx.change(unit)
    if ctx.out.json:
        ctx.out.data({"account": args.account, "password": password})
    else:
        ctx.out.note(f"the new password of {args.account}; it is not shown again:")
        ctx.out.print((password, "bold"))
    return 0
