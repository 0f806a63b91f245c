"""Boot a small company on this machine and watch mainstay keep it alive.

A real PostgreSQL with the data of an ERP, an API in front of it and a stand-in for Slack and PagerDuty are started in a
directory of their own. Then a backup is taken, restored and compared; the API is killed, noticed, told, restarted; a
stored backup is damaged and found out; a wrong DELETE is undone to the row. Every figure shown was measured just then.
The dashboard goes on until Ctrl-C.
"""

import argparse
from pathlib import Path

from mainstay.cli.context import Context


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--once", action="store_true", help="end after the story; exit 0 only if all of it was true"
    )
    parser.add_argument(
        "--home",
        metavar="DIRECTORY",
        type=Path,
        help="where everything lies, emptied at the start (default: a temporary directory)",
    )


def run(ctx: Context, args: argparse.Namespace) -> int:
    """Play the demonstration."""
    from rich.console import Console

    from mainstay.demo import command

    return command.run(args.home, args.once, args.json, Console(stderr=True), Console())
